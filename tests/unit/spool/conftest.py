"""An empty spool, its writer and its reader."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from banledger.spool.reader import SpoolReader
from tests.support.segments import Writer


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """A writer in an empty spool."""
    made = Writer(tmp_path)
    yield made
    made.close()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SpoolReader]:
    """The spool's reader."""
    reader = SpoolReader(tmp_path)
    yield reader
    reader.close()
