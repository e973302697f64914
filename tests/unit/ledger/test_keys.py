"""Keys, tokens, and the page that describes them."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.ledger.ban import FIELDS, Ban, to_hash
from banledger.ledger.key_table import describe
from banledger.ledger.keys import Keyspace
from banledger.ledger.merge import merge
from banledger.ledger.months import months_of
from banledger.ledger.tokens import text_of, token
from banledger.stores.change import difference
from tests.support.lines import T0, ban, prolong, unban
from tests.unit.ledger.test_merge import BLANK

ROOT = Path(__file__).parents[3]
KEYS = Keyspace()

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
long = st.text(st.characters(exclude_categories=["Cs"]), min_size=129, max_size=400)


@given(anything)
def test_a_token_is_plain_and_decodes_to_its_text(text: str) -> None:
    tok = token(text)
    assert tok.isprintable()
    assert not set(tok) & set(" :{}|")
    if "~" not in tok[-33:-31]:
        assert text_of(tok) == text


@given(long, long)
def test_long_texts_are_cut_and_stay_distinct(one: str, other: str) -> None:
    assert len(token(one).encode()) <= 128
    assert (token(one) == token(other)) == (one == other)


def test_surrogates_become_bytes() -> None:
    assert token("\udc80") == "%ED%B2%80"


@pytest.mark.parametrize(
    ("day", "months"),
    [
        ("2026-11-23", ("2611",)),
        ("2026-11-01", ("2610", "2611")),
        ("2026-01-01", ("2512", "2601")),
        ("2026-12-31", ("2612", "2701")),
        ("2026-02-28", ("2602", "2603")),
    ],
)
def test_a_day_at_a_months_edge_may_have_two_utc_months(day: str, months: tuple[str, ...]) -> None:
    assert months_of(day) == months


def test_atomic_keys_share_one_slot() -> None:
    record = merge(BLANK, ban())
    for have in (None, merge(BLANK, unban())):
        change = KEYS.change(have, record)
        wanted = difference(change.before, change.after)
        inside = [key for key in (*wanted.joins, *(score.key for score in wanted.scores)) if "{" in key]
        assert KEYS.day(record.id[:4], record.day) in inside
        counted = [key for key, _ in wanted.more]
        assert {key.split(":")[1] for key in (change.key, *inside, *counted)} == {"{" + record.id[:4] + "}"}


def test_a_change_that_moves_nothing_has_no_tallies_and_no_sets_to_move() -> None:
    record = merge(BLANK, ban())
    change = KEYS.change(record, merge(record, prolong()))
    wanted = difference(change.before, change.after)
    assert not (wanted.more or wanted.fewer or wanted.joins or wanted.leaves or wanted.rankings)
    assert [score.key for score in wanted.scores] == [KEYS.active(record.server, record.jail)]
    assert change.before.sets == change.after.sets
    assert set(change.fields or ()) == {"bantime", "bancount", "expires", "prolonged"}


def test_the_entries_derived_from_the_hash_are_those_of_the_ban() -> None:
    record = merge(BLANK, ban(users=("root",)))
    assert KEYS.entries_of(KEYS.ban(record.id), to_hash(record)) == KEYS.entries(record)
    assert KEYS.entries_of(KEYS.ban(record.id), {}).sets == ()


def test_a_ban_that_is_put_again_is_counted_once() -> None:
    record = merge(BLANK, ban(users=("root",)))
    change = KEYS.assertion(record)
    wanted, whole = difference(change.before, change.after), KEYS.entries(record)
    assert (wanted.joins, wanted.scores, wanted.rankings) == (whole.sets, whole.scores, whole.rankings)
    assert not (wanted.more or wanted.fewer) and change.fields == {}


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_keyspace_is_what_the_code_says() -> None:
    assert (ROOT / "docs" / "keyspace.md").read_text() == _tool("keyspace_doc").document()


def test_every_key_and_field_of_a_ban_is_described() -> None:
    record: Ban = BLANK
    for line in (ban("x", ip="192.0.2.1", users=("u",), matches=("m",)), prolong(), unban(seen=T0 + 9)):
        record = merge(record, line)
    assert to_hash(record).keys() <= FIELDS.keys()
    kinds = {key.replace("YYMM", record.id[:4]) for key, _, _ in describe()}
    change = KEYS.change(None, record)
    for key in (change.key, *change.after.sets, *(key for key, _ in change.after.tallies)):
        assert any(_fits(key, kind) for kind in kinds), key


def _fits(key: str, kind: str) -> bool:
    head, _, tail = kind.partition("<")
    return key.startswith(head) and key.endswith(tail.partition(">")[2])
