"""The record of one ban, and its hash. How lines merge into it is in `merge`."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

from banledger.ledger import ids as identity
from banledger.net.prefix import block
from banledger.net.special import kind_of
from banledger.stores import fields as read

LIVE = "live"
IMPORTED = "import"
RESTORED = "restored"
PENDING = "pending"
_WHOIS = frozenset(("proven", "none", "waiting", "inherited", "stale"))
_NEEDED = frozenset(("server", "jail", "fid", "ip"))
RANK = {LIVE: 0, RESTORED: 1, IMPORTED: 2, PENDING: 3}
"""Origins, the best first."""

PUBLIC = "public"

PROVEN, NONE = "proven", "none"
WAITING, INHERITED, STALE = "waiting", "inherited", "stale"
WAITS = frozenset((WAITING, INHERITED, STALE))
"""The states of `whois` in which a ban waits for a look-up."""
FOR_EVER = "never"
"""The text of `expires` of a ban without end."""

LONGEST_BANTIME = 2**37
"""Seconds: 4,000 years."""
_SALTS = 4  # ids that a ban may have: two bans never met in one yet

_MOMENTS = frozenset(("seen", "prolonged", "reopened", "held", "unbanned", "unbanned_before", "ended"))

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
    """When something was seen, in seconds: on a timeline that no clock step bends, and by the wall clock.

    They compare by `order`. A record has `wall` in its fields, and `order` of those where the two differ.
    """

    order: float
    wall: float


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

    def moment(self, name: str) -> Moment | None:
        """The moment in that field, None where there is none."""
        wall: float | None = getattr(self, name)
        if wall is None:
            return None
        return Moment(dict(self.order).get(name, wall) if self.order else wall, wall)

    @property
    def begun(self) -> Moment:
        """When it was last begun."""
        return self.moment("reopened") or Moment(dict(self.order).get("seen", self.seen), self.seen)

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
    bantime = read.whole(fields, "bantime", -read.MOST_NUMBER, LONGEST_BANTIME)
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
        origin=read.one_of(fields, "origin", RANK),
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
        return "none" if address is None else "private" if kind_of(block(address)) else PUBLIC
    return {"failures": "0", "bancount": "0", "origin": LIVE}.get(name)


def _bantime_of(expires: str, time: int) -> str:
    """What led to `expires`; 0 where that makes no sense either."""
    if expires == FOR_EVER:
        return "-1"
    return str(max(0, min(int(expires) - time, LONGEST_BANTIME))) if expires.isdecimal() and len(expires) < 16 else "0"
