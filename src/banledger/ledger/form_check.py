"""Check the form of what follows from no hash: the change feed, and counts of forgotten bans."""

from collections.abc import Iterator

from banledger.ledger.faults import Fault
from banledger.ledger.keys import Keyspace
from banledger.ledger.tokens import is_source_token
from banledger.stores.api import Reader
from banledger.stores.change import FEED_KEPT
from banledger.stores.fields import count_of
from banledger.stores.id_form import has_id_form


def feed_faults(reader: Reader, keys: Keyspace) -> Iterator[Fault]:
    """Return the faults of the change feed."""
    rows = reader.ranking(keys.feed, 0, FEED_KEPT + 1)
    if len(rows) > FEED_KEPT:
        yield Fault(keys.feed, f"has more than {FEED_KEPT:,} members")
    if strange := sum(not (has_id_form(id_) and _is_number(score)) for id_, score in rows):
        yield Fault(keys.feed, f"has entries that are no change of a ban: {strange:,}")


def base_faults(reader: Reader, key: str) -> Iterator[Fault]:
    """Return the faults of a month's counts of forgotten bans."""
    if strange := invalid_counts(reader, key):
        yield Fault(key, f"has entries that are no number of a source's bans: {len(strange):,}")


def invalid_counts(reader: Reader, key: str) -> list[str]:
    """Return the members of counts of forgotten bans that no ledger writes."""
    return [tok for tok, score in reader.entries(key) if not (is_source_token(tok) and _is_number(score))]


def _is_number(score: float) -> bool:
    return 1 <= score == count_of(score)
