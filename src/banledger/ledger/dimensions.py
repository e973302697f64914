"""The table of dimensions: bans are indexed, counted and filtered by them. Keys, titles and flags follow. Pure."""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from banledger.ledger import filters
from banledger.ledger.filters import Filter
from banledger.ledger.tokens import source_token, token

if TYPE_CHECKING:
    from banledger.ledger.ban import Ban
    from banledger.stores.selection import Condition

Get: TypeAlias = Callable[["Ban"], str | None]
"""Return a ban's token in a dimension; None: it has none."""


class Dimension(NamedTuple):
    """One dimension.

    holds    its values in keys, for docs/keyspace.md
    noun     noun for one value in titles of reports; empty: the name
    token    a ban's token; None: a ban has several (`user`)
    filter   its filter; None: none
    encoded  whether values are percent-encoded in tokens
    indexed  whether it has a set for each value, and an all-time ranking
    tallied  whether it has a tally for each day
    few      whether it has few different values
    field    the field of a ban that it is made of; empty: the one with its name
    """

    name: str
    holds: str
    token: Get | None
    noun: str = ""
    filter: Filter | None = None
    encoded: bool = False
    indexed: bool = True
    tallied: bool = True
    few: bool = True
    field: str = ""

    def tokens(self, ban: "Ban") -> tuple[str, ...]:
        """Return all tokens of a ban in this dimension."""
        if self.token is None:
            return tuple([token(name) for name in ban.users])
        return (found,) if (found := self.token(ban)) else ()

    def token_of(self, value: str) -> str:
        """Return a value as it is written in keys and tallies."""
        return token(value) if self.encoded else value

    def conditions(self, values: Iterable[str]) -> "tuple[Condition, ...]":
        """Return the conditions of which bans with any of these filter values pass at least one."""
        from banledger.stores.selection import Is

        beyond = {value: self.filter.beyond(value) if self.filter else None for value in values}
        more = tuple([condition for condition in beyond.values() if condition])
        tokens = frozenset([self.token_of(value) for value, condition in beyond.items() if not condition]) - {""}
        return (Is(self.name, tokens), *more) if tokens or not more else more


def _id(ban: "Ban") -> str | None:
    return None if ban.fid == ban.ip else token(ban.fid)


def _pair(ban: "Ban") -> str | None:
    return f"{token(ban.jail)}|{ban.country}" if ban.country else None


HOURS = tuple(f"{hour:02d}" for hour in range(24))
"""The values of the dimension `hour`, in their order."""
DAY = "day"
"""The dimension of local days: a set and a ranking, no tally."""

TABLE = {
    row.name: row
    for row in (
        Dimension(
            "jail", "jail", lambda ban: token(ban.jail), filter=Filter("NAME", "Bans by this jail."), encoded=True
        ),
        Dimension(
            "country",
            "country (ISO 3166, `XX` unknown)",
            attrgetter("country"),
            filter=Filter(
                "CODE",
                "Bans from there: CN, XX (unknown), or private (all special addresses).",
                filters.country,
                filters.private,
            ),
        ),
        Dimension(
            "ip",
            "address or network",
            attrgetter("ip"),
            "address",
            Filter("ADDR|CIDR", "Bans of this address, or of all in this network.", filters.address, filters.inside),
            few=False,
        ),
        Dimension("id", "banned value that is not an address", _id, encoded=True, few=False, field="fid"),
        Dimension("network", "network (a CIDR of whois)", attrgetter("network"), few=False),
        Dimension(
            "asn",
            "autonomous system (its number)",
            lambda ban: None if ban.asn is None else str(ban.asn),
            "autonomous system",
            Filter("NUMBER", "Bans of this autonomous system's addresses.", filters.system),
        ),
        Dimension(
            "org",
            "organisation that holds the network",
            lambda ban: token(ban.org) if ban.org else None,
            "organisation",
            encoded=True,
        ),
        Dimension(
            "server",
            "server label",
            lambda ban: token(ban.server),
            filter=Filter("LABEL", "Bans by this server."),
            encoded=True,
        ),
        Dimension(
            "user",
            "user name tried",
            None,
            "user name",
            Filter("NAME", "Bans where this user name was tried."),
            encoded=True,
            field="users",
        ),
        Dimension("server+jail", "server and jail: `server|jail`", lambda ban: source_token(ban.server, ban.jail)),
        Dimension("hour", "hour of the local day", lambda ban: HOURS[ban.hour], indexed=False),
        Dimension("jail+country", "`jail|country`", _pair, indexed=False),
        Dimension(DAY, "local day", attrgetter("day"), indexed=False, tallied=False),
    )
}
"""All dimensions by name. A new index is one row."""

PAIRS = {tuple(name.split("+")): name for name in TABLE if "+" in name}
"""The dimensions whose values are pairs, by the two dimensions that they combine."""

INDEXED = tuple([name for name, row in TABLE.items() if row.indexed])
"""The dimensions with sets, an all-time ranking and a tally for each day."""

FILTERS = {name: row.filter for name, row in TABLE.items() if row.filter}
"""The filters by dimension, in the order of the help."""
