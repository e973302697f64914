"""Which bans that logs tell of were forgotten.

Theory of operation. A tombstone says nothing but an id, and the second from which that was computed may be another than
the one that a log suggests (see `past`). So the ids of all seconds are tried that a fact may mean; but only where any
ban of that jail and month was forgotten, which is known from the counts of forgotten bans.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import TypeAlias

from banledger.ledger.ids import ban_id, beginning
from banledger.ledger.keys import Keyspace
from banledger.ledger.log_fact import Facts
from banledger.ledger.offender import Offender
from banledger.ledger.past import LATE_S, REACH_S
from banledger.ledger.tokens import source_token
from banledger.ledger.tombstone import Tombstone, is_tombstone, tombstone_of
from banledger.spool.events import TICKETS_END
from banledger.stores.api import Reader
from banledger.stores.fields import Damaged
from banledger.stores.pages import pages

_AT_ONCE = 2000

_Event: TypeAlias = tuple[Offender, Facts]
"""An offender, and the facts of one ban."""


class ForgottenBans:
    """The forgotten bans of a ledger, as far as logs tell of them."""

    def __init__(self, reader: Reader, keys: Keyspace) -> None:
        self._reader = reader
        self._keys = keys

    def among(self, events: Sequence[_Event]) -> dict[_Event, Tombstone]:
        """Return the tombstones of those of these bans that were forgotten."""
        places = {(source_token(one.server, one.jail), month) for one, facts in events for month in _months(facts)}
        used = self._with_forgotten(places)
        found: dict[_Event, Tombstone] = {}
        meant: set[str] = set()  # a tombstone is of one ban
        for event in events if used else ():
            source = source_token(event[0].server, event[0].jail)
            near = any((source, month) in used for month in _months(event[1]))
            if near and (tombstone := self._of(event, meant)):
                found[event] = tombstone
                meant.add(tombstone.id)
        return found

    def _with_forgotten(self, places: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those sources and months of which any ban was forgotten."""
        months, sources = sorted({month for _, month in places}), sorted({source for source, _ in places})
        if not places:
            return set()
        scores = self._reader.scores([self._keys.base(month) for month in months], sources)
        rows = zip(months, scores, strict=True)
        return {(source, month) for month, row in rows for source, score in zip(sources, row, strict=True) if score}

    def _of(self, event: _Event, meant: Collection[str]) -> Tombstone | None:
        offender, facts = event
        for page in pages(_seconds(facts), _AT_ONCE):
            ids = [ban_id(offender.server, offender.jail, offender.fid, second) for second in page]
            for id_, fields in zip(ids, self._reader.hashes([self._keys.ban(id_) for id_ in ids]), strict=True):
                if is_tombstone(fields) and id_ not in meant:
                    try:
                        return tombstone_of(id_, fields)
                    except Damaged:
                        continue
        return None


def _seconds(facts: Facts) -> Iterator[int]:
    """Return the seconds that the ticket of a ban may have, by its facts, the likeliest first."""
    first, last = _span(facts)
    likely = [max(fact.found for fact in facts), int(facts[0].logged)]
    yield from (second for second in likely if first <= second <= last)
    yield from range(last, first - 1, -1)


def _span(facts: Facts) -> tuple[int, int]:
    """Return the first and the last of these seconds: from a minute before the failures to the Ban line."""
    logged = max(int(fact.logged) for fact in facts)
    earliest = min(int(fact.first or fact.found or fact.logged) for fact in facts)
    return max(1, max(earliest, logged - REACH_S) - int(LATE_S)), min(logged + 2, TICKETS_END - 1)


def _months(facts: Facts) -> list[str]:
    first, last = _span(facts)
    return sorted({beginning(first)[:4], beginning(last)[:4]})
