"""Every engine, made anew for each test."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from banledger.ledger.keys import Keyspace
from banledger.ledger.writer import Ledger
from banledger.stores.api import Engine, Hash, Reader
from banledger.stores.change import Entries, Ranking, Score
from banledger.stores.connect import Access, writer
from banledger.stores.sqlite.engine import SqliteEngine, open_writer
from tests.support.reference import ReferenceEngine, Store
from tests.support.servers import NAMES, flavour_named

KEYS = Keyspace("bans")

Open: TypeAlias = Callable[[], Engine]


@pytest.fixture(params=["reference", "sqlite", *NAMES])
def open_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same store again and again."""
    opened: list[Engine] = []
    make = _openers(request, tmp_path)

    def open_() -> Engine:
        engine = make()
        opened.append(engine)
        return engine

    yield open_
    for engine in opened:
        engine.close()


def _openers(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "reference":
        store = Store()
        return lambda: ReferenceEngine(store, entries_of)
    if request.param == "sqlite":
        binary = request.getfixturevalue("binary_json")
        return lambda: _watched(open_writer(tmp_path / "ledger.db", KEYS.projection), binary)
    server = request.getfixturevalue("_shared_servers")(flavour_named(request.param))
    server.flush()
    return lambda: writer(server.url, _Toys("bans"), Access())


@pytest.fixture
def binary_json() -> Iterator[list[str]]:
    """The statements of SQLite that got bytes where JSON is read: none, since SQLite 3.45 reads other bytes there."""
    found: list[str] = []
    yield found
    assert not found


def _watched(engine: SqliteEngine, binary: list[str]) -> SqliteEngine:
    def note(statement: str) -> None:
        if "json_each(x'" in statement:
            binary.append(statement)

    engine._db.set_trace_callback(note)
    return engine


@pytest.fixture
def engine(open_engine: Open) -> Engine:
    """An engine over an empty store."""
    return open_engine()


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    """An empty ledger."""
    return Ledger(engine, KEYS, "Europe/Berlin")


def entries_of(key: str, fields: Mapping[str, str]) -> Entries:
    """What a hash implies: a ban's, or a toy's with `country`, `bantime`, `day` and `pending`."""
    if "server" in fields:
        return KEYS.entries_of(key, fields)
    slot, name, country = f"{key.partition('}')[0]}}}:", key.rpartition(":")[2], fields.get("country")
    scored = {"bantime": "bans:active:web1|sshd", "pending": slot + "pending"}
    sets = (f"bans:colour:{country}",) if country else ()
    return Entries(
        name,
        (*sets, *([f"{slot}day:{fields['day']}"] if "day" in fields else [])),
        tuple(Score(there, name, float(fields[field])) for field, there in scored.items() if field in fields),
        ((slot + "count:d:colour", country),) if country else (),
        (Ranking("bans:top:colour", country, sets),) if country else (),
    )


class _Toys(Keyspace):
    """A keyspace that knows toys too."""

    def entries_of(self, key: str, fields: Mapping[str, str]) -> Entries:
        return entries_of(key, fields)


def stable(key: str, fields: Hash) -> Hash:
    """A hash without what differs between ledgers that hold the same: their own names."""
    if not key.endswith(":meta"):
        return fields
    return {name: value for name, value in fields.items() if name != "ledger" and not name.startswith("server:")}


def derived(reader: Reader) -> dict[str, object]:
    """All that a store holds but its change feed, which follows from no hash."""
    return {key: held for key, held in dump(reader).items() if not key.endswith(":feed")}


def dump(reader: Reader) -> dict[str, object]:
    """All that a store holds. Of the change feed its members: a step that is repeated moves some to its end again."""
    contents: dict[str, object] = {}
    for key in reader.keys("*"):
        kind = reader.kinds([key])[0]
        if key.endswith(":feed"):
            contents[key] = {id_ for id_, _ in reader.ranking(key, 0, 1_000_000)}
            continue
        if kind == "hash":
            contents[key] = stable(key, reader.hashes([key])[0])
        elif kind == "set":
            contents[key] = set(reader.members(key))
        else:
            contents[key] = dict(reader.ranking(key, 0, 1_000_000))
    return contents
