"""Read bans one by one, newest first."""

from collections.abc import Iterator
from itertools import islice

from banledger.ledger.ban import Ban
from banledger.ledger.progress import Progress, silent
from banledger.ledger.reader import LedgerReader
from banledger.ledger.selected import select
from banledger.report.query import Query
from banledger.stores.pages import pages


def walk(ledger: LedgerReader, query: Query, limit: int | None = None, progress: Progress = silent) -> Iterator[Ban]:
    """Yield the bans that match `query`, by (time, id) in reverse; at most `limit`. Damaged hashes are left out."""
    rows = select(ledger, query.selection())
    asked, found, wanted = 0, 0, limit
    while limit is None or found < limit:
        before = asked
        ids = islice(rows.newest(wanted, lambda done, total: progress("bans", done, total)), asked, None)
        for page in pages(ids):
            asked += len(page)
            for ban in ledger.bans(page):
                if ban is not None:
                    yield ban
                    found += 1
                    if found == limit:
                        return
        if wanted is None or asked == before or asked < wanted:
            return
        wanted *= 2  # some were damaged
