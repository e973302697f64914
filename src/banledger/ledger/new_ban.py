"""The record of a new ban. Pure.

`merge.begin_from_parts` makes it from any line. Most lines are live bans or facts of logs, and what it does for those
has no joins, so each stands here as one step; property tests compare them.
"""

from msgspec.structs import replace

from banledger.geo.place import Place
from banledger.ledger.ban import FOUND, IMPORTED, LINE, LIVE, Ban
from banledger.ledger.ban_forms import LONGEST_BANTIME
from banledger.ledger.ids import Subject
from banledger.ledger.log_fact import Facts
from banledger.ledger.merge import base_of, begin_from_parts, bounded
from banledger.ledger.moment import in_microseconds
from banledger.ledger.users import tried
from banledger.spool.events import BanLine, TicketLine


def begin(id_: str, subject: Subject, local: tuple[str, int], ip: str | None, place: Place, line: TicketLine) -> Ban:
    """Make the record of a ban from its first line. `local`: its day and hour (see Ban)."""
    if type(line) is BanLine and not (line.origin or line.restored):
        return _begin_live(id_, subject, local, ip, place, line)
    return begin_from_parts(id_, subject, local, ip, place, line)


def begin_from_facts(
    id_: str, subject: Subject, local: tuple[str, int], ip: str | None, place: Place, facts: Facts
) -> Ban:
    """Make the record of a ban that only logs tell of: what `with_facts` returns for its facts."""
    if len(facts) == 1:  # as most have
        return _begin_from_fact(id_, subject, local, ip, place, facts)
    base = base_of(facts)
    unbanned = min((fact.unbanned for fact in facts if fact.unbanned), default=None)
    ban = _new(id_, subject, local, ip, place, base.origin, facts[0].logged, base.failures, base.bantime, base.bancount)
    return replace(ban, unbanned=unbanned, exact=base.exact, logged=facts)


def _begin_from_fact(
    id_: str, subject: Subject, local: tuple[str, int], ip: str | None, place: Place, facts: Facts
) -> Ban:
    """What `begin_from_facts` returns for one fact, in a fraction of the time."""
    (fact,) = facts
    bantime = bounded(fact.bantime)
    ban = _new(id_, subject, local, ip, place, IMPORTED, fact.logged, fact.failures, bantime, fact.bancount)
    return replace(ban, unbanned=fact.unbanned or None, exact=FOUND if fact.found else LINE, logged=facts)


def _begin_live(id_: str, subject: Subject, local: tuple[str, int], ip: str | None, place: Place, line: BanLine) -> Ban:
    """What `begin_from_parts` returns for a live ban line, which most lines are, in a fraction of the time."""
    seen, bantime = in_microseconds(line.seen), line.bantime
    ban = _new(
        id_,
        subject,
        local,
        ip,
        place,
        LIVE,
        seen,
        line.failures,
        bantime if 0 <= bantime <= LONGEST_BANTIME else bounded(bantime),
        line.bancount,
        tried(line.users, restored=False) if line.users else (),
        line.matches,
    )
    order = in_microseconds(line.at) if line.at else seen
    return ban if order == seen else replace(ban, order=(("seen", order),))


def _new(
    id_: str,
    subject: Subject,
    local: tuple[str, int],
    ip: str | None,
    place: Place,
    origin: str,
    seen: float,
    failures: int,
    bantime: int,
    bancount: int,
    users: tuple[str, ...] = (),
    matches: tuple[str, ...] = (),
) -> Ban:
    """Return the ban with these fields: by their places, since names take longer."""
    return Ban(
        id_,
        subject.server,
        subject.jail,
        subject.fid,
        subject.time,
        local[0],
        local[1],
        ip,
        place.scope,
        place.country,
        place.country_from,
        place.network,
        place.asn,
        place.org,
        place.whois,
        place.located,
        place.located_from,
        origin,
        seen,
        failures,
        bantime,
        bancount,
        users,
        matches,
    )
