"""A small ledger to ask."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from banledger.geo.place import Place
from banledger.ledger.opening import open_to_read
from banledger.ledger.reader import LedgerReader
from banledger.ledger.writer import open_to_write
from banledger.spool.events import Event
from tests.support import selections

Make = Callable[[Iterable[Event]], LedgerReader]


def place(address: str | None, time: float) -> Place:
    """A place by the first byte, see `selections.place`, with a hostile owner and a located country."""
    found = selections.place(address, time)
    if address is None or found.org is None:
        return found
    return replace(found, org=f"\x1b[3{address[0]}m\u202e=Org", located="FR", located_from="mine")


def write(path: Path, lines: Iterable[Event], zone: str = "Europe/Berlin") -> None:
    """Record the lines in a ledger at `path`."""
    ledger = open_to_write(str(path), "bans", zone)
    try:
        ledger.record(lines, place)
    finally:
        ledger.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A function that makes a ledger of lines and opens it to read."""
    opened: list[LedgerReader] = []

    def made(lines: Iterable[Event]) -> LedgerReader:
        path = tmp_path / f"ledger{len(opened)}.db"
        write(path, lines)
        opened.append(open_to_read(str(path), "bans"))
        return opened[-1]

    yield made
    for ledger in opened:
        ledger.close()
