"""Rebuilds of stores that are damaged themselves."""

import pytest

from banledger.errors import StoreError
from banledger.ledger.rebuild import rebuild
from banledger.ledger.repair import Repairs
from banledger.ledger.writer import Ledger
from tests.contract.conftest import KEYS
from tests.support.lines import T0, ban, nowhere
from tests.support.reference import ReferenceEngine, Store


def test_a_ban_that_stays_damaged_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a damaged file a row may be found by a scan, and not by its key."""
    store = Store()
    engine = ReferenceEngine(store, KEYS.entries_of)
    Ledger(engine, KEYS, "UTC").record([ban()], nowhere)
    (key,) = [key for key in store.hashes if ":ban:" in key]
    del store.hashes[key]["jail"]
    monkeypatch.setattr(Repairs, "hashes", lambda self: None)
    with pytest.raises(StoreError, match="can't be repaired") as caught:
        rebuild(engine, KEYS, float(T0))
    assert "store copy" in caught.value.hint
