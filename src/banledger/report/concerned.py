"""What a request to forget concerns in a ledger: shown before, and proof after."""

from collections.abc import Callable

from msgspec import Struct

from banledger.ledger.dimensions import DAY, TABLE
from banledger.ledger.forget_request import ForgetRequest
from banledger.ledger.reader import LedgerReader
from banledger.ledger.selected import select
from banledger.ledger.tokens import text_of
from banledger.stores.selection import Selection, no_progress

_NAMED = ("jail", "server")


class Concerned(Struct, frozen=True):
    """The bans that a request names, as far as they are recorded.

    jails, servers  their names by number of bans, most first
    first, last     local days of the first and the last; empty: there are none
    """

    bans: int
    jails: tuple[tuple[str, int], ...]
    servers: tuple[tuple[str, int], ...]
    first: str
    last: str


def concerned(
    ledger: LedgerReader, request: ForgetRequest, progress: Callable[[int, int], None] = no_progress
) -> Concerned:
    """Return the bans that are to be forgotten or changed."""
    everything = request.what in ("bans", "matches")
    groups = () if everything else (TABLE[request.what].conditions((request.value,)),)
    rows = select(ledger, Selection(groups, None, request.before))
    ranks = rows.rank({**dict.fromkeys(_NAMED, None), DAY: None}, progress=progress)
    jails, servers = (tuple((text_of(tok), bans) for tok, bans in ranks.by[name].rows) for name in _NAMED)
    days = sorted(day for day, _ in ranks.by[DAY].rows)
    return Concerned(ranks.total, jails, servers, days[0] if days else "", days[-1] if days else "")


def entries_left(ledger: LedgerReader, request: ForgetRequest) -> int:
    """Return how many entries of sets, rankings and tallies still name what was forgotten as a whole."""
    name = request.what
    if name not in ("ip", "user", "server") or "/" in request.value:
        return 0  # the bans themselves are looked for
    tok, days = TABLE[name].token_of(request.value), list(ledger.days())
    tallied = sum(bans > 0 for day in ledger.tally_of(name, [tok], days) for bans in day)
    (ranked,) = ledger.store().scores([ledger.keys.top(name)], [tok])
    return sum(ledger.sizes(name, [tok])) + tallied + (ranked[0] is not None)
