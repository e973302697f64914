"""The lines that make a record: merged in any order, they give its values again. Pure. See `merge`.

They are recorded even where a tombstone is.
"""

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from banledger.ledger.ban import EXACT, IMPORTED, LIVE, PENDING, RESTORED, Ban
from banledger.ledger.log_fact import LogFact
from banledger.ledger.merge import EndedTicket, HeldTicket, parts_of
from banledger.ledger.moment import Moment
from banledger.ledger.parts import NEVER, Base, End, Term
from banledger.spool.events import VERSION, BanLine, ProlongLine, TicketLine, UnbanLine


def lines_of(ban: Ban, server: str) -> Iterator[TicketLine]:
    """Return the lines of a ban, as those of a server of that label. Its place is in none of them."""
    about = _About(ban, server)
    base, term, end = parts_of(ban)
    yield from map(about.logged, ban.logged)
    if base.origin != PENDING and (base.exact == EXACT or base.origin != IMPORTED):
        yield about.begun(base, term)
    if about.imported and base.origin in (LIVE, RESTORED):
        yield about.line(BanLine, base.seen, **about.imported)
    if end.begun is not NEVER and end.begun != base.seen:
        yield about.begun(Base(LIVE, end.begun, base.failures, base.users, base.matches), term)
    amendments = list(about.amendments(term, end))
    yield from amendments
    if base.origin == PENDING:  # the first amendment was before these
        yield replace(amendments[0], seen=base.seen.wall, at=base.seen.order)


class _About:
    """What all lines of one ban say. `imported`: the same of lines of an import that told its country."""

    def __init__(self, ban: Ban, server: str) -> None:
        self._fields: dict[str, Any] = {"v": VERSION, "seq": 0, "server": server, "jail": ban.jail, "fid": ban.fid}
        known = ban.country_from == IMPORTED and ban.country
        self.imported: dict[str, Any] = {"origin": IMPORTED, "country": ban.country} if known else {}
        self._fields |= {"time": float(max(1, ban.time)), "ip": ban.ip if ban.ip and ban.ip != ban.fid else ""}

    def line(self, kind: type[TicketLine], at: Moment, **more: Any) -> TicketLine:
        """Return a line of that moment."""
        return kind(seen=at.wall, at=at.order if at.order != at.wall else 0.0, **self._fields, **more)

    def begun(self, base: Base, term: Term) -> TicketLine:
        """Return the line of how a ban began."""
        timed = base if base.origin != LIVE else term
        count = timed.bancount + 1 if base.origin == RESTORED and timed.bancount else timed.bancount
        more: dict[str, Any] = {"failures": base.failures, "bantime": timed.bantime, "bancount": count, "revive": 1}
        more |= {LIVE: {}, RESTORED: {"restored": 1}}.get(base.origin, self.imported or {"origin": IMPORTED})
        return self.line(BanLine, base.seen, users=base.users, matches=base.matches, **more)

    def amendments(self, term: Term, end: End) -> Iterator[TicketLine]:
        """Return the last amendment of each kind."""
        if term.prolonged:
            yield self.line(ProlongLine, term.at, bantime=term.bantime, bancount=term.bancount)
        if end.unbanned is not NEVER:
            yield self.line(UnbanLine, end.unbanned)
        if end.held is not NEVER:
            yield self.line(HeldTicket, end.held)
        if end.ended.at is not NEVER:
            yield self.line(EndedTicket, end.ended.at, reason=end.ended.because)

    def logged(self, fact: LogFact) -> TicketLine:
        """Return what a log says of the ban."""
        known = {name: getattr(fact, name) for name in fact.__struct_fields__}
        fields = self._fields | {"time": float(fact.found or int(fact.logged)), "seen": fact.logged}
        return BanLine(**fields, **known, **(self.imported or {"origin": IMPORTED}), revive=1)
