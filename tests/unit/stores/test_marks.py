"""Marks: members of sorted sets that are ids, a row each."""

from contextlib import closing
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from banledger.ledger.check import check
from banledger.ledger.writer import Ledger
from banledger.stores.api import Applied, Repair
from banledger.stores.change import Change, Entries, Score
from banledger.stores.sqlite.engine import SqliteEngine, open_writer
from banledger.stores.sqlite.ids import pack_id
from tests.contract.conftest import KEYS
from tests.support.lines import ban, nowhere
from tests.support.raw_ledger import open_raw
from tests.support.reference import ReferenceEngine, Store

ID = "2611230dnf7gxphpka6m"
LIST = "bans:active:web1|sshd"
IDS = [f"2611230000{'0' * 9}{n}" for n in range(4)]
MEMBERS = [*IDS, *[day + "0" * 14 for day in ("700101", "991231", "000101")], "root", "1", "6", "zzz", "2611"]
FEED = "bans:feed"


def marks(path: Path) -> list[float]:
    with closing(open_raw(path)) as database:
        return [score for (score,) in database.execute("SELECT score FROM mark")]


def add(engine: SqliteEngine, *scores: object) -> None:
    """Give an id more scores, as another program may."""
    with engine._transaction():
        ((number, _),) = engine._numbers.values()
        engine._db.executemany("INSERT INTO mark VALUES (?, ?, ?)", [(number, score, pack_id(ID)) for score in scores])


def change(old: float | None, new: float | None, name: str = ID) -> Change:
    before, after = (
        Entries(name, scores=() if score is None else (Score(LIST, name, score),), feed=FEED) for score in (old, new)
    )
    return Change(f"bans:{{2611}}:ban:{name}", {} if old else None, {"jail": "sshd"}, before=before, after=after)


def test_a_mark_moves_and_goes_with_its_change(engine: SqliteEngine) -> None:
    assert engine.apply([change(None, 5.25)]) == [Applied()]
    assert engine.apply([change(5.25, inf)]) == [Applied()]
    assert (engine.ranking(LIST, 0, 9), engine.sizes([LIST])) == ([(ID, inf)], [1])
    assert engine.apply([change(inf, None)]) == [Applied()]
    assert (engine.ranking(LIST, 0, 9), engine.sizes([LIST]), engine.kinds([LIST])) == ([], [0], ["none"])
    assert engine.ranking(FEED, 0, 9) == [(ID, 3.0)]


def test_a_mend_replaces_whatever_score_an_id_has(engine: SqliteEngine) -> None:
    engine.mend(Repair(scores=[Score(LIST, name, 1.0) for name in IDS]))
    engine.mend(Repair(scores=[Score(LIST, IDS[0], 2.0), Score(LIST, IDS[1], 1.0), Score(LIST, IDS[2], None)]))
    assert engine.ranking(LIST, 0, 9) == [(IDS[0], 2.0), (IDS[3], 1.0), (IDS[1], 1.0)]


def test_an_id_with_two_scores_is_one_member_until_the_lower_one_is_swept(engine: SqliteEngine, path: Path) -> None:
    engine.mend(Repair(scores=[Score(LIST, ID, 5.0)]))
    add(engine, 7.0, "x")
    assert engine.ranking(LIST, 0, 9) == [(ID, 7.0)]
    assert engine.lowest(LIST, inf, 9) == [(ID, 5.0)]
    assert engine.scores([LIST], [ID]) == [[7.0]]
    assert engine.sweep() == 2
    assert marks(path) == [7.0]


def test_a_mended_id_loses_its_other_scores(engine: SqliteEngine, path: Path) -> None:
    engine.mend(Repair(scores=[Score(LIST, ID, 5.0)]))
    add(engine, 7.0, "x")
    engine.mend(Repair(scores=[Score(LIST, ID, 6.0)]))
    assert marks(path) == [6.0]


def test_a_ban_recorded_again_after_its_hash_was_lost_is_in_the_feed_once(engine: SqliteEngine) -> None:
    engine.apply([change(None, 5.0), change(None, 5.0, IDS[0])])
    engine.put({f"bans:{{2611}}:ban:{ID}": {}})
    engine.apply([change(None, 5.0)])
    assert engine.ranking(FEED, 0, 9) == [(ID, 3.0), (IDS[0], 2.0)] and engine.sizes([FEED, LIST]) == [2, 2]


def test_users_and_jails_may_be_named_like_ids(engine: SqliteEngine) -> None:
    ledger = Ledger(engine, KEYS, "UTC")
    for number in range(2):
        names = ("root", ID, "7" + ID[1:])
        ledger.record([ban(f"192.0.2.{number}", users=names), ban(ID, jail=ID, time=1_795_000_000 + number)], nowhere)
    assert list(check(engine, KEYS)) == []
    assert engine.ranking("bans:top:user", 0, 9) == [("root", 2.0), ("7" + ID[1:], 2.0), (ID, 2.0)]
    assert engine.sizes([f"bans:user:{ID}", f"bans:jail:{ID}"]) == [2, 2]


# Ids, ids of before 2000, and others in one sorted set.

SCORES = st.sampled_from([None, -inf, -1.5, 0.0, 1.0, 2.0, 2.5, inf])
WRITES = st.lists(st.dictionaries(st.sampled_from(MEMBERS), SCORES, max_size=9), max_size=4)


@settings(max_examples=60, deadline=None)
@given(WRITES)
def test_a_sorted_set_of_ids_and_others_is_read_as_the_contract_says(writes: list[dict[str, float | None]]) -> None:
    reference = ReferenceEngine(Store(), KEYS.entries_of)
    with TemporaryDirectory() as folder, closing(open_writer(Path(folder, "l.db"), KEYS.projection)) as engine:
        for scores in writes:
            for one in (engine, reference):
                one.mend(Repair(scores=[Score(LIST, name, score) for name, score in scores.items()]))
        for start, count in ((0, 20), (0, 1), (2, 3), (5, 20), (20, 1)):
            assert engine.ranking(LIST, start, count) == reference.ranking(LIST, start, count)
            assert engine.lowest(LIST, 2.0, count) == reference.lowest(LIST, 2.0, count)
            assert engine.lowest(LIST, inf, count, above=0.0) == reference.lowest(LIST, inf, count, above=0.0)
        assert sorted(engine.entries(LIST)) == sorted(reference.entries(LIST))
        assert engine.scores([LIST], [*MEMBERS, "no"]) == reference.scores([LIST], [*MEMBERS, "no"])
        for least in (-inf, 1.0, 9.0, inf):
            assert engine.sizes([LIST], least) == reference.sizes([LIST], least)
        assert engine.kinds([LIST]) == reference.kinds([LIST])
        assert engine.sweep() == 0
