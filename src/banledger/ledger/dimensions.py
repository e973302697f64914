"""What bans are indexed and counted by: the one table. Keys and titles of reports are made from it. Pure."""

from collections.abc import Callable
from operator import attrgetter
from typing import TypeAlias

from msgspec import Struct

from banledger.ledger.ban import Ban
from banledger.ledger.tokens import token

Get: TypeAlias = Callable[[Ban], str | None]
"""The token that a ban has in a dimension, None where it has none."""


class Dimension(Struct, frozen=True):
    """One dimension.

    holds    what stands behind its name in keys, for docs/keyspace.md
    noun     of one value, `title` of a list of them; where they are empty, reports make them of the name
    token    the ban's token; None: it has several (`user`)
    encoded  whether values are percent-encoded in tokens
    indexed  whether it has a set for each value and an all-time ranking; `tallied`: a tally a day
    few      whether the same values come again and again
    """

    name: str
    holds: str
    token: Get | None
    noun: str = ""
    title: str = ""
    encoded: bool = False
    indexed: bool = True
    tallied: bool = True
    few: bool = True

    def tokens(self, ban: Ban) -> tuple[str, ...]:
        """Every token that a ban has in it."""
        if self.token is None:
            return tuple([token(name) for name in ban.users])
        return (found,) if (found := self.token(ban)) else ()

    def token_of(self, value: str) -> str:
        """A value as it stands in keys and tallies."""
        return token(value) if self.encoded else value


def _id(ban: Ban) -> str | None:
    return None if ban.fid == ban.ip else token(ban.fid)


def _pair(ban: Ban) -> str | None:
    return f"{token(ban.jail)}|{ban.country}" if ban.country else None


HOURS = tuple(f"{hour:02d}" for hour in range(24))
"""The values of the dimension of hours, in their order."""
DAY = "day"
"""The dimension of local days: a set and a ranking, no tally."""

TABLE = {
    row.name: row
    for row in (
        Dimension("ip", "address or network", attrgetter("ip"), "address", "Addresses", few=False),
        Dimension("id", "what was banned, where that is no address", _id, "id", "Ids", encoded=True, few=False),
        Dimension("jail", "jail", lambda ban: token(ban.jail), "jail", "Jails", encoded=True),
        Dimension("country", "country (ISO 3166, `XX` unknown)", attrgetter("country"), "country", "Countries"),
        Dimension("server", "server label", lambda ban: token(ban.server), "server", "Servers", encoded=True),
        Dimension("user", "user name tried", None, "user name", "User names", encoded=True),
        Dimension("network", "network (a CIDR of whois)", attrgetter("network"), "network", "Networks", few=False),
        Dimension(
            "asn",
            "autonomous system (its number)",
            lambda ban: None if ban.asn is None else str(ban.asn),
            "autonomous system",
            "Autonomous systems",
        ),
        Dimension(
            "org",
            "organisation that holds the network",
            lambda ban: token(ban.org) if ban.org else None,
            "organisation",
            "Organisations",
            encoded=True,
        ),
        Dimension("hour", "hour of the local day", lambda ban: HOURS[ban.hour], "hour", "Hours", indexed=False),
        Dimension("jail+country", "`jail|country`", _pair, indexed=False),
        Dimension(DAY, "local day", attrgetter("day"), "day", "Days", indexed=False, tallied=False),
    )
}
"""Every dimension by its name. A new index is one row."""

INDEXED = tuple([name for name, row in TABLE.items() if row.indexed])
"""What has a set, an all-time ranking and a tally a day."""
