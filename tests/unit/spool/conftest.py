"""An empty spool, its writer and its reader."""

from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import TypeAlias

import pytest

from banledger.spool.events import Event, GapLine
from banledger.spool.position import Position
from banledger.spool.reader import SpoolReader
from tests.support.lines import T0
from tests.support.segments import NOW, Writer, fids

Read: TypeAlias = Callable[[], tuple[list[str], list[int]]]


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


@pytest.fixture
def read(spool: SpoolReader) -> Read:
    """Read and commit a few times, ten seconds apart: what was banned, and how many lines each gap is."""
    moments = count(int(NOW), 10)

    def several() -> tuple[list[str], list[int]]:
        events = read_often(spool, islice(moments, 5))
        return fids(events), [event.bans for event in events if isinstance(event, GapLine)]

    return several


def read_often(spool: SpoolReader, moments: Iterable[float] = (NOW,) * 5) -> list[Event]:
    """Read and commit at each of these moments."""
    events = []
    for moment in moments:
        events += spool.read(moment, 100)
        spool.commit()
    return events


def position(last: int) -> Position:
    """The store has recorded so much of the writer."""
    return Position("web1", "abcdef01", "sshd", 1, last, T0 + last)
