"""What must be restarted, remembered on the disk, so that a killed setup doesn't forget it; and what to go back to."""

import msgspec
from msgspec import Struct

from banledger.setup.changes import ROOT, STATE, FileChanges, write_whole
from banledger.setup.journal import Before


class Restart(Struct, frozen=True):
    """alive: whether it ran before the change. before: the places to put back if it doesn't run afterwards."""

    alive: bool
    before: list[Before] = []


class PendingRestart:
    """The restart of one service."""

    def __init__(self, changes: FileChanges, name: str) -> None:
        self._changes = changes
        self._place = changes.place(f"{STATE}/restart-{name}")

    def known(self) -> Restart | None:
        """The restart that is still to be done."""
        return msgspec.json.decode(self._place.read_bytes(), type=Restart) if self._place.exists() else None

    def begin(self, restart: Restart) -> Restart:
        """Remember it before the change; return it, or the one that a killed setup has begun."""
        if (begun := self.known()) is not None:
            return begun
        self._place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(self._place, msgspec.json.encode(restart), 0o600, ROOT)
        return restart

    def end(self) -> None:
        """It is done."""
        self._place.unlink(missing_ok=True)
