"""Answers as values."""

from collections.abc import Iterable

from msgspec import Struct

from banledger.ledger.ban import Ban
from banledger.ledger.gap import Gap
from banledger.ledger.network import Network
from banledger.report.query import Query


class Count(Struct, frozen=True):
    """A value of a dimension and its number of bans. `owner`: of a network, if whois knows it."""

    name: str
    bans: int
    owner: str = ""


class Day(Struct, frozen=True):
    """A local day, its bans, and the number of their addresses and networks."""

    day: str
    bans: int
    offenders: int


class Top(Struct, frozen=True):
    """The values of a dimension with the most bans, most first, ties in natural order (`natural`).

    `total` counts the bans of the query; `distinct` all values, None if not counted.
    """

    dimension: str
    query: Query
    total: int
    distinct: int | None
    rows: tuple[Count, ...]


class Report(Struct, frozen=True):
    """What happened in a span.

    total       bans that match the query; `all_time`: all bans of the ledger
    since       the ledger's first day, None if it is empty
    offenders   number of their addresses and networks, None if not counted
    banned_now  bans in force, of the whole ledger; None if the query has filters or its span is over
    no_country  bans of private addresses, or without address
    days        every day of the span from the ledger's first one on
    hours       bans by hour of the local day, 24 of them
    tops        by dimension, in the order of the report; servers only if there are several
    waiting     bans of the whole ledger that wait for whois
    gaps        gaps in the span, newest first
    """

    query: Query
    timezone: str
    total: int
    all_time: int
    since: str | None
    offenders: int | None
    banned_now: int | None
    no_country: int
    days: tuple[Day, ...]
    hours: tuple[int, ...]
    tops: dict[str, Top]
    waiting: int
    gaps: tuple[Gap, ...]


class Listed(Struct, frozen=True):
    """Bans one by one, newest first. They may be produced while they are written."""

    bans: Iterable[Ban]


class Shown(Struct, frozen=True):
    """What the ledger has about an address, a network, a ban or a text.

    asked   canonical text of the question; `kind`: address, network, ban (an id of ours) or id (other banned text)
    values    addresses, networks or texts with their number of bans
    bans      newest first
    networks  records of the networks around it, smallest first; none where `whois` would need a look-up
    forgotten when that ban was forgotten, UTC epoch seconds; None: it was not
    renamed   the label that its server got then: it has another id now; empty: it was forgotten
    """

    asked: str
    kind: str
    values: tuple[tuple[str, int], ...]
    bans: tuple[Ban, ...]
    networks: tuple[Network, ...] = ()
    forgotten: int | None = None
    renamed: str = ""
