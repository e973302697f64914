"""A small ledger to ask."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from banledger.geo.place import Place
from banledger.ledger.opening import open_to_read
from banledger.ledger.reader import LedgerReader
from banledger.ledger.writer import open_to_write
from banledger.spool.events import Event

Make = Callable[[Iterable[Event]], LedgerReader]


def place(address: str | None, _time: float) -> Place:
    """A country, network, system and (hostile) owner by the first byte; 10.* is private, 3.* waits for whois."""
    if address is None:
        return Place("none")
    if address.startswith("10."):
        return Place("private")
    country = ("CN", "DE", "XX")[ord(address[0]) % 3]
    if address.startswith("3."):
        return Place("public", country, "test", whois="waiting")
    network, asn = f"{address[0]}.0.0.0/8" if "." in address else "2000::/8", 64500 + ord(address[0]) % 2
    return Place("public", country, "test", network, asn, f"\x1b[3{address[0]}m\u202e=Org", "proven", "FR", "mine")


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
