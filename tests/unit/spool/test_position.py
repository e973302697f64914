"""How far lines are recorded."""

from math import isfinite

from hypothesis import given
from hypothesis import strategies as st

from banledger.spool.position import KEPT, Loss, Position, Positions, from_text, losses, to_text


def position(last: int, first: int = 1, writer: str = "abcdef01", jail: str = "sshd", seen: float = 5.0) -> Position:
    return Position("web1", writer, jail, first, last, seen)


@given(st.text(), st.integers(0, 2**51), st.integers(0, 2**51))
def test_a_position_round_trips_through_its_text(jail: str, first: int, more: int) -> None:
    made = position(first + more, first, jail=jail)
    assert from_text("web1", "abcdef01", to_text(made)) == made


@given(
    st.one_of(
        st.text(),
        st.sampled_from(["1 1 inf sshd", "1 1 nan x", "1 9 5.0 x", "-1 -1 5 x", "9" * 400 + " 1 5 x", "1 1 1e400 x"]),
    )
)
def test_invalid_text_is_no_position_and_raises_nothing(text: str) -> None:
    found = from_text("web1", "abcdef01", text)
    assert found is None or (0 <= found.first <= found.last and isfinite(found.seen))


def test_a_store_with_an_equal_or_higher_position_lost_nothing() -> None:
    there = {one.key: one for one in [position(20)]}
    assert losses([position(20)], there) == losses([position(15)], there) == []


def test_a_store_with_a_lower_position_lost_the_lines_between() -> None:
    assert losses([position(20)], {position(1).key: position(12, seen=3.0)}) == [Loss(position(20), 13, 3.0)]


def test_a_store_without_the_writer_lost_all_its_lines() -> None:
    assert losses([position(20, first=8)], {}) == [Loss(position(20, first=8), 8)]


def test_positions_only_grow_and_keep_their_first_line() -> None:
    known = Positions([position(20, 5)])
    known.raise_to([position(12, 3), position(7, writer="abcdef02")])
    assert list(known) == [position(20, 3), position(7, writer="abcdef02")]


def test_the_latest_writers_of_each_jail_are_kept() -> None:
    known = Positions([position(1, jail="mail", writer="m")])
    known.raise_to(position(1, writer=f"w{number}") for number in range(KEPT + 2))
    assert [one.writer for one in known.drop_old()] == ["w0", "w1"]
    assert {one.writer for one in known} == {"m", *(f"w{number}" for number in range(2, KEPT + 2))}


def test_a_stores_positions_of_other_writers_count_as_older() -> None:
    known = Positions([position(9)])
    known.adopt([position(3), position(1, writer="b", seen=2.0), position(1, writer="a", seen=1.0)])
    assert [(one.writer, one.last) for one in known] == [("a", 1), ("b", 1), ("abcdef01", 9)]


def test_a_damaged_position_is_not_a_loss() -> None:
    known = Position("web1", "0a", "sshd", 1, 9, 1.0)
    assert losses([known], {known.key: None}) == []
    assert [loss.first for loss in losses([known], {})] == [1]
