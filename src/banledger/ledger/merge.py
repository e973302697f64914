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

A restored line never changes a record of a live line (fail2ban's bancount is then one too high); an imported line
changes only its country. An amendment that comes before its ban makes a `pending` record, which is not counted until
the ban comes. Equal moments are decided by content, so that the order of arrival never matters.
"""

from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import asdict, replace

from banledger.geo.countries import is_country
from banledger.geo.place import Place
from banledger.ledger.ban import IMPORTED, LIVE, LONGEST_BANTIME, PENDING, PUBLIC, RANK, RESTORED, Ban
from banledger.ledger.ids import Subject, whole_second
from banledger.ledger.moment import Moment, in_microseconds
from banledger.ledger.users import tried, whole
from banledger.net.address import canonical_address
from banledger.spool.events import BanLine, ProlongLine, TicketLine, UnbanLine

_NEVER = Moment(float("-inf"), float("-inf"))
_WITHOUT_MOMENTS = dict.fromkeys(
    ("prolonged", "reopened", "unbanned", "unbanned_before", "held", "ended", "ended_because")
)


class HeldTicket(TicketLine, frozen=True, tag="held ticket"):
    """A snapshot shows that fail2ban holds the ban."""


class EndedTicket(TicketLine, frozen=True, tag="ended ticket"):
    """A snapshot shows that fail2ban does not hold the ban any more."""

    reason: str = ""


class Base(Struct, frozen=True, gc=False):
    """How a ban began. `bantime`, `bancount`: its term, unless the origin is live: then `Term` has it."""

    origin: str
    seen: Moment
    failures: int = 0
    users: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()
    bantime: int = 0
    bancount: int = 0

    def join(self, other: "Base") -> "Base":
        """Return the base of the better origin; of the same origin the earlier one."""
        return min(self, other, key=_preference)


def _preference(base: Base) -> tuple[object, ...]:
    return RANK[base.origin], base.seen, base.failures, base.users, base.matches, -base.bantime, -base.bancount


class Term(Struct, frozen=True, gc=False, order=True):
    """How long a ban lasts, from a live ban line or a prolong (`prolonged`) at that moment."""

    at: Moment = _NEVER
    prolonged: bool = False
    bantime: int = 0
    bancount: int = 0

    def join(self, other: "Term") -> "Term":
        """Return the later one; of the same moment a prolong rather than a ban line."""
        return max(self, other)


class Ending(NamedTuple):
    """When a snapshot no longer had the ban, and why."""

    at: Moment
    because: str


class End(Struct, frozen=True, gc=False):
    """The last time that a ban began live, was held by a snapshot, was unbanned, and was missing in a snapshot."""

    begun: Moment = _NEVER
    held: Moment = _NEVER
    unbanned: Moment = _NEVER
    ended: Ending = Ending(_NEVER, "")  # immutable

    def join(self, other: "End") -> "End":
        """Return the latest of each."""
        return End(
            max(self.begun, other.begun),
            max(self.held, other.held),
            max(self.unbanned, other.unbanned),
            max(self.ended, other.ended),
        )

    @property
    def open_again(self) -> bool:
        """Whether the ban began or was held after it was unbanned."""
        return self.begun > self.unbanned or self.held >= self.unbanned

    @property
    def overtaken(self) -> bool:
        """Whether the ban began, was held or was unbanned after it ended."""
        ended = self.ended.at
        return self.begun > ended or self.held >= ended or self.unbanned > ended


_NO_TERM, _NO_END = Term(), End()


class Parts(NamedTuple):
    """All that is known about a ban, except its place."""

    base: Base
    term: Term = _NO_TERM
    end: End = _NO_END

    def join(self, other: "Parts") -> "Parts":
        """Join each part."""
        return Parts(self.base.join(other.base), self.term.join(other.term), self.end.join(other.end))


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
    shown = _shown(parts_of_line(line))
    return _with_country(Ban(id=id_, day=day, hour=hour, ip=ip, **asdict(subject), **asdict(place), **shown), line)


def merge(ban: Ban, line: TicketLine) -> Ban:
    """Merge a line into a record. Returns `ban` itself if nothing changes."""
    known = parts_of(ban)
    joined = known.join(parts_of_line(line))
    return _with_country(ban if joined == known else _changed(ban, _WITHOUT_MOMENTS | _shown(joined)), line)


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
    if origin != LIVE:
        return Parts(Base(origin, seen, line.failures, users, line.matches, bantime, bancount))
    return Parts(
        Base(origin, seen, line.failures, users, line.matches), Term(seen, False, bantime, bancount), End(begun=seen)
    )


def parts_of(ban: Ban) -> Parts:
    """Return the parts that a record holds."""
    begun = ban.begun if ban.origin == LIVE else _NEVER
    prolonged = ban.moment("prolonged")
    end = End(
        begun,
        ban.moment("held") or _NEVER,
        ban.moment("unbanned") or ban.moment("unbanned_before") or _NEVER,
        Ending(ban.moment("ended") or _NEVER, ban.ended_because or ""),
    )
    base = Base(ban.origin, ban.moment("seen") or _NEVER, ban.failures, ban.users, ban.matches)
    if prolonged is None and ban.origin != LIVE:
        return Parts(replace(base, bantime=ban.bantime, bancount=ban.bancount), end=end)
    return Parts(base, Term(prolonged or begun, prolonged is not None, ban.bantime, ban.bancount), end)


def _shown(parts: Parts) -> dict[str, Any]:
    """Return the fields of a record with these parts. Absent moments are left out."""
    base, term, end = parts
    timed = base if term is _NO_TERM else term
    moments = {"seen": base.seen}
    if term.prolonged:
        moments["prolonged"] = term.at
    if end.begun > base.seen:
        moments["reopened"] = end.begun
    if end.unbanned is not _NEVER:
        moments["unbanned_before" if end.open_again else "unbanned"] = end.unbanned
    if end.held is not _NEVER:
        moments["held"] = end.held
    shown = {
        "origin": base.origin,
        "failures": base.failures,
        "users": base.users,
        "matches": base.matches,
        "bantime": timed.bantime,
        "bancount": timed.bancount,
    }
    if not end.overtaken:
        moments["ended"], shown["ended_because"] = end.ended
    for name, moment in moments.items():
        shown[name] = moment.wall
    shown["order"] = tuple(sorted([(name, at.order) for name, at in moments.items() if at.order != at.wall]))
    return shown


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
