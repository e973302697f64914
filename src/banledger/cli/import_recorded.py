"""Wait until the recorder has recorded an import, and say what it did."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from banledger.cli.progress import ProgressBars
from banledger.errors import BanledgerError, LedgerMissing
from banledger.report.formats.escape import visible

if TYPE_CHECKING:
    from banledger.ledger.import_count import ImportCount
    from banledger.ledger.reader import LedgerReader
    from banledger.settings import Settings

_POLL_S = 0.2
_PATIENCE_S = 10.0  # without any progress of a running recorder
_GRACE_S = 0.5  # if none seems to run

_NO_RECORDER = "no recorder is running, and nothing is lost: start it (systemctl start banledger, or banledger record)"
_SLOW = "the recorder makes no progress, and nothing is lost: its log says why (journalctl -u banledger)"


class Awaited(Struct, frozen=True):
    """What is known of an import in the end: its count, or why there is none yet."""

    count: "ImportCount | None" = None
    why: str = ""


def wait(chosen: "Settings", server: str, writer: str, bans: int, progress: ProgressBars) -> Awaited:
    """Wait for an import of so many bans, as long as its recorder makes progress. `writer`: of its lines."""
    from banledger.ledger.opening import open_to_read
    from banledger.spool.lock import is_held
    from banledger.stores.connect import access

    spool = Path(chosen.spool)
    watch = _Watch(lambda: open_to_read(chosen.store, chosen.prefix, access(chosen)), server, writer)
    moved = time.monotonic()
    try:
        while True:
            moved = time.monotonic() if watch.look() else moved
            count = watch.count
            if count is not None and count.bans is not None:
                return Awaited(count)
            progress("bans recorded", count.lines.total if count else 0, bans)
            runs, idle = is_held(spool), time.monotonic() - moved
            if idle > (_PATIENCE_S if runs and not watch.trouble else _GRACE_S):
                return Awaited(why=(watch.trouble or _SLOW) if runs else _NO_RECORDER)
            time.sleep(_POLL_S)
    finally:
        watch.close()


class _Watch:
    """The count of one import in a ledger that may not exist yet.

    trouble  why the ledger can't be read; empty: it can, or there is none yet
    """

    def __init__(self, connect: "Callable[[], LedgerReader]", server: str, writer: str) -> None:
        self._connect = connect
        self._server = server
        self._writer = writer
        self._reader: LedgerReader | None = None
        self.count: ImportCount | None = None
        self.trouble = ""

    def look(self) -> bool:
        """Read the count; return whether it has changed."""
        from banledger.ledger.import_counts import stored_counts

        before = self.count
        try:
            self._reader = self._reader or self._connect()
            self.count = stored_counts(self._reader.store(), self._reader.keys, self._server).get(self._writer)
            self.trouble = ""
        except LedgerMissing:
            self.trouble = ""
        except BanledgerError as error:
            self.trouble = f"can't read the ledger ({visible(str(error))}): the recorder's log says how many were new"
            self.close()
        return self.count != before

    def close(self) -> None:
        """Close the ledger."""
        if self._reader is not None:
            with suppress(BanledgerError):
                self._reader.close()
            self._reader = None
