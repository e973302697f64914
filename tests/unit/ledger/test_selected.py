"""Rows of a selection are those that a look at every whole ban finds."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banledger.ledger import candidates, sieve
from banledger.ledger.keys import Keyspace
from banledger.ledger.selected import select
from banledger.ledger.writer import Ledger
from banledger.stores.api import Engine
from banledger.stores.selection import Between, Is, Selected, Selection, Within
from banledger.stores.sqlite.engine import open_writer
from tests.support.lines import T0, ban, unban
from tests.support.reference import ReferenceEngine, Store
from tests.support.selections import (
    AMENDMENTS,
    COLUMNS,
    DAY_S,
    LINES,
    SELECTIONS,
    all_bans,
    distinct,
    place,
    rank,
    selected,
)

KEYS = Keyspace("bans")


def engines(folder: str) -> list[Engine]:
    return [ReferenceEngine(Store(), KEYS.entries_of), open_writer(Path(folder) / "l.db")]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    lines=st.lists(LINES | LINES | AMENDMENTS, min_size=1, max_size=40),
    selections=st.lists(SELECTIONS, min_size=1, max_size=4),
    limit=st.integers(1, 4),
    known=st.integers(1, 9),
    few=st.sampled_from([0, 100]),
)
def test_any_selection_is_what_a_look_at_every_ban_finds(
    lines: list[Any], selections: list[Selection], limit: int, known: int, few: int
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sieve, "_KNOWN", known)
        patch.setattr(candidates, "_FEW_IDS", few)
        for engine in engines(folder):
            ledger = Ledger(engine, KEYS, "Europe/Berlin")
            ledger.record(lines, place)
            for selection in selections:
                compare(ledger, selection, limit)
            assert ledger.damaged_keys == {}
            engine.close()


def compare(ledger: Ledger, selection: Selection, limit: int) -> None:
    meant = selected(all_bans(ledger), selection)
    rows = select(ledger, selection)

    assert list(rows.newest()) == [one.id for one in meant]
    assert list(rows.newest(limit)) == [one.id for one in meant][:limit]
    most = dict.fromkeys(COLUMNS, limit) | {"day": None}
    for pair in (("day", "ip"), ("country", "jail")):
        ranks = rows.rank(most, pair)
        assert ranks.total == len(meant)
        assert ranks.by == {name: rank(meant, name, most[name]) for name in COLUMNS}
        assert ranks.distinct == distinct(meant, *pair)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger with 300 bans of one address in sixty days, and one of another."""
    made = Ledger(ReferenceEngine(Store(), KEYS.entries_of), KEYS, "UTC")
    lines = [ban(f"192.0.2.{n % 3}", T0 + n * DAY_S // 5, users=("root",)) for n in range(300)]
    made.record([*lines, ban("2.0.0.1", T0 + DAY_S * 30)], place)
    yield made
    made.close()


class Read:
    """The keys whose fields were read, and the names of the fields."""

    def __init__(self, ledger: Ledger, patch: pytest.MonkeyPatch) -> None:
        self.keys: list[str] = []
        self.names: set[str] = set()
        self._fields = ledger.store().fields
        patch.setattr(ledger.store(), "fields", self._read)

    def _read(self, keys: Sequence[str], names: Sequence[str]) -> Iterator[list[str | None]]:
        self.keys += keys
        self.names.update(names)
        return self._fields(keys, names)


def only(*conditions: Is | Between | Within) -> Selection:
    return Selection(tuple((condition,) for condition in conditions))


def test_the_smallest_set_is_read(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Read(ledger, monkeypatch)

    (id_,) = select(ledger, only(Is("jail", frozenset({"sshd"})), Is("ip", frozenset({"2.0.0.1", "2.0.0.2"})))).newest()

    assert read.keys == [KEYS.ban(id_)]
    assert read.names == {"origin", "jail", "ip"}


def test_the_days_are_read_where_a_condition_has_no_set(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Read(ledger, monkeypatch)
    ip = (Is("ip", frozenset({"2.0.0.1"})), Within("ip", "2.0.0.0/24"))

    ranks = select(ledger, Selection((ip, (Between("day", "2026-12-22", "2026-12-24"),)))).rank({"user": 1})

    assert ranks.total == 1
    assert len(read.keys) == 16
    assert read.names == {"origin", "ip", "day", "users"}


def test_hashes_outside_the_seconds_are_not_read(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Read(ledger, monkeypatch)
    selection = Selection(since=float(T0 + DAY_S), until=float(T0 + 2 * DAY_S))

    assert len(list(select(ledger, selection).newest())) == len(read.keys) == 5


def test_the_newest_few_need_few_hashes(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [ban("192.0.2.9", T0 + 100 * DAY_S + n) for n in range(2000)]
    ledger.record(many, place)
    read = Read(ledger, monkeypatch)

    assert len(list(select(ledger, only(Is("jail", frozenset({"sshd"})))).newest(3))) == 3
    assert len(read.keys) == 500


def test_a_damaged_hash_is_left_out_and_noted(ledger: Ledger) -> None:
    first, second, third, *_ = select(ledger, Selection()).newest()
    engine = ledger.store()
    assert isinstance(engine, ReferenceEngine)
    engine.store.hashes[KEYS.ban(first)]["hour"] = "25"
    engine.store.hashes[KEYS.ban(second)]["origin"] = "x"
    del engine.store.hashes[KEYS.ban(third)]

    assert select(ledger, Selection()).rank({"hour": 1}).total == 298
    assert ledger.damaged_keys == {
        KEYS.ban(first): "hour is not a whole number from 0 to 23",
        KEYS.ban(second): "origin is not one of: import, live, pending, restored",
    }


def test_a_damaged_field_that_nobody_asks_for_leaves_nothing_out(ledger: Ledger) -> None:
    engine = ledger.store()
    assert isinstance(engine, ReferenceEngine)
    first, *_ = select(ledger, Selection()).newest()
    engine.store.hashes[KEYS.ban(first)]["seen"] = "x"

    assert select(ledger, Selection()).rank({"hour": 1}).total == 301


def test_a_pending_ban_is_no_row() -> None:
    ledger = Ledger(ReferenceEngine(Store(), KEYS.entries_of), KEYS, "UTC")
    ledger.record([unban(), ban("192.0.2.2")], place)
    pending = next(one for one in all_bans(ledger) if one.ip == "192.0.2.1")
    engine = ledger.store()
    assert isinstance(engine, ReferenceEngine)
    engine.store.sets[KEYS.day("2611", pending.day)].add(pending.id)

    assert select(ledger, Selection()).rank({"ip": None}).by["ip"].rows == (("192.0.2.2", 1),)


def test_progress_is_reported_up_to_the_number_of_candidates(ledger: Ledger) -> None:
    told: list[tuple[int, int]] = []

    select(ledger, Selection()).rank({"ip": 1}, None, lambda done, total: told.append((done, total)))

    assert told == [(301, 301)]


def test_an_engine_that_keeps_rows_answers_itself(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: Selected = select(ledger, Selection())
    monkeypatch.setattr(ledger.store(), "select", lambda _: rows)

    assert select(ledger, Selection(since=5.0)) is rows


def test_long_values_are_not_kept_in_memory() -> None:
    table = sieve.Sieve([], ["user"])
    long = json.dumps(["x" * 300, "y" * 300])

    passed = table.passed(["a", "b", "c"], [["live", long], ["live", "[]"], ["live", long]])

    (cells,) = passed.cells
    assert [len(cell.split()) for cell in cells] == [2, 0, 2]
    assert [list(read) for read in table._cells] == [["[]"]]
