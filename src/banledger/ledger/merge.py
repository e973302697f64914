"""Merge lines into the record of a ban. Pure.

Theory of operation. `merge` is a join: lines may come in any order and any number of times, through any number of
recorders, and the final record is the same. A line and a record hold the same three values (`Parts`), each with its own
join:

    Base  origin seen failures users matches   the base of the best origin (live before restored before import); of
                                               several of one origin the earliest
    Term  bantime bancount prolonged           the latest of live ban lines and prolongs; without one, the term of the
                                               base
    End   reopened unbanned held ended         the latest of each

The fields of a record follow from these values: an unban counts unless the ban began or was held after it; an ending
counts unless the ban began, was held or was unbanned after it. An ending that no longer counts is forgotten, because
the event that overtook it is kept.

The country has a fourth join: an imported country takes precedence over a registry's; of several, the alphabetically
first. The other fields of a place come from whois (`place_at`).

What logs say of a ban (`logged`) is no part of this join: `past` decides it. Of a ban that only logs tell of, base and
unban follow from that.

A ban whose matched lines were `erased` gets no matched line and no user name by a line.

A restored line never changes a record of a live line (fail2ban's bancount is then one too high); an imported line
changes only its country. An amendment that comes before its ban makes a `pending` record, which is not counted until
the ban comes. Equal moments are decided by content, so that the order of arrival never matters.
"""

from collections.abc import Callable
from typing import Any

from msgspec.structs import asdict, replace

from banledger.geo.countries import is_country
from banledger.geo.place import Place
from banledger.ledger.ban import EXACT, FOUND, IMPORTED, LINE, LIVE, PENDING, PUBLIC, RESTORED, Ban
from banledger.ledger.ban_forms import LONGEST_BANTIME
from banledger.ledger.ids import Subject, whole_second
from banledger.ledger.log_fact import Facts, fact_of
from banledger.ledger.moment import Moment, in_microseconds
from banledger.ledger.parts import NEVER, NO_END, NO_TERM, Base, End, Ending, Parts, Term
from banledger.ledger.users import tried, whole
from banledger.net.address import canonical_address
from banledger.spool.events import BanLine, ProlongLine, TicketLine, UnbanLine

_WITHOUT_MOMENTS = dict.fromkeys(
    ("prolonged", "reopened", "unbanned", "unbanned_before", "held", "ended", "ended_because")
)


class HeldTicket(TicketLine, frozen=True, tag="held ticket"):
    """A snapshot shows that fail2ban holds the ban."""


class EndedTicket(TicketLine, frozen=True, tag="ended ticket"):
    """A snapshot shows that fail2ban does not hold the ban any more."""

    reason: str = ""


def subject_of(line: TicketLine) -> Subject:
    """Return the identity of a line's ban: canonical address, time in whole seconds as fail2ban stores it."""
    return Subject(line.server, line.jail, canonical_address(line.fid) or line.fid, whole_second(line.time))


def address_of(line: TicketLine) -> str | None:
    """Return the offender's canonical address or network; None if fail2ban banned another text."""
    return canonical_address(line.ip or line.fid) or (canonical_address(line.fid) if line.ip else None)


def begin_from_parts(
    id_: str, subject: Subject, local: tuple[str, int], ip: str | None, place: Place, line: TicketLine
) -> Ban:
    """Make the record of a ban from its first line, of any kind. `local`: its day and hour (see Ban)."""
    day, hour = local
    facts = (fact_of(line),) if isinstance(line, BanLine) and line.logged else ()
    shown = _shown(parts_of_line(line), facts) | {"logged": facts}
    return _with_country(Ban(id=id_, day=day, hour=hour, ip=ip, **asdict(subject), **asdict(place), **shown), line)


def merge(ban: Ban, line: TicketLine) -> Ban:
    """Merge a line into a record. Returns `ban` itself if nothing changes."""
    known = parts_of(ban)
    joined = known.join(parts_of_line(line))
    return _with_country(ban if joined == known else _with_parts(ban, joined, ban.logged), line)


def with_facts(ban: Ban, facts: Facts) -> Ban:
    """Set what logs say of a ban. If only logs tell of it, all follows from them. Returns `ban` if nothing changes."""
    if facts == ban.logged:
        return ban
    base, term, end = parts_of(ban)
    if base.exact != EXACT and base.origin == IMPORTED:
        base = base_of(facts)
    return _with_parts(ban, Parts(base, term, end), facts)


def without_facts(ban: Ban) -> Ban | None:
    """Return what is left of a ban if its facts mean another one: amendments that wait for their ban; None: nothing."""
    _, term, end = parts_of(ban)
    moments = [term.at, end.held, end.unbanned, end.ended.at]
    known = [moment for moment in moments if moment != NEVER]
    if not known:
        return None
    pending = Parts(Base(PENDING, min(known)), term, end)
    return _with_parts(ban, pending, ())


def base_of(facts: Facts) -> Base:
    """Return how a ban began that only logs tell of: its best values in their facts."""
    bancount, bantime = max((fact.bancount, fact.bantime) for fact in facts)
    logged = Moment(facts[0].logged, facts[0].logged)
    exact = FOUND if any(fact.found for fact in facts) else LINE
    failures = max(fact.failures for fact in facts)
    return Base(IMPORTED, logged, failures, bantime=bounded(bantime), bancount=bancount, exact=exact)


def parts_of_line(line: TicketLine) -> Parts:
    """Return the parts that a line holds."""
    seen = Moment(in_microseconds(line.order), in_microseconds(line.seen))
    if isinstance(line, BanLine):
        return _parts_of_ban_line(line, seen)
    base = Base(PENDING, seen)
    if isinstance(line, ProlongLine):
        return Parts(base, Term(seen, True, bounded(line.bantime), line.bancount))
    if isinstance(line, UnbanLine):
        return Parts(base, end=End(unbanned=seen))
    if isinstance(line, EndedTicket):
        return Parts(base, end=End(ended=Ending(seen, line.reason)))
    return Parts(base, end=End(held=seen))


def _parts_of_ban_line(line: BanLine, seen: Moment) -> Parts:
    origin = IMPORTED if line.origin else RESTORED if line.restored else LIVE
    users, bantime = tried(line.users, restored=bool(line.restored)), bounded(line.bantime)
    # fail2ban counts a restore as one more ban.
    bancount = line.bancount - 1 if line.restored and line.bancount else line.bancount
    if line.logged and origin == IMPORTED:
        return Parts(base_of((fact_of(line),)))
    if origin != LIVE:
        return Parts(Base(origin, seen, line.failures, users, line.matches, bantime, bancount))
    return Parts(
        Base(origin, seen, line.failures, users, line.matches), Term(seen, False, bantime, bancount), End(begun=seen)
    )


def parts_of(ban: Ban) -> Parts:
    """Return the parts that a record holds."""
    begun = ban.begun if ban.origin == LIVE else NEVER
    prolonged = ban.moment("prolonged")
    end = End(
        begun,
        ban.moment("held") or NEVER,
        ban.moment("unbanned") or ban.moment("unbanned_before") or NEVER,
        Ending(ban.moment("ended") or NEVER, ban.ended_because or ""),
    )
    if end.unbanned is not NEVER and end == End(unbanned=_unbanned_by(ban.origin, ban.logged)):
        end = NO_END
    exact = EXACT if ban.exact is None else ban.exact
    base = Base(ban.origin, ban.moment("seen") or NEVER, ban.failures, ban.users, ban.matches, exact=exact)
    if prolonged is None and ban.origin != LIVE:
        return Parts(replace(base, bantime=ban.bantime, bancount=ban.bancount), end=end)
    return Parts(base, Term(prolonged or begun, prolonged is not None, ban.bantime, ban.bancount), end)


def _unbanned_by(origin: str, facts: Facts) -> Moment:
    """Return when a ban was lifted by what logs say: they are asked only about bans that no action saw."""
    known = [fact.unbanned for fact in facts if fact.unbanned] if origin == IMPORTED else []
    return Moment(min(known), min(known)) if known else NEVER


def _shown(parts: Parts, facts: Facts = ()) -> dict[str, Any]:
    """Return the fields of a record with these parts. Absent moments are left out."""
    base, term, end = parts
    if end == NO_END:
        end = End(unbanned=_unbanned_by(base.origin, facts))
    timed = base if term is NO_TERM else term
    moments = {"seen": base.seen}
    if term.prolonged:
        moments["prolonged"] = term.at
    if end.begun > base.seen:
        moments["reopened"] = end.begun
    if end.unbanned is not NEVER:
        moments["unbanned_before" if end.open_again else "unbanned"] = end.unbanned
    if end.held is not NEVER:
        moments["held"] = end.held
    shown = {
        "origin": base.origin,
        "failures": base.failures,
        "users": base.users,
        "matches": base.matches,
        "bantime": timed.bantime,
        "bancount": timed.bancount,
        "exact": None if base.exact == EXACT else base.exact,
    }
    if not end.overtaken:
        moments["ended"], shown["ended_because"] = end.ended
    for name, moment in moments.items():
        shown[name] = moment.wall
    shown["order"] = tuple(sorted([(name, at.order) for name, at in moments.items() if at.order != at.wall]))
    return shown


def _with_parts(ban: Ban, parts: Parts, facts: Facts) -> Ban:
    """Set the fields that follow from these values. Returns `ban` itself if nothing changes."""
    shown = _WITHOUT_MOMENTS | _shown(parts, facts) | {"logged": facts}
    return _changed(ban, shown if ban.erased is None else shown | {"users": ban.users, "matches": ban.matches})


def erased(ban: Ban, at: float, is_gone: Callable[[str], bool]) -> Ban:
    """Erase the matched lines of a ban, and user names (UTC epoch `at`). Returns `ban` itself if it has none."""
    left = tuple([name for name in ban.users if not is_gone(name)])
    users = tuple([name for name in whole(left) if not is_gone(name)])
    if users == ban.users and not ban.matches:
        return ban
    return replace(ban, users=users, matches=(), erased=int(at))


def _with_country(ban: Ban, line: TicketLine) -> Ban:
    """Set the country of an imported line, unless the record has an alphabetically earlier imported one."""
    if not isinstance(line, BanLine) or not line.origin or ban.scope != PUBLIC or not is_country(line.country):
        return ban
    if ban.country_from == IMPORTED and ban.country and ban.country <= line.country:
        return ban
    return replace(ban, country=line.country, country_from=IMPORTED)


def place_at(ban: Ban, place: Place) -> Ban:
    """Set the place of a ban from whois. Returns `ban` itself if nothing changes."""
    known = {"network": place.network, "asn": place.asn, "org": place.org, "whois": place.whois}
    if ban.country_from != IMPORTED:
        known |= {"country": place.country, "country_from": place.country_from}
    return _changed(ban, known)


def with_whole_users(ban: Ban) -> Ban:
    """Repair `users` that hold the text of a list (see `users`). Returns `ban` itself if nothing changes."""
    return _changed(ban, {"users": whole(ban.users)}) if ban.origin == RESTORED else ban


def bounded(bantime: int) -> int:
    """Limit a bantime to 4,000 years, so that the end of a ban is a date. Negative bantimes become -1: for ever."""
    return max(-1, min(bantime, LONGEST_BANTIME))


def _changed(ban: Ban, changes: dict[str, Any]) -> Ban:
    changed = replace(ban, **changes)
    return ban if changed == ban else changed
