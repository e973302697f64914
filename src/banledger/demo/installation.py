"""Find the fail2ban to run, and its commands."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from banledger.errors import MissingFail2ban


@dataclass(frozen=True)
class Installation:
    """An installation of fail2ban: its paths and commands.

    server, client: the words that start each. env: what to add to the environment. config: the stock
    configuration directory, of which `filter.d` is used.
    """

    server: tuple[str, ...]
    client: tuple[str, ...]
    config: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """The environment of its processes: ours without variables that change an interpreter."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return kept | {"LC_ALL": "C.UTF-8"} | dict(self.env)

    def version(self) -> str:
        """Its version as it reports it, e.g. `1.0.2`."""
        said = subprocess.run(
            [*self.server, "-V"],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return said.stdout.strip()


def locate() -> Installation:
    """The fail2ban to run: named by BANLEDGER_FAIL2BAN, unpacked beside this interpreter, or installed.

    The first two are the root of an unpacked Debian package. Raises MissingFail2ban.
    """
    named = os.environ.get("BANLEDGER_FAIL2BAN")
    if named:
        found = unpacked(Path(named).resolve())
        if found is None:
            raise MissingFail2ban(
                f"BANLEDGER_FAIL2BAN is {named!r}, which contains no fail2ban",
                hint="name the directory of an unpacked fail2ban package (dpkg -x FILE DIRECTORY)",
            )
        return found
    found = unpacked(Path(sys.prefix, "fail2ban")) or installed()
    if found is None:
        raise MissingFail2ban(
            "no fail2ban-server was found",
            hint="apt-get install fail2ban; or unpack its package (apt-get download fail2ban; dpkg -x FILE DIRECTORY)"
            " and set BANLEDGER_FAIL2BAN=DIRECTORY",
        )
    return found


def unpacked(root: Path) -> Installation | None:
    """The fail2ban of a Debian package unpacked at `root`, or None."""
    library = root / "usr/lib/python3/dist-packages"
    scripts = root / "usr/bin"
    if not (library / "fail2ban").is_dir() or not (scripts / "fail2ban-server").is_file():
        return None
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable  # fail2ban's own
    server, client = ((python, str(scripts / name)) for name in ("fail2ban-server", "fail2ban-client"))
    return Installation(server, client, root / "etc/fail2ban", {"PYTHONPATH": str(library)})


def installed() -> Installation | None:
    """The fail2ban of this system, or None."""
    server = shutil.which("fail2ban-server") or shutil.which("fail2ban-server", path="/usr/bin:/usr/local/bin")
    if server is None:
        return None
    client = str(Path(server).with_name("fail2ban-client"))
    return Installation((server,), (client,), Path("/etc/fail2ban"))
