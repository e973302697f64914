"""Questions answered from packs and recent rows have the answers that a loop over all rows has."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.stores.packs.pack import Key, Pack, Row, encode
from banledger.stores.packs.selected import Packed, Recent, SelectedRows
from banledger.stores.packs.tally import Room
from banledger.stores.selection import Between, Cells, Column, Is, Ranks, Selection, Within
from tests.unit.stores.packs.naive import NaiveRows, id_of

COLUMNS = tuple([Column(name, name, str, name == "user") for name in ("jail", "ip", "network", "user", "day", "one")])
SINGLE = ("jail", "ip", "network", "day", "one")

IPS = (
    "", "192.0.2.1", "192.0.2.2", "192.0.2.0/24", "192.0.0.0/16", "9.1.1.1", "10.1.1.1", "0.0.0.0", "255.255.255.255",
    "0.0.0.0/0", "2001:db8::1", "2001:db8::/32", "2001:db8:0:1::2", "::1", "::ffff:0:0/96", "2001::5", "192.0.2.1/32",
    "192.0.2.1/24", "01.2.3.4", "no address", "%20",
)  # fmt: skip
TOKENS = {
    "jail": ("sshd", "postfix", "a", "ä", ""),
    "ip": tuple([ip for ip in IPS if " " not in ip]),
    "network": ("", "192.0.2.0/24", "192.0.0.0/16", "2001:db8::/32", "10.0.0.0/8"),
    "user": ("root", "admin", "roo", "192.0.2.1", "oot", "2001:db8::1"),
    "day": ("2025-11-23", "2025-11-24", "2025-11-25", ""),
    "one": ("same",),
}
CIDRS = (
    "192.0.2.0/24",
    "192.0.2.1/32",
    "0.0.0.0/0",
    "192.0.0.0/15",
    "2001:db8::/32",
    "2001:db8::/33",
    "::/0",
    "2001::/16",
)


def cells() -> st.SearchStrategy[Cells]:
    users = st.lists(st.sampled_from(TOKENS["user"]), max_size=3, unique=True).map(" ".join)
    by_name = {name: st.sampled_from(TOKENS[name]) for name in TOKENS} | {"user": users}
    return st.tuples(*[by_name[column.name] for column in COLUMNS])


def conditions() -> st.SearchStrategy[Is | Between | Within]:
    def of(name: str) -> st.SearchStrategy[Is | Between | Within]:
        token = st.sampled_from((*TOKENS[name], "absent"))
        bound = st.none() | token
        return st.one_of(
            st.builds(Is, st.just(name), st.frozensets(token, max_size=3)),
            st.builds(Between, st.just(name), bound, bound),
            st.builds(Within, st.just(name), st.sampled_from(CIDRS)),
        )

    return st.sampled_from([column.name for column in COLUMNS]).flatmap(of)


SECONDS = st.integers(0, 12) | st.sampled_from((2**31, 2**32 - 1))
KEYS = st.builds(
    lambda second, bits: second.to_bytes(4, "big") + bits.to_bytes(8, "big"), SECONDS, st.integers(0, 2**50 - 1)
)
ROWS = st.dictionaries(KEYS, cells(), max_size=40)
BOUNDS = st.none() | st.floats(-2, 14) | st.sampled_from((2.0**31, 2.0**32, float("inf"), float("-inf")))
SELECTIONS = st.builds(
    Selection,
    st.lists(st.lists(conditions(), min_size=1, max_size=3).map(tuple), max_size=3).map(tuple),
    BOUNDS,
    BOUNDS,
)
MOST = st.dictionaries(st.sampled_from([column.name for column in COLUMNS]), st.none() | st.integers(0, 5), max_size=6)
PAIRS = st.none() | st.tuples(st.sampled_from(SINGLE), st.sampled_from(SINGLE))


def in_memory(rows: Sequence[Row]) -> Recent:
    return Recent([(key, "\n".join(cells)) for key, cells in rows])


def packed(rows: Sequence[Row], hidden: frozenset[Key] = frozenset()) -> Packed:
    parts = encode(COLUMNS, rows)
    return Packed(Pack(COLUMNS, len(rows), parts.__getitem__), rows[0][0], rows[-1][0], hidden)


def split(rows: Sequence[Row], choose: random.Random) -> tuple[list[Packed | Recent], list[Row]]:
    """Some sources, and the rows that they have together: recent ones hide others, and removed ones are nowhere."""
    found: list[Packed | Recent] = []
    visible: dict[Key, Cells] = {}
    recent: list[Row] = []
    start = 0
    while start < len(rows):
        end = choose.randint(start + 1, len(rows))
        pack = rows[start:end]
        hidden = set()
        for key, cells_ in pack:
            fate = choose.random()
            if fate < 0.7:
                visible[key] = cells_
                continue
            hidden.add(key)
            if fate < 0.9:
                visible[key] = choose.choice(rows)[1]
                recent.append((key, visible[key]))
        if choose.random() < 0.2:
            found.append(in_memory(pack))  # nothing is hidden there
            visible |= dict(pack)
            recent = [row for row in recent if row[0] not in dict(pack)]
        else:
            found.append(packed(pack, frozenset(hidden)))
        start = end
    found.append(in_memory(recent))
    choose.shuffle(found)
    return found, sorted(visible.items())


@given(ROWS, SELECTIONS, MOST, PAIRS, st.integers(0, 3) | st.none(), st.randoms(use_true_random=False))
def test_answers_equal_those_of_a_loop(
    rows: dict[Key, Cells],
    selection: Selection,
    most: dict[str, int | None],
    pair: tuple[str, str] | None,
    limit: int | None,
    choose: random.Random,
) -> None:
    given_, visible = split(sorted(rows.items()), choose)
    naive = NaiveRows(COLUMNS, selection, visible)
    selected = SelectedRows(COLUMNS, selection, lambda: given_, id_of)

    assert list(selected.newest(limit)) == naive.newest(limit)
    assert selected.rank(most, pair) == naive.rank(most, pair)


def many(count: int, choose: random.Random) -> list[Row]:
    """Rows of many different tokens."""

    def user() -> str:
        return f"user{int(choose.paretovariate(0.4)) % 5000}"

    def ip() -> str:
        if choose.random() < 0.1:
            return f"2001:db8::{choose.randint(0, 400):x}"
        if choose.random() < 0.1:
            return f"{choose.randint(0, 99)}.{choose.randint(0, 30)}.0.0/16"
        return f"192.0.{choose.randint(0, 3)}.{int(choose.paretovariate(0.3)) % 256}"

    def cells_(second: int) -> Cells:
        users = " ".join(dict.fromkeys(user() for _ in range(choose.choice((0, 1, 1, 2, 3)))))
        network = "" if choose.random() < 0.1 else f"10.{choose.randint(0, 255)}.{choose.choice((0, 128))}.0/17"
        return (choose.choice(("sshd", "postfix", "x")), ip(), network, users, f"day{second // 50}", "same")

    seconds = sorted(choose.randint(0, 400) for _ in range(count))
    keys = sorted({second.to_bytes(4, "big") + choose.getrandbits(50).to_bytes(8, "big") for second in seconds})
    return [(key, cells_(int.from_bytes(key[:4], "big"))) for key in keys]


@pytest.fixture(scope="module")
def crowd() -> tuple[list[Packed | Recent], list[Row]]:
    choose = random.Random(7)
    rows = many(4000, choose)
    visible = dict(rows)
    recent = [(key, choose.choice(rows)[1]) for key, _ in choose.sample(rows, 150)]
    visible |= dict(recent)
    hidden = frozenset([key for key, _ in recent])
    parts = [rows[place : place + 1400] for place in range(0, len(rows), 1400)]
    return [*[packed(part, hidden) for part in parts], in_memory(sorted(recent))], sorted(visible.items())


QUESTIONS = [
    Selection(),
    Selection(((Is("jail", frozenset({"sshd"})),),)),
    Selection(((Is("user", frozenset({"user1"})), Within("ip", "2001:db8::/120")), (Between("day", "day1", "day5"),))),
    Selection(((Within("ip", "192.0.2.0/25"),),), since=99.5, until=333),
    Selection(((Is("ip", frozenset({"192.0.1.1", "2001:db8::7"})),),)),
    Selection(((Within("network", "10.0.0.0/10"), Within("ip", "10.0.0.0/8")),)),
    Selection(((Between("ip", "1", "2001:db8::2"),), (Is("user", frozenset({"user2", "user5"})),))),
]


PAIRS_ASKED = (None, ("day", "ip"), ("ip", "network"), ("network", "jail"))


@pytest.mark.parametrize("room", [Room(), Room(50, 50, 50, 50), Room(700, 600, 300, 500)])
@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_answers_of_many_tokens_equal_those_of_a_loop(
    crowd: tuple[list[Packed | Recent], list[Row]], number: int, room: Room
) -> None:
    given_, visible = crowd
    naive = NaiveRows(COLUMNS, QUESTIONS[number], visible)
    selected = SelectedRows(COLUMNS, QUESTIONS[number], lambda: given_, id_of, room)
    most = {"ip": 7, "network": None, "user": 20, "jail": None, "day": 1}
    pair = PAIRS_ASKED[number % 4]

    assert selected.rank(most, pair) == naive.rank(most, pair)
    assert list(selected.newest()) == naive.newest()


def test_only_packs_inside_the_time_are_loaded() -> None:
    rows = [(second.to_bytes(4, "big") + bytes(8), ("a", "", "", "", "", "")) for second in range(30)]

    def load(part: int) -> bytes:
        raise AssertionError(part)

    given_: list[Packed | Recent] = [
        packed(rows[10:20]),
        *[Packed(Pack(COLUMNS, 10, load), rows[at][0], rows[at + 9][0]) for at in (0, 20)],
    ]
    selected = SelectedRows(COLUMNS, Selection(since=10, until=20), lambda: given_, id_of)

    assert selected.rank({}) == Ranks(10, {})
    assert list(selected.newest(2)) == [id_of(rows[19][0]), id_of(rows[18][0])]


def test_reading_the_newest_loads_no_older_pack_than_needed() -> None:
    rows = [(second.to_bytes(4, "big") + bytes(8), ("a", "", "", "", "", "")) for second in range(20)]

    def load(part: int) -> bytes:
        raise AssertionError(part)

    given_ = [Packed(Pack(COLUMNS, 10, load), rows[0][0], rows[9][0]), packed(rows[10:])]

    assert len(list(SelectedRows(COLUMNS, Selection(), lambda: given_, id_of).newest(10))) == 10


def test_progress_ends_at_the_total() -> None:
    rows = [(second.to_bytes(4, "big") + bytes(8), ("a", "", "", "", "", "")) for second in range(20)]
    told: list[tuple[int, int]] = []
    given_: list[Packed | Recent] = [packed(rows[:10]), in_memory(rows[10:])]

    SelectedRows(COLUMNS, Selection(), lambda: given_, id_of).rank({"jail": 1}, progress=lambda *now: told.append(now))

    assert told == [(10, 20), (20, 20)]
