"""Report filter values that no ban has, so that a typing error does not look like an answer without bans."""

from collections.abc import Iterator, Sequence
from itertools import islice

from banledger.geo.countries import NAMES, name_of
from banledger.ledger.dimensions import DAY, TABLE
from banledger.ledger.filters import PRIVATE
from banledger.ledger.reader import LedgerReader
from banledger.ledger.tokens import text_of
from banledger.report.nearest import nearest
from banledger.report.query import Query, repeated

_NAMED = ("country", "jail", "server")
_LOOKED_AT = 1000  # names to choose from
_MEANT = {"UK": "GB", "EN": "GB", "EL": "GR", "JA": "JP", "KO": "KR", "SP": "ES"}


def unknown(ledger: LedgerReader, query: Query) -> Iterator[str]:
    """One line per jail, server or country of the query that the ledger does not have; none for an empty ledger."""
    filters = {name: values for name, values in query.filters.items() if name in _NAMED}
    if not filters or not ledger.distinct(DAY):
        return
    for value in _absent(ledger, "country", [code for code in filters.pop("country", ()) if code != PRIVATE]):
        yield _country(value)
    for dimension, values in filters.items():
        absent = _absent(ledger, dimension, values)
        known = _known(ledger, dimension) if absent else set()
        for value in absent:
            if value not in known:  # a running jail without bans yet
                yield f"no such {dimension} {value!r}{repeated(value, dimension) or nearest(value, known)}"


def _absent(ledger: LedgerReader, dimension: str, values: Sequence[str]) -> list[str]:
    """The values that no ban has."""
    toks = [TABLE[dimension].token_of(value) for value in values]
    return [value for value, size in zip(values, ledger.sizes(dimension, toks), strict=True) if not size]


def _known(ledger: LedgerReader, dimension: str) -> set[str]:
    """The names in bans, and those of jails and servers without bans."""
    names = {text_of(tok) for tok, _ in islice(ledger.ranked(dimension), _LOOKED_AT)}
    return names | {getattr(source, dimension) for source in ledger.sources[:_LOOKED_AT]} - {""}


def _country(code: str) -> str:
    if code in NAMES:
        return f"no ban from {code} ({name_of(code)}) in the ledger"
    meant = _MEANT.get(code)
    return f"no such country {code!r}" + (f"; did you mean {meant!r} ({name_of(meant)})?" if meant else "")
