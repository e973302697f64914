"""What answers show of a ban and of a dimension: the ledger's tables, and what only readers need besides."""

from collections.abc import Mapping, Sequence
from math import isinf

from msgspec import Struct

from banledger.ledger import ban as recorded
from banledger.ledger import keys
from banledger.ledger.ban import Ban
from banledger.report.formats.base import Presentation
from banledger.report.formats.moment import iso
from banledger.report.show import state_of

_INTERNAL = frozenset({"hour", "order"})  # fields of a ban's hash that are no columns


def ban_columns() -> tuple[str, ...]:
    """The columns of a ban in JSON and CSV: its id, every field of its hash, and what follows from them."""
    fields = [name for name in recorded.FIELDS if name not in _INTERNAL]
    return ("id", *fields, "time_iso", "state", "in_force")


def ban_values(ban: Ban, columns: Sequence[str], view: Presentation) -> dict[str, object]:
    """The value of each of these columns; absent values are None."""
    state = state_of(ban, view.now, view.stopped)
    made = {
        "expires": None if isinf(ban.expires) else int(ban.expires),
        "time_iso": iso(ban.time, view.zone),
        "state": str(state.phase),
        "in_force": state.in_force,
    }
    return {name: made[name] if name in made else getattr(ban, name) for name in columns}


class DimensionWords(Struct, frozen=True):
    """How a dimension is called: in a sentence, as a title, as a key of JSON. `reported`: it is a part of a report."""

    noun: str
    title: str
    plural: str
    reported: bool = True


_WORDS = {
    "country": DimensionWords("country", "Countries", "countries"),
    "ip": DimensionWords("address", "Addresses", "addresses"),
    "jail": DimensionWords("jail", "Jails", "jails"),
    "user": DimensionWords("user name", "User names", "users"),
    "network": DimensionWords("network", "Networks", "networks"),
    "server": DimensionWords("server", "Servers", "servers"),
    "asn": DimensionWords("autonomous system", "Autonomous systems", "systems", reported=False),
    "org": DimensionWords("organisation", "Organisations", "organisations", reported=False),
    "hour": DimensionWords("hour", "Hours", "hours", reported=False),
    "day": DimensionWords("day", "Days", "days", reported=False),
    "id": DimensionWords("id", "Ids", "ids", reported=False),
}


def dimensions() -> Mapping[str, DimensionWords]:
    """Every dimension that `top` can be asked for. One that has no words here is called by its name."""
    more = (name for name in keys.DIMENSIONS if name not in _WORDS)
    return _WORDS | {name: DimensionWords(name, f"{name.capitalize()}s", f"{name}s") for name in more}


def reported() -> list[str]:
    """The dimensions of a report, in its order."""
    return [name for name, words in dimensions().items() if words.reported]
