"""Check single days of a ledger. The recorder does this by itself after its server restarted.

A server that lost power may come back with half of a transaction: a hash without its tallies. `check` reads the whole
ledger, and needs it unchanged meanwhile. This check compares one local day in one month with its bans, and reads both
again if another recorder wrote meanwhile.
"""

from banledger.ledger.ban import Ban
from banledger.ledger.faults import Fault
from banledger.ledger.found import read_bans
from banledger.ledger.implied import Implied
from banledger.ledger.keys import Keyspace
from banledger.stores.api import Reader
from banledger.stores.change import NOTHING

MOST = 20_000
"""A day with more bans is not checked."""

_TRIES = 5


def day_faults(reader: Reader, keys: Keyspace, month: str, day: str) -> list[Fault] | None:
    """Return the faults of a day's set and tallies in a month's slot. None: too many bans, or constant changes."""
    listed, counts = keys.day(month, day), keys.tallies_of(month, day)
    for _ in range(_TRIES):
        if reader.sizes([listed])[0] > MOST:
            return None
        ids, tallies = set(reader.members(listed)), [reader.tally([key]) for key in counts]
        slot = Implied(keys, month)
        strange = _derive(reader, keys, listed, sorted(ids), slot)
        if (set(reader.members(listed)), [reader.tally([key]) for key in counts]) == (ids, tallies):
            faults = [Fault(listed, f"should not have {id_!r}") for id_ in strange]
            wrong = [key for key, tally in zip(counts, tallies, strict=True) if slot.tallies[key] != tally]
            return faults + [Fault(key, "differs from its bans") for key in wrong]
    return None


def _derive(reader: Reader, keys: Keyspace, listed: str, ids: list[str], slot: Implied) -> list[str]:
    """Add the entries of the bans in a day's set to `slot`; return the ids that don't belong to that day."""
    strange = []
    for id_, ban in zip(ids, read_bans(reader, keys, ids), strict=True):
        entries = keys.entries(ban) if isinstance(ban, Ban) else NOTHING
        if listed in entries.sets:
            slot.add(entries)
        else:
            strange.append(id_)
    return strange


class DayCheck:
    """Checks days, one at each step."""

    def __init__(self) -> None:
        self._left: list[tuple[str, str]] = []
        self._faults: list[Fault] = []
        self._unknown = self._whole = 0
        self.pending = False

    def begin(self, days: set[tuple[str, str]]) -> None:
        """Start to check these (month, local day)."""
        self._left, self._faults = sorted(days), []
        self._unknown = self._whole = 0
        self.pending = True

    def step(self, reader: Reader, keys: Keyspace) -> str:
        """Check one day; after the last one, return the finding as text for the log. Raises StoreError."""
        if self._left:
            found = day_faults(reader, keys, *self._left[-1])
            self._left.pop()
            self._faults += found or []
            self._unknown += found is None
            self._whole += found == []
        if self._left:
            return ""
        self.pending = False
        return self._finding()

    @property
    def found_faults(self) -> bool:
        """Whether a day had faults."""
        return bool(self._faults)

    def _finding(self) -> str:
        if self._faults:
            first = self._faults[0]
            return f"the ledger is not whole since the server restarted: {first.key} {first.what}"
        if not (self._whole or self._unknown):
            return "the server restarted: nothing was written to it lately"
        unknown = f"; {self._unknown} too busy: run banledger store check" if self._unknown else ""
        return f"the server restarted: days written to lately are whole ({self._whole} checked{unknown})"
