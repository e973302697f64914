"""Names of stores."""

import pytest

from banledger.errors import SettingsError
from banledger.ledger.keys import Keyspace
from banledger.stores.connect import Access, reader


@pytest.mark.parametrize(
    "store",
    [
        "redis://u:sec\uff20ret@host",
        "redis://:pa[ss@host",
        "redis://" + "a" * 70 + ".example",
        "redis://host:port",
        "redis://host/zero",
        "redis://host?colour=red",
        "unix:///r.sock?timeout=1000",
        "unix:///r.sock?timeout=nan",
        "ftp://host",
    ],
)
def test_an_invalid_store_is_refused_without_its_secret(store: str) -> None:
    with pytest.raises(SettingsError) as caught:
        reader(store, Keyspace(), Access())
    assert not any(part in str(caught.value) for part in ("sec", "ret@", "pa[", "ss@"))
