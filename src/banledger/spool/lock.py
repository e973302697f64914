"""The lock on a spool: one recorder reads it.

Theory of operation. Segments are removed when they are recorded. A second recorder of the same spool would see numbers
missing that the first one recorded, and take them for lost. So a recorder holds a lock (flock) on a file inside the
spool while it reads. Members of the spool's group may remove or replace that file, but not open it (mode 0600). A
file whose owner may not run a recorder is replaced, and the holder checks at every step that the name still refers to
its own file. The kernel releases the lock of a killed recorder; its file is used again.
"""

import fcntl
import grp
import os
import pwd
import stat
import time
from contextlib import suppress
from pathlib import Path

from banledger.errors import SpoolLocked

NAME = ".recorder"
"""Name of the lock file in the spool."""

_TRIES = 5
_LOOKS, _LOOK_S = 5, 0.01
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LONGEST_NAME = 100


def is_held(directory: Path) -> bool:
    """Whether a recorder has the lock on the spool in a directory. If we may not see it, a lock file counts as held."""
    try:
        fd = os.open(directory / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


class SpoolLock:
    """The lock on one spool. Used by one thread."""

    def __init__(self, directory: Path, name: str = "") -> None:
        """`name`: this recorder's name, shown to a second recorder."""
        self._directory = directory
        self._path = directory / NAME
        self._name = name
        self._fd = -1

    @property
    def held(self) -> bool:
        """Whether we still hold it: its file may have been removed."""
        return self._fd >= 0 and self._is_at_its_name(self._fd)

    def hold(self) -> bool:
        """Take the lock, or check that it is still ours. False if this directory can't hold a lock file.

        Raises SpoolLocked if another recorder has it.
        """
        if self.held:
            return True
        self._let_go()
        try:
            for _ in range(_TRIES):
                if self._take():
                    return True
        except OSError:  # the spool is missing, or we may not write to it
            self._let_go()
        return False

    def release(self) -> None:
        """Let another recorder read."""
        if self.held:
            with suppress(OSError):
                self._path.unlink()  # while it is locked: a waiting recorder then sees that it is gone
        self._let_go()

    def _let_go(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _take(self) -> bool:
        """Try once; return whether we have the lock. Raises SpoolLocked, OSError."""
        folder = self._directory.stat()
        trusted = {0, os.geteuid(), folder.st_uid, _service_of(folder.st_gid)}
        with suppress(FileNotFoundError):
            there = self._path.lstat()
            if not stat.S_ISREG(there.st_mode) or there.st_uid not in trusted or there.st_mode & 0o077:
                self._put_aside(there)
        try:
            fd = os.open(self._path, _OPEN | os.O_CREAT, 0o600)
        except PermissionError as error:
            if not self._path.exists():
                raise
            owner = self._path.lstat().st_uid
            raise self._locked(f"a process of user {owner}", f". If no recorder runs, remove {self._path}") from error
        if not self._lock(fd):
            os.close(fd)
            return False
        self._fd = fd
        os.ftruncate(fd, 0)
        os.pwrite(fd, self._name.encode()[:_LONGEST_NAME], 0)
        if os.geteuid() == 0 and (service := _service_of(folder.st_gid)) >= 0:
            os.fchown(fd, service, -1)  # a killed `record --once` must not keep the service out
        return True

    def _lock(self, fd: int) -> bool:
        """Lock this file; return whether it is still at its name. Raises SpoolLocked."""
        for _ in range(_LOOKS):  # `is_held` has it for an instant
            with suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return self._is_at_its_name(fd)
            time.sleep(_LOOK_S)
        holder = os.pread(fd, _LONGEST_NAME, 0).decode("utf-8", "replace")
        os.close(fd)
        raise self._locked(holder)

    def _put_aside(self, there: os.stat_result) -> None:
        """Remove a file at this name that is not a recorder's lock file."""
        if stat.S_ISDIR(there.st_mode):
            self._path.rename(self._path.with_name(f"{NAME}-{os.urandom(4).hex()}"))
        else:
            self._path.unlink(missing_ok=True)

    def _is_at_its_name(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), self._path.lstat())
        except OSError:
            return False

    def _locked(self, name: str, unless: str = "") -> SpoolLocked:
        """The error for a held lock. `unless`: what the hint adds for the case that no recorder runs."""
        return SpoolLocked(
            f"another recorder reads the spool {self._directory}: {name!r}",
            hint=f"the service records the spool; to record by hand, first run: systemctl stop banledger{unless}",
        )


def _service_of(group: int) -> int:
    """The service's user, from the name of the spool's group: `banledger` for `banledger-spool`; -1: there is none.

    Not from the group's members: a member must not be able to keep the service out.
    """
    with suppress(KeyError):
        name = grp.getgrgid(group).gr_name
        for user in (name, name.removesuffix("-spool")):
            with suppress(KeyError):
                return pwd.getpwnam(user).pw_uid
    return -1
