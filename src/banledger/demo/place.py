"""The directory a demo leaves its ledger in: claimed by one demo at a time, and cleared only of what demos made."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from banledger.demo.signals import Pause
from banledger.errors import BanledgerError

MARK = ".banledger-demo"
"""The file that says a directory is a demo's. Who works in it holds a lock on it."""

LEDGER, LOG, SERVER_LOG = "ledger.db", "auth.log", "fail2ban.log"
_MADE = (LOG, SERVER_LOG, LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm", f"{LEDGER}.lock")
_POLL_S = 0.2


@contextmanager
def claimed(directory: Path | None, pause: Pause, on_wait: Callable[[Path], None]) -> Iterator[Path]:
    """The directory, empty but for its mark; a new temporary one if none is given. Emptied again if the block fails.

    While another demo is at work in it, waits for that, after `on_wait`. Raises BanledgerError if the directory holds
    what no demo made, or can't be written to.
    """
    home, lock = _opened(directory)
    try:
        _wait_for(lock, home, pause, on_wait)
        _clear(home)
        try:
            yield home
        except BaseException:
            _clear(home)
            if directory is None:
                shutil.rmtree(home, ignore_errors=True)
            raise
    finally:
        os.close(lock)


def _opened(directory: Path | None) -> tuple[Path, int]:
    """The directory, made if need be, and its mark, open."""
    try:
        home = _ours(directory) if directory else Path(tempfile.mkdtemp(prefix="banledger-demo-"))
        return home.resolve(), os.open(home / MARK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BanledgerError(
            f"can't use {error.filename or directory}: {error.strerror}", hint="name another directory with --keep"
        ) from error


def _ours(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in directory.iterdir()}
    if names and MARK not in names:
        raise BanledgerError(f"{directory} holds what no demo made", hint="name a new or an empty one with --keep")
    return directory


def _wait_for(lock: int, home: Path, pause: Pause, on_wait: Callable[[Path], None]) -> None:
    waiting = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not waiting:
                on_wait(home)
            waiting = True
            pause(_POLL_S)


def _clear(home: Path) -> None:
    for name in _MADE:
        (home / name).unlink(missing_ok=True)
