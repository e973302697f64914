"""Wait until the recorder has done what a command wrote to the spool."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct

from banledger.errors import BanledgerError, LedgerMissing
from banledger.report.formats.escape import visible

if TYPE_CHECKING:
    from banledger.ledger.reader import LedgerReader
    from banledger.settings import Settings

PATIENCE_S = 10.0
"""How long a running recorder may make no progress, unless it is known to work on something longer."""

_POLL_S = 0.2
_GRACE_S = 0.5  # if none seems to run

_NO_RECORDER = "no recorder is running, and nothing is lost: start it (systemctl start banledger, or banledger record)"
_SLOW = "the recorder makes no progress, and nothing is lost: its log says why (journalctl -u banledger)"

_State = TypeVar("_State")


def _usual(_: object) -> float:
    return PATIENCE_S


class Awaited(Struct, Generic[_State], frozen=True):
    """The last state that was seen, if it is the end; otherwise why it isn't."""

    state: _State | None = None
    why: str = ""


def wait(
    chosen: "Settings",
    read: "Callable[[LedgerReader], _State | None]",
    is_end: Callable[[_State], bool],
    show: Callable[[_State | None], None],
    patience: Callable[[_State | None], float] = _usual,
) -> Awaited[_State]:
    """Wait for a state of the ledger, as long as the recorder makes progress.

    read      returns the state; None: there is none yet
    is_end    whether it is the last one
    show      shows it as progress
    patience  how long it may stay the same, seconds
    """
    from banledger.ledger.opening import open_to_read
    from banledger.spool.lock import is_held
    from banledger.stores.connect import access

    spool = Path(chosen.spool)
    watch = _Watch(lambda: open_to_read(chosen.store, chosen.prefix, access(chosen)), read)
    moved = time.monotonic()
    try:
        while True:
            moved = time.monotonic() if watch.look() else moved
            if watch.state is not None and is_end(watch.state):
                return Awaited(watch.state)
            show(watch.state)
            runs, idle = is_held(spool), time.monotonic() - moved
            if idle > (patience(watch.state) if runs and not watch.trouble else _GRACE_S):
                return Awaited(why=(watch.trouble or _SLOW) if runs else _NO_RECORDER)
            time.sleep(_POLL_S)
    finally:
        watch.close()


class _Watch(Generic[_State]):
    """The state of a ledger that may not exist yet.

    trouble  why the ledger can't be read; empty: it can, or there is none yet
    """

    def __init__(self, connect: "Callable[[], LedgerReader]", read: "Callable[[LedgerReader], _State | None]") -> None:
        self._connect = connect
        self._read = read
        self._reader: LedgerReader | None = None
        self.state: _State | None = None
        self.trouble = ""

    def look(self) -> bool:
        """Read the state; return whether it has changed."""
        before = self.state
        try:
            self._reader = self._reader or self._connect()
            self.state = self._read(self._reader)
            self.trouble = ""
        except LedgerMissing:
            self.trouble = ""
        except BanledgerError as error:
            self.trouble = f"can't read the ledger ({visible(str(error))}): the recorder's log says what it did"
            self.close()
        return self.state != before

    def close(self) -> None:
        """Close the ledger."""
        if self._reader is not None:
            with suppress(BanledgerError):
                self._reader.close()
            self._reader = None
