"""What a recorder remembers of a store, to notice when the store went back. Kept in memory, and in a file if possible.

The file is replaced atomically and never synced: after a power cut it may be older, and then less is noticed.
"""

import logging
import os
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from banledger.spool.position import Position, Positions, is_possible

FILE = "recorder.json"
"""Name of the file in the service's state directory."""

_LONGEST_FILE = 64 << 20  # bytes: more than the positions of 100,000 writers

_log = logging.getLogger("banledger")


class _Saved(Struct, frozen=True):
    """Content of the file."""

    store: str
    ledger: str = ""
    incarnation: str = ""
    positions: tuple[Position, ...] = ()
    unrecorded: tuple[Position, ...] = ()


class Memory:
    """`store` names the store and the prefix; memory of another store is not used.

    ledger       the identity of the ledger; empty: unknown
    incarnation  the run of the server (`run_id`); empty: unknown
    unrecorded   lines that were read and are not recorded: see Sequences.unrecorded
    """

    def __init__(self, path: Path | None = None, store: str = "") -> None:
        self._path = path
        self._store = store.encode("utf-8", "backslashreplace").decode()  # the bytes of a path may be no text
        self._failed = False
        self._saved = saved = _read(path, self._store) if path else _Saved(self._store)
        self.ledger, self.incarnation = saved.ledger, saved.incarnation
        self.positions = Positions(saved.positions)
        self.unrecorded = saved.unrecorded

    def save(self) -> None:
        """Write the file if it does not say this yet."""
        now = _Saved(self._store, self.ledger, self.incarnation, tuple(self.positions), self.unrecorded)
        if self._path is None or now == self._saved:
            return
        beside = self._path.with_suffix(".new")
        try:
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(now))
            beside.replace(self._path)
            self._saved, self._failed = now, False
        except OSError as error:
            if not self._failed:
                _log.warning("can't write %s: %s", self._path, error.strerror)
            self._failed = True


def _read(path: Path, store: str) -> _Saved:
    """The memory of this store, without damaged positions; empty if there is none."""
    with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError), path.open("rb") as file:
        saved = msgspec.json.decode(file.read(_LONGEST_FILE), type=_Saved)
        if saved.store == store:
            positions, unrecorded = filter(is_possible, saved.positions), filter(is_possible, saved.unrecorded)
            return replace(saved, positions=tuple(positions), unrecorded=tuple(unrecorded))
    return _Saved(store)
