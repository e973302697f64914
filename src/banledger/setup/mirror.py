"""A second fail2ban configuration: links to everything in the first, but its own version of one file in `jail.d`.

So fail2ban can be asked what it would read, before anything is changed.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

JAIL_FILE = "zz-banledger.local"
"""Our file in `jail.d`."""


class Mirror:
    """See `mirrored`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def put(self, text: str | None) -> None:
        """Give it our file with this text, None: none."""
        path = self.directory / "jail.d" / JAIL_FILE
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text, encoding="utf-8")


@contextmanager
def mirrored(config: Path) -> Iterator[Mirror]:
    """A mirror of a configuration directory, without our file. It is gone at the end."""
    directory = Path(tempfile.mkdtemp(prefix="banledger-setup-"))
    try:
        (directory / "jail.d").mkdir()
        for entry in config.iterdir():
            if entry.name != "jail.d":
                (directory / entry.name).symlink_to(entry)
        if (config / "jail.d").is_dir():
            for entry in (config / "jail.d").iterdir():
                if entry.name != JAIL_FILE:
                    (directory / "jail.d" / entry.name).symlink_to(entry)
        yield Mirror(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
