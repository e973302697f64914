"""Search the files of a spool for a text: what nobody has recorded yet, what is kept a while, and invalid lines."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from banledger.spool.directory import SEGMENT
from banledger.spool.quarantine import REJECTED

_MOST_BYTES = 64 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def mentions(spool: Path, is_meant: Callable[[str], bool]) -> int | None:
    """Return the number of lines for which this is true, of segments and of invalid lines; None: they can't be read."""
    found = size = 0
    try:
        for path in _files(spool):
            fd = os.open(path, _READ)
            with os.fdopen(fd, "rb") as file:
                for line in file:
                    size += len(line)
                    found += is_meant(line.decode("utf-8", "replace"))
                    if size > _MOST_BYTES:
                        return None
    except OSError:
        return None
    return found


def _files(spool: Path) -> Iterator[Path]:
    for entry in spool.iterdir():
        if SEGMENT.fullmatch(entry.name):
            yield entry
    rejected = spool / REJECTED
    if rejected.is_dir() and not rejected.is_symlink():
        yield from rejected.iterdir()
