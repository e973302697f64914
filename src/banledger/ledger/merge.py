"""How the lines about a ban become its record. Pure.

Theory of operation. `merge` is a join: lines may come in any order and any number of times, through any number of
recorders, and the record ends the same. What a line says of a ban, and what a record knows of it, are the same three
values (`Parts`), each with a join of its own:

    Base  origin seen failures users matches   the best origin's (live before restored before import); of several of
                                               one origin the earliest
    Term  bantime bancount prolonged           the latest of live ban lines and prolongs; where there is none, the
                                               term that the base came with
    End   reopened unbanned held ended         the latest of each

What a record shows follows from them: an unban holds unless the ban was begun or held after it, an ending holds unless
the ban was begun, held or unbanned after it. An ending that holds no longer is forgotten, since what overtook it stays.

A fourth join, of the country: one that an imported line names is worth more than the registry's, whatever else is known
of the ban; of several, the first of the alphabet. All else of a place is whois's (`place_at`).

A restored line fills a hole and never changes a record that a live line made (fail2ban's bancount is then one too
high); no more does an imported one, but for the country. An amendment that comes before its ban makes a `pending`
record, which counts nowhere until the ban comes. Equal moments are decided by content, so that the order of arrival
never matters.
"""

from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import asdict, replace

from banledger.geo.countries import is_country
from banledger.geo.place import Place
from banledger.ledger.ban import IMPORTED, LIVE, LONGEST_BANTIME, PENDING, PUBLIC, RANK, RESTORED, Ban
from banledger.ledger.ids import Subject, whole_second
from banledger.ledger.moment import Moment
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
    """How a ban began. `bantime` and `bancount`: the term that it came with; of a live one that is a `Term`."""

    origin: str
    seen: Moment
    failures: int = 0
    users: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()
    bantime: int = 0
    bancount: int = 0

    def join(self, other: "Base") -> "Base":
        """The best origin's; of one origin the earliest."""
        return min(self, other, key=_preference)


def _preference(base: Base) -> tuple[object, ...]:
    return RANK[base.origin], base.seen, base.failures, base.users, base.matches, -base.bantime, -base.bancount


class Term(Struct, frozen=True, gc=False, order=True):
    """How long a ban lasts, as a live ban line or (`prolonged`) a prolong said at that moment."""

    at: Moment = _NEVER
    prolonged: bool = False
    bantime: int = 0
    bancount: int = 0

    def join(self, other: "Term") -> "Term":
        """The latest; a prolong goes before a ban line of the same moment."""
        return max(self, other)


class Ending(NamedTuple):
    """When a snapshot did not show the ban any more, and why."""

    at: Moment
    because: str


class End(Struct, frozen=True, gc=False):
    """The last time that a ban was begun live, held by a snapshot, unbanned, and missing in a snapshot."""

    begun: Moment = _NEVER
    held: Moment = _NEVER
    unbanned: Moment = _NEVER
    ended: Ending = Ending(_NEVER, "")  # immutable

    def join(self, other: "End") -> "End":
        """The latest of each."""
        return End(
            max(self.begun, other.begun),
            max(self.held, other.held),
            max(self.unbanned, other.unbanned),
            max(self.ended, other.ended),
        )

    @property
    def open_again(self) -> bool:
        """Whether the ban was begun or held after it was unbanned."""
        return self.begun > self.unbanned or self.held >= self.unbanned

    @property
    def overtaken(self) -> bool:
        """Whether the ban was begun, held or unbanned after it ended."""
        ended = self.ended.at
        return self.begun > ended or self.held >= ended or self.unbanned > ended


_NO_TERM, _NO_END = Term(), End()


class Parts(NamedTuple):
    """What is known of a ban, but for its place."""

    base: Base
    term: Term = _NO_TERM
    end: End = _NO_END

    def join(self, other: "Parts") -> "Parts":
        """Part by part."""
        return Parts(self.base.join(other.base), self.term.join(other.term), self.end.join(other.end))


def subject_of(line: TicketLine) -> Subject:
    """The identity behind a line: address in its one spelling, time in whole seconds as fail2ban keeps it."""
    return Subject(line.server, line.jail, canonical_address(line.fid) or line.fid, whole_second(line.time))


def address_of(line: TicketLine) -> str | None:
    """The offender's address or network, canonical, or None if fail2ban banned something else."""
    return canonical_address(line.ip or line.fid) or (canonical_address(line.fid) if line.ip else None)


def begin(id_: str, subject: Subject, local: tuple[str, int], ip: str | None, place: Place, line: TicketLine) -> Ban:
    """The record of a ban of which nothing is known but `line`. `local`: its day and hour (see Ban)."""
    day, hour = local
    shown = _shown(parts_of_line(line))
    return _with_country(Ban(id=id_, day=day, hour=hour, ip=ip, **asdict(subject), **asdict(place), **shown), line)


def merge(ban: Ban, line: TicketLine) -> Ban:
    """`ban` with what `line` says of it. Returns `ban` itself if it says nothing new."""
    known = parts_of(ban)
    joined = known.join(parts_of_line(line))
    return _with_country(ban if joined == known else _changed(ban, _WITHOUT_MOMENTS | _shown(joined)), line)


def parts_of_line(line: TicketLine) -> Parts:
    """What a line says."""
    seen = Moment(round(line.order, 6), round(line.seen, 6))  # with the microseconds that a hash keeps
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
    # fail2ban counts the restoring itself as one more ban.
    bancount = line.bancount - 1 if line.restored and line.bancount else line.bancount
    if origin != LIVE:
        return Parts(Base(origin, seen, line.failures, users, line.matches, bantime, bancount))
    return Parts(
        Base(origin, seen, line.failures, users, line.matches), Term(seen, False, bantime, bancount), End(begun=seen)
    )


def parts_of(ban: Ban) -> Parts:
    """What a record knows."""
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
    """The fields of a record that knows these. Moments that there are none of are left out."""
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
    """An imported country takes the place of a registry's, and of an imported one behind it in the alphabet."""
    if not isinstance(line, BanLine) or not line.origin or ban.scope != PUBLIC or not is_country(line.country):
        return ban
    if ban.country_from == IMPORTED and ban.country and ban.country <= line.country:
        return ban
    return replace(ban, country=line.country, country_from=IMPORTED)


def place_at(ban: Ban, place: Place) -> Ban:
    """`ban` with what whois tells of its address. Returns `ban` itself if that is nothing new."""
    known = {"network": place.network, "asn": place.asn, "org": place.org, "whois": place.whois}
    if ban.country_from != IMPORTED:
        known |= {"country": place.country, "country_from": place.country_from}
    return _changed(ban, known)


def with_whole_users(ban: Ban) -> Ban:
    """`ban` as it would be recorded today, where `users` holds the text of a list. Returns `ban` itself elsewhere."""
    return _changed(ban, {"users": whole(ban.users)}) if ban.origin == RESTORED else ban


def bounded(bantime: int) -> int:
    """Seconds up to 4,000 years: the end of a ban is still a date. Every time below zero means for ever."""
    return max(-1, min(bantime, LONGEST_BANTIME))


def _changed(ban: Ban, changes: dict[str, Any]) -> Ban:
    changed = replace(ban, **changes)
    return ban if changed == ban else changed
