"""Every engine, made anew for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from banledger.keyspace import Keyspace, Mark, Ranking, Standing
from banledger.store.engine import Engine, Hash, Reader
from banledger.store.ledger import Ledger
from banledger.store.sqlite import open_writer
from tests.reference import ReferenceEngine, Store

KEYS = Keyspace("bans")

Open: TypeAlias = Callable[[], Engine]


@pytest.fixture(params=["reference", "sqlite"])
def open_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same store again and again."""
    opened: list[Engine] = []
    store = Store()

    def open_() -> Engine:
        if request.param == "sqlite":
            engine: Engine = open_writer(tmp_path / "ledger.db")
        else:
            engine = ReferenceEngine(store, standing_of)
        opened.append(engine)
        return engine

    yield open_
    for engine in opened:
        engine.close()


@pytest.fixture
def engine(open_engine: Open) -> Engine:
    """An engine over an empty store."""
    return open_engine()


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    """An empty ledger."""
    return Ledger(engine, KEYS, "Europe/Berlin")


def standing_of(key: str, fields: Hash) -> Standing:
    """What follows from a hash: a ban's, or a toy's with `jail` and `mark`."""
    if "server" in fields:
        return KEYS.standing_of(key, fields)
    name, jail, mark = key.rpartition(":")[2], fields.get("jail"), fields.get("mark")
    return Standing(
        name,
        (f"bans:jail:{jail}",) if jail else (),
        (Ranking("bans:top:jail", jail, (f"bans:jail:{jail}",)),) if jail else (),
        (Mark("bans:active", name, float(mark)),) if mark else (),
    )


def dump(reader: Reader) -> dict[str, object]:
    """All that a store holds."""
    contents: dict[str, object] = {}
    for key in reader.keys("*"):
        kind = reader.kind(key)
        if kind == "hash":
            contents[key] = reader.hashes([key])[0]
        elif kind == "set":
            contents[key] = set(reader.members(key))
        else:
            contents[key] = dict(reader.ranking(key, 0, 1_000_000))
    return contents
