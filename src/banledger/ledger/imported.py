"""Until when logs were imported of each source. See `Keyspace.imported`.

So live bans cost nothing: only an exact ban that is not later than its source's last imported Ban line can meet facts.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress

from banledger.ledger.tokens import source_token
from banledger.spool.events import BanLine, TicketLine
from banledger.stores import fields as read
from banledger.stores.api import Advance, Engine
from banledger.stores.fields import Damaged

_AFTER_S = 120  # an exact ban this long after the last imported line meets no fact
_REFRESH_S = 20.0


class Imported:
    """The last imported Ban line of each source, as this recorder knows it. `key`: its hash."""

    def __init__(self, engine: Engine, key: str) -> None:
        self._engine = engine
        self._key = key
        self._last: dict[str, int] = {}
        self._read_at = float("-inf")

    def learn(self, lines: Iterable[BanLine], now: float) -> None:
        """Read what was imported, if another recorder may have done that, and add the lines that come now."""
        if self._read_at == float("-inf") or (self._engine.shared and abs(now - self._read_at) > _REFRESH_S):
            self._read_at = now
            self._last |= _sound(self._engine.hashes([self._key])[0])
        latest: dict[tuple[str, str], float] = {}
        for line in lines:
            source = line.server, line.jail
            if line.logged > latest.get(source, 0.0):
                latest[source] = line.logged
        told = {source_token(*source): int(last) for source, last in latest.items()}
        raised = {source: last for source, last in told.items() if last > self._last.get(source, 0)}
        if raised:
            self._last |= raised
            self._engine.apply([], [Advance(self._key, {name: str(last) for name, last in raised.items()})])

    def may_meet_facts(self, lines: Iterable[TicketLine]) -> list[BanLine]:
        """Return those of the lines of exact bans near which there may be facts."""
        if not self._last:
            return []
        return [line for line in lines if isinstance(line, BanLine) and line.time <= self._until(line)]

    def _until(self, line: BanLine) -> int:
        return self._last.get(source_token(line.server, line.jail), -_AFTER_S) + _AFTER_S


def _sound(fields: Mapping[str, str]) -> dict[str, int]:
    """Return the time of the last imported line by source. Damaged fields are left out."""
    found = {}
    for source in fields:
        with suppress(Damaged):
            found[source] = read.whole(fields, source, most=read.YEAR_3000)
    return found
