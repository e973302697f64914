"""The record of one ban, and how what is learned of it merges into what is known.

Theory of operation. `merge` is a join: events may come in any order and any number of times, through any number
of recorders, and the record ends the same. Four groups of fields, each with its own rule:

    base   seen failures users matches      from the best origin (live before restored before import); of several
                                            the earliest
    term   bantime bancount expires         of a live ban: from the latest of its ban lines and prolongs;
                                            of another one: from a prolong if there was one, else its base
    end    unbanned held ended              the latest of each; a later live ban or `held` opens the record again, a
                                            later unban takes the place of `ended`
    place  country network asn org whois    from what is known when the record begins; later from whois (`place_at`)

A restored line fills a hole and never changes a record that a live line made (fail2ban's bancount is then one too
high); no more does an imported one, but for the country. A country that an imported line names is worth more than
what the address's registry says, whatever else is known of the ban; of several, the first of the alphabet. So it
can't matter whether the import or the ban itself came first. An amendment that comes before its ban makes a
`pending` record, which counts nowhere until the ban comes. Equal moments are decided by content, so that the order
of arrival never matters.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from banledger.geo.countries import ISO
from banledger.geo.place import Place
from banledger.ledger import ids as identity
from banledger.ledger.ids import whole_second
from banledger.ledger.users import tried, whole
from banledger.net.address import canonical_address
from banledger.net.prefix import block
from banledger.net.special import kind_of
from banledger.spool.events import BanLine, ProlongLine, TicketLine, UnbanLine
from banledger.stores import fields as read

LIVE = "live"
IMPORTED = "import"
RESTORED = "restored"
PENDING = "pending"
_WHOIS = frozenset(("proven", "none", "waiting", "inherited", "stale"))
_NEEDED = frozenset(("server", "jail", "fid", "ip"))
_RANK = {LIVE: 0, RESTORED: 1, IMPORTED: 2, PENDING: 3}

_PUBLIC = "public"

PROVEN, NONE = "proven", "none"
WAITING, INHERITED, STALE = "waiting", "inherited", "stale"
WAITS = frozenset((WAITING, INHERITED, STALE))
"""The states of `whois` in which a ban waits for a look-up."""
FOR_EVER = "never"
"""The text of `expires` of a ban without end."""

_BASE = ("seen", "failures", "users", "matches")
_TERM = ("bantime", "bancount")

_MAX_BANTIME = 2**37
_SALTS = 4  # ids that a ban may have: two bans never met in one yet

SCOPES = frozenset(("public", "private", "none"))
"""What `scope` may be."""

Local: TypeAlias = Callable[[int], tuple[str, int]]
"""Tells the local day (YYYY-MM-DD) and hour of a UTC epoch second."""


class Subject(Struct, frozen=True, gc=False, cache_hash=True):
    """What a ban's identity is made of. `fid` canonical, `time` whole UTC epoch seconds."""

    server: str
    jail: str
    fid: str
    time: int


class Moment(NamedTuple):
    """When something was seen, in seconds. They compare by `order`."""

    order: float
    wall: float


class HeldTicket(TicketLine, frozen=True, tag="held ticket"):
    """A snapshot shows that fail2ban holds the ban."""


class EndedTicket(TicketLine, frozen=True, tag="ended ticket"):
    """A snapshot shows that fail2ban does not hold the ban any more."""

    reason: str = ""


class Ban(Struct, frozen=True, gc=False):
    """One ban. Times are UTC epoch seconds; `day` and `hour` are local to the ledger's time zone.

    ip        the offender's address or network, canonical; None if fail2ban banned something else
    scope     public, private (or another special one), none (no address)
    country   ISO 3166 code, XX unknown, None where there is no public address; `country_from` its source
    network   CIDR of the network that the address belongs to, `asn` who announces it, `org` who holds it
    whois     how well that is known, or what it waits for (`WAITS`); None: nobody asks
    located   ISO 3166 code of a geolocation database, `located_from` its name
    origin    live, import, restored, or pending (only amendments are known)
    seen      when the base's writer saw it
    bantime   seconds, negative for ever
    prolonged when the term was last made longer; `reopened`: when a live ban followed on the first
    unbanned  when it was lifted, if it is; `unbanned_before`: the last time it was, if it is in force again
    held      when a snapshot last showed that it is in force where the record said that it is not
    ended     when a snapshot showed that it is in force no longer; `ended_because`: why
    order     of those of these moments that the wall clock does not show in their order: (name, seconds)
    """

    id: str
    server: str
    jail: str
    fid: str
    time: int
    day: str
    hour: int
    ip: str | None
    scope: str
    country: str | None
    country_from: str | None
    network: str | None = None
    asn: int | None = None
    org: str | None = None
    whois: str | None = None
    located: str | None = None
    located_from: str | None = None
    origin: str = PENDING
    seen: float = 0.0
    failures: int = 0
    bantime: int = 0
    bancount: int = 0
    users: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()
    prolonged: float | None = None
    reopened: float | None = None
    unbanned: float | None = None
    unbanned_before: float | None = None
    held: float | None = None
    ended: float | None = None
    ended_because: str | None = None
    order: tuple[tuple[str, float], ...] = ()

    @property
    def subject(self) -> Subject:
        """What its id was computed from."""
        return Subject(self.server, self.jail, self.fid, self.time)

    @property
    def expires(self) -> float:
        """When it runs out by itself, UTC epoch seconds; infinity for a ban without end."""
        return float("inf") if self.bantime < 0 else float(self.time + self.bantime)

    @property
    def waits(self) -> bool:
        """Whether it is recorded and waits for whois."""
        return self.whois in WAITS and self.origin != PENDING

    @property
    def open(self) -> bool:
        """Whether it has not been lifted (it may have run out), as far as fail2ban ever held it."""
        return self.unbanned is None and self.ended is None and (self.origin != IMPORTED or self.held is not None)


def subject_of(line: TicketLine) -> Subject:
    """The identity behind a line: address in its one spelling, time in whole seconds as fail2ban keeps it."""
    return Subject(line.server, line.jail, canonical_address(line.fid) or line.fid, whole_second(line.time))


def address_of(line: TicketLine) -> str | None:
    """The offender's address or network, canonical, or None if fail2ban banned something else."""
    return canonical_address(line.ip or line.fid) or (canonical_address(line.fid) if line.ip else None)


def begin(id_: str, subject: Subject, local: tuple[str, int], ip: str | None, place: Place, line: TicketLine) -> Ban:
    """The record of a ban of which nothing is known but `line`. `local`: its day and hour (see Ban)."""
    known = _walls(_opening(line)) if isinstance(line, BanLine) else {}
    ban = Ban(
        id_,
        subject.server,
        subject.jail,
        subject.fid,
        subject.time,
        *local,
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
        **known,
    )
    if isinstance(line, BanLine):
        return _merge_country(ban, line) if line.origin else ban
    return merge(ban, line)


def merge(ban: Ban, line: TicketLine) -> Ban:
    """`ban` with what `line` says of it. Returns `ban` itself if it says nothing new."""
    merged = _merge(ban, line)
    return ban if merged == ban else merged


def _merge(ban: Ban, line: TicketLine) -> Ban:
    if isinstance(line, BanLine):
        return _merge_ban(ban, line)
    if isinstance(line, ProlongLine):
        return _merge_prolong(ban, line)
    if isinstance(line, UnbanLine):
        return _merge_unban(ban, _moment(line))
    if isinstance(line, EndedTicket):
        return _merge_ended(ban, line)
    if isinstance(line, HeldTicket):
        return _merge_held(ban, _moment(line))
    return ban


def _opening(line: BanLine) -> dict[str, Any]:
    """What a record begins with: origin, base and term of the line."""
    return {
        "origin": IMPORTED if line.origin else RESTORED if line.restored else LIVE,
        "seen": _moment(line),
        "failures": line.failures,
        "users": tried(line.users, restored=bool(line.restored)),
        "matches": line.matches,
        "bantime": bounded(line.bantime),
        # fail2ban counts the restoring itself as one more ban.
        "bancount": line.bancount - 1 if line.restored and line.bancount else line.bancount,
    }


def _merge_ban(ban: Ban, line: BanLine) -> Ban:
    opening = _opening(line)
    origin, seen = opening["origin"], opening["seen"]
    base, term = ({name: opening[name] for name in names} for names in (_BASE, _TERM))
    ban = _merge_country(ban, line)
    if _RANK[origin] > _RANK[ban.origin]:
        return ban
    prolonged = moment_of(ban, "prolonged")
    if _RANK[origin] < _RANK[ban.origin]:
        changes: dict[str, Any] = {"origin": origin, **base}
        if prolonged is None or (origin == LIVE and prolonged < seen):
            changes |= term | {"prolonged": None}
        return _settle_end(_changed(ban, changes))
    first, latest = moment_of(ban, "seen"), last_begun(ban)
    changes = {}
    if _base_order(base) < _base_order(_fields(ban, base)):
        changes |= base
    if origin == LIVE:
        later = seen > latest or (seen == latest and _larger(term, ban))
        if later and (prolonged is None or prolonged < seen):
            changes |= term | {"prolonged": None}
        latest = max(latest, seen)
        first = changes.get("seen", first)
        changes["reopened"] = latest if latest > first else None
    elif prolonged is None and (changes or (_same(base, ban) and _larger(term, ban))):
        changes |= term
    return _settle_end(_changed(ban, changes))


def _merge_country(ban: Ban, line: BanLine) -> Ban:
    """An imported country takes the place of a registry's, and of an imported one behind it in the alphabet."""
    known = ban.country if ban.country_from == IMPORTED else None
    if ban.scope != _PUBLIC or not line.origin or not is_country(line.country) or (known and known <= line.country):
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


def is_country(text: str) -> bool:
    """Whether an import may name this as a country: a code of ISO 3166-1. Not so AP, EU, ZZ, or XX for unknown."""
    return text in ISO


def _merge_prolong(ban: Ban, line: ProlongLine) -> Ban:
    seen = _moment(line)
    latest = last_begun(ban) if ban.origin == LIVE else _NEVER_SEEN
    known = moment_of(ban, "prolonged") or _NEVER_SEEN
    term = {"bantime": bounded(line.bantime), "bancount": line.bancount}
    ban = _first_seen(ban, seen)
    if seen < latest or seen < known or (seen == known and not _larger(term, ban)):
        return ban
    return _changed(ban, term | {"prolonged": seen})


def _merge_unban(ban: Ban, seen: Moment) -> Ban:
    ban = _first_seen(ban, seen)
    last = max(seen, moment_of(ban, "unbanned") or seen, moment_of(ban, "unbanned_before") or seen)
    return _settle_end(_changed(ban, {"unbanned": last, "unbanned_before": None}))


def _merge_held(ban: Ban, seen: Moment) -> Ban:
    ban = _first_seen(ban, seen)
    return _settle_end(_changed(ban, {"held": max(seen, moment_of(ban, "held") or seen)}))


def _merge_ended(ban: Ban, line: EndedTicket) -> Ban:
    seen = _moment(line)
    ban = _first_seen(ban, seen)
    known = moment_of(ban, "ended")
    if known is not None and (known, ban.ended_because or "") >= (seen, line.reason):
        return ban
    return _settle_end(_changed(ban, {"ended": seen, "ended_because": line.reason}))


def _first_seen(ban: Ban, seen: Moment) -> Ban:
    """A pending record was first seen with its earliest amendment."""
    if ban.origin == PENDING and (not ban.seen or seen < _seen(ban)):
        return _changed(ban, {"seen": seen})
    return ban


def _settle_end(ban: Ban) -> Ban:
    """Decide whether the last unban and the last ending hold: they do unless the ban was begun or held after."""
    unbanned = moment_of(ban, "unbanned") or moment_of(ban, "unbanned_before")
    begun = last_begun(ban) if ban.origin == LIVE else _NEVER_SEEN
    held = moment_of(ban, "held") or _NEVER_SEEN
    changes: dict[str, Any] = {}
    if unbanned is not None:
        again = begun > unbanned or held >= unbanned
        changes |= {"unbanned": None if again else unbanned, "unbanned_before": unbanned if again else None}
    ended = moment_of(ban, "ended")
    if ended is not None and (begun > ended or held >= ended or (unbanned is not None and unbanned > ended)):
        changes |= {"ended": None, "ended_because": None}
    return _changed(ban, changes)


# A moment has its place on a timeline that no clock step bends, and what the wall clock showed. `Ban` has the
# latter in its fields, and in `order` the former of those where the two differ.


_NEVER_SEEN = Moment(float("-inf"), 0.0)
_MOMENTS = frozenset(("seen", "prolonged", "reopened", "held", "unbanned", "unbanned_before", "ended"))


def _moment(line: TicketLine) -> Moment:
    """When the line was seen, with the microseconds that a hash keeps."""
    return Moment(round(line.order, 6), round(line.seen, 6))


def moment_of(ban: Ban, name: str) -> Moment | None:
    """A moment of a ban, None where it has none."""
    wall: float | None = getattr(ban, name)
    if wall is None:
        return None
    return Moment(dict(ban.order).get(name, wall) if ban.order else wall, wall)


def _seen(ban: Ban) -> Moment:
    return moment_of(ban, "seen") or _NEVER_SEEN


def last_begun(ban: Ban) -> Moment:
    """When the ban was last begun."""
    return moment_of(ban, "reopened") or _seen(ban)


def _walls(changes: dict[str, Any], order: tuple[tuple[str, float], ...] = ()) -> dict[str, Any]:
    """Changes with moments, as values of the fields of a `Ban` that had that `order`."""
    moments = {name: value for name, value in changes.items() if name in _MOMENTS}
    bent = {name: value for name, value in order if name not in moments}
    bent |= {name: value.order for name, value in moments.items() if value and value.order != value.wall}
    walls = {name: value.wall if value else None for name, value in moments.items()}
    return changes | walls | {"order": tuple(sorted(bent.items()))}


def bounded(bantime: int) -> int:
    """Seconds up to 4,000 years: the end of a ban is still a date. Every time below zero means for ever."""
    return max(-1, min(bantime, _MAX_BANTIME))


def _base_order(base: dict[str, Any]) -> tuple[Any, ...]:
    return (base["seen"], base["failures"], base["users"], base["matches"])


def _fields(ban: Ban, like: dict[str, Any]) -> dict[str, Any]:
    return {name: _seen(ban) if name == "seen" else getattr(ban, name) for name in like}


def _same(base: dict[str, Any], ban: Ban) -> bool:
    return _base_order(base) == _base_order(_fields(ban, base))


def _larger(term: dict[str, int], ban: Ban) -> bool:
    return (term["bantime"], term["bancount"]) > (ban.bantime, ban.bancount)


def _changed(ban: Ban, changes: dict[str, Any]) -> Ban:
    if not _MOMENTS.isdisjoint(changes):
        changes = _walls(changes, ban.order)
    if all(getattr(ban, name) == value for name, value in changes.items()):
        return ban
    return replace(ban, **changes)


# The hash of a ban: text for text, so that anyone can read it with a plain client.

FIELDS = {
    "server": "label of the server whose fail2ban banned",
    "jail": "jail",
    "ip": "the offender's address or network in its one spelling; absent where fail2ban named none",
    "fid": "what fail2ban banned: an address or network in its one spelling, or any other text; absent where it is the "
    "same as `ip`",
    "scope": "`public`, `private` (or another special one: link-local, NAT64, documentation …), `none` (no address)",
    "time": "the ticket's time (its last failure), UTC epoch seconds",
    "day": "local day of `time` in the ledger's time zone, YYYY-MM-DD",
    "hour": "local hour of `time`, 0 to 23",
    "origin": "`live`, `import` (from another record of the past), `restored` (first seen when fail2ban restored it), "
    "`pending` (only amendments are known yet)",
    "seen": "when the action saw it, UTC epoch seconds with microseconds",
    "failures": "failures that led to it",
    "bantime": "seconds, negative: for ever",
    "bancount": "how many times fail2ban has banned it, as fail2ban knows",
    "expires": "when it runs out by itself, UTC epoch seconds, or `never`",
    "country": "ISO 3166 code, `XX` unknown; absent where there is no public address",
    "country_from": "where `country` comes from: `whois` (the network's registration), `iptocc` (the address's "
    "registry), `import`",
    "network": "CIDR of the network that the address belongs to; `bans:whois:<cidr>` has its record",
    "asn": "number of the autonomous system that announces it",
    "org": "organisation that the network is registered to",
    "whois": "how that is known: `proven` (asked about this address or its cell), `inherited` (from the network "
    "around, to be proven), `stale` (proven long ago, to be asked again), `waiting` (to be asked), `none` (no registry "
    "knows); absent where nobody asks",
    "located": "ISO 3166 code of where a geolocation database of yours sees the address",
    "located_from": "name of that database",
    "users": "user names tried, JSON array",
    "matches": "log lines that led to it, JSON array",
    "prolonged": "when fail2ban last made it longer",
    "reopened": "when it was banned again within the same second of ticket time",
    "unbanned": "when it was lifted; absent while it is not",
    "unbanned_before": "when it was lifted before it was banned again",
    "held": "when a snapshot of fail2ban's own list last showed it in force, where this record said otherwise",
    "ended": "when such a snapshot showed that it is in force no longer, though no unban was seen; absent while it is",
    "ended_because": "why: `not restored` (fail2ban started again without it), `not held` (it went unseen)",
    "order": "JSON object: for moments of this hash that a clock step took out of order, where they belong (seconds)",
}
"""Every field of a ban's hash and what it holds."""

_TEXT = ("server", "jail", "scope", "day", "origin")
_PLACE = ("country", "country_from", "network", "org", "whois", "located", "located_from")
_WHOLE = ("time", "hour", "failures", "bantime", "bancount")
_AMENDED = ("prolonged", "reopened", "unbanned", "unbanned_before", "held", "ended")
_LIST = ("users", "matches")

_place_of = attrgetter(*_PLACE)
_amended_of = attrgetter(*_AMENDED)
_NEVER = (None,) * len(_AMENDED)
_json = msgspec.json.encode


def to_hash(ban: Ban) -> dict[str, str]:
    """The ban's hash. Absent values have no field; lists are JSON arrays; moments have microseconds."""
    fields = {
        "server": ban.server,
        "jail": ban.jail,
        "ip": ban.ip or "",
        "scope": ban.scope,
        "time": str(ban.time),
        "day": ban.day,
        "hour": str(ban.hour),
        "origin": ban.origin,
        "seen": f"{ban.seen:.6f}",
        "failures": str(ban.failures),
        "bantime": str(ban.bantime),
        "bancount": str(ban.bancount),
        "expires": FOR_EVER if ban.bantime < 0 else str(ban.time + ban.bantime),
    }
    if ban.ip is None:
        del fields["ip"]
    if ban.fid != ban.ip:
        fields["fid"] = ban.fid
    for name, text in zip(_PLACE, _place_of(ban), strict=True):
        if text is not None:
            fields[name] = text
    if ban.asn is not None:
        fields["asn"] = str(ban.asn)
    if ban.users:
        fields["users"] = _json(ban.users).decode()
    if ban.matches:
        fields["matches"] = _json(ban.matches).decode()
    if (moments := _amended_of(ban)) != _NEVER:
        fields |= {name: f"{moment:.6f}" for name, moment in zip(_AMENDED, moments, strict=True) if moment is not None}
        if ban.ended_because is not None:
            fields["ended_because"] = ban.ended_because
    if ban.order:
        fields["order"] = _json(dict(ban.order)).decode()
    return fields


def from_hash(ban_id: str, fields: Mapping[str, str]) -> Ban:
    """The ban whose hash has `fields`. Raises `fields.Damaged`, a ValueError, if they are no ban's."""
    time = read.whole(fields, "time", most=read.YEAR_3000)
    bantime = read.whole(fields, "bantime", -read.MOST_NUMBER, _MAX_BANTIME)
    if (expires := fields.get("expires")) not in (None, FOR_EVER if bantime < 0 else str(time + bantime)):
        raise read.Damaged("expires", f"does not follow from time and bantime ({len(expires or '')} characters)")
    ip = read.address(fields, "ip")
    return Ban(
        id=ban_id,
        server=read.required(fields, "server"),
        jail=read.required(fields, "jail"),
        fid=read.text(fields, "fid") or ip or read.required(fields, "fid"),
        time=time,
        day=read.day(fields, "day", time),
        hour=read.whole(fields, "hour", most=23),
        ip=ip,
        scope=read.one_of(fields, "scope", SCOPES),
        country=read.country(fields, "country"),
        country_from=read.word(fields, "country_from"),
        network=read.cidr(fields, "network"),
        asn=read.whole_or_none(fields, "asn"),
        org=read.text(fields, "org"),
        whois=read.one_of(fields, "whois", _WHOIS) if "whois" in fields else None,
        located=read.country(fields, "located"),
        located_from=read.text(fields, "located_from", 256),
        origin=read.one_of(fields, "origin", _RANK),
        seen=read.moment(fields, "seen"),
        failures=read.whole(fields, "failures"),
        bantime=bantime,
        bancount=read.whole(fields, "bancount"),
        users=read.texts(fields, "users"),
        matches=read.texts(fields, "matches"),
        **{name: read.moment(fields, name) if name in fields else None for name in _AMENDED},
        ended_because=read.text(fields, "ended_because", 256),
        order=read.moments(fields, "order", _MOMENTS) if "order" in fields else (),
    )


def repaired(ban_id: str, fields: dict[str, str], local: Local) -> dict[str, str] | None:
    """The hash with damaged fields dropped, or made again from the others; None: nobody can tell which ban it was.

    Fields unknown here stay. `local` tells the day and hour of a UTC epoch second.
    """
    left = dict(fields)
    for _ in range(len(FIELDS) + 1):
        try:
            ban = from_hash(ban_id, left)
        except read.Damaged as error:
            known = _again(ban_id, error.field, left, local)
            needed = error.field in _NEEDED and not (error.field == "ip" and "fid" in left)
            if known is None and (needed or error.field not in left):
                return None
            left.pop(error.field, None)
            left |= {} if known is None else {error.field: known}
            continue
        return left if is_own(ban) else _with_own_time(ban_id, left, local)
    return None


def is_own(ban: Ban) -> bool:
    """Whether the id is this ban's, as computed from what never changes."""
    return any(identity.ban_id(ban.server, ban.jail, ban.fid, ban.time, salt) == ban.id for salt in range(_SALTS))


def _with_own_time(id_: str, fields: dict[str, str], local: Local) -> dict[str, str] | None:
    """The hash with the time that its id tells, if that is what was wrong."""
    time = identity.second_of(id_)
    if time is None or fields["time"] == str(time):
        return None
    day, hour = local(time)
    left = fields | {"time": str(time), "day": day, "hour": str(hour)}
    left.pop("expires", None)
    ban = from_hash(id_, left)
    return left | {"expires": to_hash(ban)["expires"]} if is_own(ban) else None


def _again(id_: str, name: str, fields: dict[str, str], local: Local) -> str | None:
    """A field that every ban has, made from the others; None: it can't be, or need not be there."""
    second = identity.second_of(id_)
    time = fields["time"] if fields.get("time", "").isdecimal() and len(fields["time"]) < 12 else str(second)
    if second is None:
        return None
    if name in ("time", "seen"):
        return str(second) if name == "time" else f"{float(time):.6f}"
    if name in ("day", "hour"):
        return str(local(int(time))[name == "hour"])
    if name == "bantime":
        return _bantime_of(fields.get("expires", ""), int(time))
    if name == "scope":
        address = fields.get("ip")
        return "none" if address is None else "private" if kind_of(block(address)) else _PUBLIC
    return {"failures": "0", "bancount": "0", "origin": LIVE}.get(name)


def _bantime_of(expires: str, time: int) -> str:
    """What led to `expires`; 0 where that makes no sense either."""
    if expires == FOR_EVER:
        return "-1"
    return str(max(0, min(int(expires) - time, _MAX_BANTIME))) if expires.isdecimal() and len(expires) < 16 else "0"
