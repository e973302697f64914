"""Columns of a ban and names of dimensions in reports: the ledger's tables plus what only reports need."""

from collections.abc import Sequence
from math import isinf

from banledger.ledger.ban import CODEC, FIELDS, Ban
from banledger.ledger.dimensions import INDEXED, PAIRS, TABLE
from banledger.report.formats.base import Presentation
from banledger.report.formats.escape import plural
from banledger.report.formats.moment import iso
from banledger.report.show import state_of


def ban_columns() -> tuple[str, ...]:
    """The columns of a ban in JSON and CSV: its id, every exported field of its hash, and derived values."""
    hidden = CODEC.names(lambda field: not field.exported)
    fields = [name for name in FIELDS if name not in hidden]
    return ("id", *fields, "time_iso", "state", "in_force")


def ban_values(ban: Ban, columns: Sequence[str], view: Presentation) -> dict[str, object]:
    """The values of these columns; absent values are None."""
    state = state_of(ban, view.now, view.stopped)
    made = {
        "expires": None if isinf(ban.expires) else int(ban.expires),
        "time_iso": iso(ban.time, view.zone),
        "state": str(state.phase),
        "in_force": state.in_force,
    }
    return {name: made[name] if name in made else getattr(ban, name) for name in columns}


_REPORTED = ("country", "ip", "jail", "user", "network", "server")
"""The dimensions of a report in order."""

_UNREPORTED = ("asn", "org", "hour", "day", "id")
"""Further dimensions of `top`."""


def reported() -> list[str]:
    """The dimensions of a report in order. Other indexes of the ledger come last, except those of pairs."""
    hidden = {*_UNREPORTED, *PAIRS.values()}
    return list(dict.fromkeys((*_REPORTED, *(name for name in INDEXED if name not in hidden))))


def dimensions() -> list[str]:
    """Every dimension of `top`."""
    return [*reported(), *_UNREPORTED]


def noun(dimension: str) -> str:
    """The noun for one value of a dimension: the dimension's name if the table has none."""
    return TABLE[dimension].noun or dimension


def synonyms() -> dict[str, str]:
    """Dimensions of `top` by other words for them: their nouns, and plurals."""
    return {word: name for name in dimensions() for word in (plural(name), noun(name), plural(noun(name)))}


def title(dimension: str) -> str:
    """The title for a list of its values."""
    return plural(noun(dimension)).capitalize()


def key(dimension: str) -> str:
    """Its key in a report's JSON."""
    return "addresses" if dimension == "ip" else plural(dimension)
