"""Whether a ledger has the bans that are about to be imported under another server label already."""

from collections import Counter
from collections.abc import Mapping, Sequence

from banledger.importer.edges import Edges, ToldBan
from banledger.ledger.ban import Ban
from banledger.ledger.offender import Offender
from banledger.ledger.past import LATE_S, SAME_S
from banledger.ledger.reader import LedgerReader
from banledger.ledger.selected import select
from banledger.net.address import canonical_address
from banledger.stores.selection import Is, Selection

_FEWEST = 3  # one or two bans at the same time on two servers may be the same attacker


def other_label(ledger: LedgerReader, server: str, edges: Edges) -> str | None:
    """Return the label, not `server`, under which most of the first or of the last bans are recorded; None: none."""
    days = ledger.days()
    for told in (edges.first, edges.last):
        found = Counter(label for one in told for label in _labels(ledger, one, days))
        needed = max(_FEWEST, len(told) // 2)
        for label, count in found.most_common():
            if label != server and count >= needed and count > found[server]:
                return label
    return None


def _labels(ledger: LedgerReader, told: ToldBan, days: Mapping[str, int]) -> set[str]:
    """Return the labels under which a ban is recorded."""
    fid = canonical_address(told.fid) or told.fid
    either = tuple([Is(name, frozenset((tok,))) for name, tok in Offender("", told.jail, fid).indexes()])
    near = Selection((either,), told.moment - LATE_S, told.moment + SAME_S)
    ids: Sequence[str] = list(select(ledger, near, days).newest())
    bans = [ban for ban in ledger.bans(ids) if ban is not None]
    return {ban.server for ban in bans if (ban.jail, ban.fid) == (told.jail, fid) and _is(ban, told)}


def _is(ban: Ban, told: ToldBan) -> bool:
    """Whether a recorded ban is the one that a source tells of: of that second, or seen or logged at that time."""
    moments = ban.time, ban.seen, *(fact.logged for fact in ban.logged)
    return any(abs(moment - told.moment) <= SAME_S for moment in moments)
