"""An embedded ledger."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from banledger.stores.sqlite.engine import SqliteEngine, open_writer
from tests.contract.conftest import KEYS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is, or would be."""
    return tmp_path / "ledger.db"


@pytest.fixture
def engine(path: Path) -> Iterator[SqliteEngine]:
    """The ledger, open to write."""
    with closing(open_writer(path, KEYS.projection)) as opened:
        yield opened
