"""The record of one ban, and its hash. `merge` merges lines into it."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated

from msgspec import Struct

from banledger.ledger.ban_forms import BANTIME, DAY, FID, HOUR, ORDER, TIME
from banledger.ledger.hash_codec import (
    CIDR,
    COUNTRY,
    MOMENT,
    SHORT,
    TEXT,
    TEXTS,
    WHOLE,
    WORD,
    Field,
    Form,
    HashCodec,
    one_of,
    optional,
)
from banledger.ledger.ids import Subject
from banledger.ledger.log_fact import Facts, read_facts, text_of_facts
from banledger.ledger.moment import Moment
from banledger.stores import fields as read

LINE, FOUND, EXACT = 0, 1, 2
"""How a ban's second is known: by its Ban line in a log, by the last failure in a log, or by its ticket."""
LIVE, IMPORTED, RESTORED, PENDING = "live", "import", "restored", "pending"
RANK = {LIVE: 0, RESTORED: 1, IMPORTED: 2, PENDING: 3}
"""Origins, the best first."""

PUBLIC = "public"
PROVEN, NONE = "proven", "none"
WAITING, INHERITED, STALE = "waiting", "inherited", "stale"
WAITS = frozenset((WAITING, INHERITED, STALE))
"""The states of `whois` in which a ban waits for a look-up."""
_WHOIS = WAITS | {PROVEN, NONE}
FOR_EVER = "never"
"""The value of `expires` for a ban without end."""

SCOPES = frozenset(("public", "private", "none"))
"""The values of `scope`."""


class Ban(Struct, frozen=True, gc=False):
    """One ban, and the table of its fields. Times are UTC epoch seconds; `day` and `hour` are local.

    Every attribute except `id` is a field of its hash. It also has `expires`, which follows from others.
    """

    id: str
    server: Annotated[str, Field(TEXT, "label of the server")]
    jail: Annotated[str, Field(TEXT, "jail")]
    fid: Annotated[
        str,
        Field(
            FID,
            "the banned value: a canonical address or network, or any other text; absent if equal to `ip`",
        ),
    ]
    time: Annotated[int, Field(TIME, "the ticket's time (its last failure), UTC epoch seconds")]
    day: Annotated[str, Field(DAY, "local day of `time` in the ledger's time zone, YYYY-MM-DD")]
    hour: Annotated[int, Field(HOUR, "local hour of `time`, 0 to 23", exported=False)]
    ip: Annotated[
        str | None,
        Field(
            optional(Form(read.address)),
            "the offender's address or network, canonical; absent if fail2ban gave none",
        ),
    ]
    scope: Annotated[
        str,
        Field(
            one_of(SCOPES),
            "`public`, `private` (or another special kind: link-local, NAT64, documentation …), `none` (no address)",
        ),
    ]
    country: Annotated[
        str | None,
        Field(
            optional(COUNTRY),
            "ISO 3166 code, `XX` unknown; absent without a public address",
            join="place",
            standing=True,
        ),
    ]
    country_from: Annotated[
        str | None,
        Field(
            optional(WORD),
            "source of `country`: `whois` (the network's registration), `iptocc` (the address's registry), `import`",
            join="place",
        ),
    ]
    network: Annotated[
        str | None,
        Field(
            optional(CIDR),
            "CIDR of the address's network; `bans:whois:<cidr>` has its record",
            join="place",
            standing=True,
        ),
    ] = None
    asn: Annotated[
        int | None,
        Field(optional(WHOLE), "number of the autonomous system that announces it", join="place", standing=True),
    ] = None
    org: Annotated[
        str | None,
        Field(optional(Form(read.text)), "organisation that the network is registered to", join="place", standing=True),
    ] = None
    whois: Annotated[
        str | None,
        Field(
            optional(one_of(_WHOIS)),
            "how well the network is known: `proven` (its cell was looked up), `inherited` (from a near cell),"
            " `stale` (proven long ago), `waiting` (for a look-up), `none` (no registry has a network); absent if"
            " look-ups are disabled",
            join="place",
        ),
    ] = None
    located: Annotated[
        str | None,
        Field(optional(COUNTRY), "located country: ISO 3166 code from your own geolocation database"),
    ] = None
    located_from: Annotated[str | None, Field(optional(SHORT), "name of that database")] = None
    origin: Annotated[
        str,
        Field(
            one_of(RANK),
            "`live`, `import` (imported from another program), `restored` (first seen when fail2ban restored it),"
            " `pending` (only amendments are known yet)",
            join="base",
            standing=True,
        ),
    ] = PENDING
    seen: Annotated[
        float, Field(MOMENT, "when the action saw the ban, UTC epoch seconds with microseconds", join="base")
    ] = 0.0
    failures: Annotated[int, Field(WHOLE, "failures that led to it; 0 in an imported ban: unknown", join="base")] = 0
    bantime: Annotated[
        int, Field(BANTIME, "seconds, negative: for ever; 0 in an imported ban: unknown", join="term", standing=True)
    ] = 0
    bancount: Annotated[
        int, Field(WHOLE, "number of bans of this offender, by fail2ban; 0 in an imported ban: unknown", join="term")
    ] = 0
    users: Annotated[
        tuple[str, ...], Field(TEXTS, "user names that were tried, JSON array", join="base", standing=True)
    ] = ()
    matches: Annotated[
        tuple[str, ...], Field(TEXTS, "log lines that led to it, JSON array", join="base", guarded=False)
    ] = ()
    prolonged: Annotated[float | None, Field(optional(MOMENT), "when fail2ban last prolonged it", join="term")] = None
    reopened: Annotated[
        float | None,
        Field(optional(MOMENT), "when it was banned again within the same second of ticket time", join="end"),
    ] = None
    unbanned: Annotated[
        float | None,
        Field(optional(MOMENT), "when it was lifted; absent if it was not", join="end", standing=True),
    ] = None
    unbanned_before: Annotated[
        float | None,
        Field(optional(MOMENT), "when it was lifted before a later ban within the same second", join="end"),
    ] = None
    held: Annotated[
        float | None,
        Field(
            optional(MOMENT),
            "when a snapshot last showed it in force although this record said otherwise",
            join="end",
            standing=True,
        ),
    ] = None
    ended: Annotated[
        float | None,
        Field(
            optional(MOMENT),
            "when a snapshot showed that it was no longer in force without an unban",
            join="end",
            standing=True,
        ),
    ] = None
    ended_because: Annotated[
        str | None,
        Field(
            optional(SHORT),
            "reason: `not restored` (fail2ban started again without it), `not held` (it ended without an event)",
            join="end",
        ),
    ] = None
    logged: Annotated[
        Facts,
        Field(
            optional(Form(read_facts, text_of_facts), ()),
            "what imported logs say of it, JSON array: for each Ban line its time, and (0: unknown) the last failure's"
            " second, the unban's time, bantime, bancount, failures, and perhaps the first failure's second",
            join="past",
            exported=False,
        ),
    ] = ()
    exact: Annotated[
        int | None,
        Field(
            optional(Form(partial(read.whole, most=FOUND), str)),
            "only if `time` does not come from the ticket: 1 it is the last failure's in a log, 0 the Ban line's",
            join="base",
        ),
    ] = None
    erased: Annotated[
        int | None,
        Field(
            optional(WHOLE), "when its matched lines (perhaps a user name) were erased; none comes back", join="base"
        ),
    ] = None
    order: Annotated[
        tuple[tuple[str, float], ...],
        Field(
            optional(ORDER, ()),
            "JSON object: places on the timeline (seconds) of fields that a clock step put out of order",
            join="end",
            exported=False,
        ),
    ] = ()

    @property
    def subject(self) -> Subject:
        """The identity from which its id is computed."""
        return Subject(self.server, self.jail, self.fid, self.time)

    def moment(self, name: str) -> Moment | None:
        """Return the moment in that field; None: absent."""
        wall: float | None = getattr(self, name)
        if wall is None:
            return None
        return Moment(dict(self.order).get(name, wall) if self.order else wall, wall)

    @property
    def begun(self) -> Moment:
        """When the ban last began."""
        return self.moment("reopened") or Moment(dict(self.order).get("seen", self.seen), self.seen)

    @property
    def expires(self) -> float:
        """When the ban runs out by itself, UTC epoch seconds; infinity for a ban without end."""
        return float("inf") if self.bantime < 0 else float(self.time + self.bantime)

    @property
    def waits(self) -> bool:
        """Whether the ban is recorded and waits for whois."""
        return self.whois in WAITS and self.origin != PENDING

    @property
    def open(self) -> bool:
        """Whether fail2ban held the ban and has not lifted it. It may have run out."""
        return self.unbanned is None and self.ended is None and (self.origin != IMPORTED or self.held is not None)


# The hash of a ban: plain text, readable with any client.

CODEC = HashCodec(Ban)

FIELDS = CODEC.docs | {"expires": "when it runs out by itself, UTC epoch seconds, or `never`"}
"""The fields of a ban's hash, and what each holds."""

GUARDED = CODEC.names(lambda field: bool(field.join) and field.guarded)
"""The fields of a ban that may change after it is recorded. Changes are conditional on them."""

STANDING_FIELDS = CODEC.names(lambda field: field.standing)
"""The fields of a ban's hash that may change and that decide its entries outside its slot."""


def to_hash(ban: Ban) -> dict[str, str]:
    """Return the ban's hash. Absent values have no field; lists are JSON arrays; moments have microseconds."""
    fields = CODEC.to_hash(ban)
    fields["expires"] = _expires(ban.time, ban.bantime)
    if ban.fid == ban.ip:
        del fields["fid"]
    return fields


def from_hash(ban_id: str, fields: Mapping[str, str]) -> Ban:
    """Return the ban with that hash. Raises `fields.Damaged`, a ValueError."""
    ban = Ban(ban_id, *CODEC.values(fields))
    if (expires := fields.get("expires")) not in (None, _expires(ban.time, ban.bantime)):
        raise read.Damaged("expires", f"does not follow from time and bantime ({len(expires or '')} characters)")
    return ban


def _expires(time: int, bantime: int) -> str:
    return FOR_EVER if bantime < 0 else str(time + bantime)
