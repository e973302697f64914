"""Open a ledger over the store that settings name."""

from collections.abc import Callable
from typing import TypeVar

from banledger.ledger.keys import LAYOUT, Keyspace
from banledger.ledger.reader import LedgerReader
from banledger.stores import connect
from banledger.stores.api import Reader
from banledger.stores.connect import Access

_Store = TypeVar("_Store", bound=Reader)
_Made = TypeVar("_Made")


def open_to_read(
    store: str,
    prefix: str,
    access: Access = Access(),  # noqa: B008  # frozen
    oldest: int = LAYOUT,
) -> LedgerReader:
    """The ledger at `store` (a path or URL), to read. Raises StoreError and its children. `oldest`: as LedgerReader."""
    keys = Keyspace(prefix)
    return opened(connect.reader(store, keys, access), lambda engine: LedgerReader(engine, keys, oldest))


def opened(engine: _Store, make: Callable[[_Store], _Made]) -> _Made:
    """What is made over the engine; the engine is closed if that fails."""
    try:
        return make(engine)
    except BaseException:
        engine.close()
        raise
