"""Answers as values."""

from collections.abc import Iterable

from msgspec import Struct

from banledger.ledger.ban import Ban
from banledger.ledger.network import Network
from banledger.ledger.reader import Gap
from banledger.report.query import Query


class Count(Struct, frozen=True):
    """A value of a dimension and how many bans have it. `owner`: of a network, as far as whois knows."""

    name: str
    bans: int
    owner: str = ""


class Day(Struct, frozen=True):
    """A local day, its bans, and how many addresses and networks they are of."""

    day: str
    bans: int
    offenders: int


class Top(Struct, frozen=True):
    """The values of a dimension with most bans, most first, equals in natural order (`natural`).

    `total` counts the bans that were asked about; `distinct` all values there are, None where nobody counted.
    """

    dimension: str
    query: Query
    total: int
    distinct: int | None
    rows: tuple[Count, ...]


class Report(Struct, frozen=True):
    """What happened in a span.

    total       bans that the query means; `all_time`: all bans of the ledger
    since       the ledger's first day, None if it is empty
    offenders   addresses and networks they are of, None where nobody counted
    banned_now  bans in force, of the whole ledger; None if the query has filters
    no_country  bans of private addresses, or of no address at all
    days        every day of the span from the ledger's first one on
    hours       bans by hour of the local day, 24 of them
    tops        by dimension, in the order of the report: of servers only if there are several
    waiting     bans of the whole ledger that wait for whois
    gaps        events that were lost in the span, newest first
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
    """Bans one by one, newest first. They may come while they are written."""

    bans: Iterable[Ban]


class Shown(Struct, frozen=True):
    """What the ledger has of what was asked for.

    asked   in its one spelling; `kind`: address, network, ban (an id of ours) or id (other text fail2ban banned)
    values    the addresses, networks or texts that have bans, with how many
    bans      newest first
    networks  records of the networks that an address or network lies in, smallest first; none where `whois` would not
              name one without asking
    """

    asked: str
    kind: str
    values: tuple[tuple[str, int], ...]
    bans: tuple[Ban, ...]
    networks: tuple[Network, ...] = ()
