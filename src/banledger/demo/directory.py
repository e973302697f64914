"""The directory of a demo's ledger: claimed by one demo at a time, and cleared only of files that demos made."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from banledger.demo.signals import Wait
from banledger.errors import BanledgerError

MARK = ".banledger-demo"
"""The file that marks a demo's directory. A running demo holds a lock on it."""

LEDGER, LOG, SERVER_LOG = "ledger.db", "auth.log", "fail2ban.log"
_MADE = (LOG, SERVER_LOG, LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm", f"{LEDGER}.lock")
_POLL_S = 0.2


@contextmanager
def claimed(directory: Path | None, pause: Wait, on_wait: Callable[[Path], None]) -> Iterator[Path]:
    """The directory, empty except for its mark; a new temporary one if none is given. Emptied again if the block fails.

    Calls `on_wait` and waits while another demo uses it. Raises BanledgerError if the directory holds files that no
    demo made, or can't be written to.
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
    """The directory, created if necessary, and its open mark."""
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
        raise BanledgerError(f"{directory} holds files that no demo made", hint="name a new directory with --keep")
    return directory


def _wait_for(lock: int, home: Path, pause: Wait, on_wait: Callable[[Path], None]) -> None:
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
