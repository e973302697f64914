"""Commands of the system, run as root: found in the system's own directories only, with an environment of their own."""

import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from banledger.errors import BanledgerError

_DIRECTORIES = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
_ENVIRONMENT = {"PATH": ":".join(_DIRECTORIES), "LC_ALL": "C.UTF-8"}
LONGEST_S = 180.0
"""How long a command may take, unless its caller says otherwise."""
TIMED_OUT = 124
"""The exit code of a command that took longer, as of timeout(1)."""


class Said(Struct, frozen=True):
    """What a command said."""

    code: int
    out: str
    err: str

    def reason(self) -> str:
        """Its first complaint."""
        lines = [line.strip() for line in (self.err + "\n" + self.out).splitlines() if line.strip()]
        complaints = [line for line in lines if "ERROR" in line or "Failed" in line or "Error" in line]
        return (complaints or lines or [f"exit code {self.code}"])[0]


def run(
    words: Sequence[str], *, env: Mapping[str, str] | None = None, given: str = "", longest_s: float = LONGEST_S
) -> Said:
    """Run a command whose first word is a path; `env` is added to its environment. Raises BanledgerError."""
    try:
        done = subprocess.run(
            words,
            input=given,
            env={**_ENVIRONMENT, **(env or {})},
            cwd="/",
            capture_output=True,
            timeout=longest_s,
            check=False,
            encoding="utf-8",
            errors="backslashreplace",
        )
    except subprocess.TimeoutExpired:
        return Said(TIMED_OUT, "", f"{words[0]} doesn't end")
    except OSError as error:
        raise BanledgerError(f"can't run {words[0]}: {error.strerror}") from error
    return Said(done.returncode, done.stdout, done.stderr)


def system_command(name: str) -> str:
    """The path of a command of the system; empty if there is none."""
    paths = (Path(directory, name) for directory in _DIRECTORIES)
    return next((str(path) for path in paths if os.access(path, os.X_OK)), "")


def as_root() -> str:
    """This command line as root: the command's path is given, as sudo searches the system's directories only."""
    command = Path(sys.argv[0])
    words = [str(command.absolute())] if command.name == "banledger" else [sys.executable, "-m", "banledger"]
    return shlex.join(["sudo", *words, *sys.argv[1:]])


def trusted(path: Path, below: Path = Path("/")) -> bool:
    """Whether only root can change the file: it and all directories above it, up to `below`, belong to root alone."""
    real = path.resolve()
    for one in (real, *real.parents):
        status = one.stat()
        if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return False
        if one == below:
            break
    return True
