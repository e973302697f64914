"""Line numbers of writers: what is missing is a gap once, and no position runs ahead of what stays in the spool."""

from banledger.spool.events import GapLine
from banledger.spool.position import Loss, Position
from banledger.spool.sequence import Sequences
from tests.support.lines import T0, ban


def took(numbers: Sequences, *seqs: int, writer: str = "w", held: bool = False, server: str = "web1") -> None:
    """Lines with these numbers were read."""
    for seq in seqs:
        numbers.take(writer, ban(seq=seq, seen=T0 + seq, server=server), held=held)


def looks(numbers: Sequences, times: int = 3, *, complete: bool = True) -> list[tuple[int, int]]:
    """First and last line of each gap that some reads find, which read nothing new."""
    gaps: list[GapLine] = []
    for _ in range(times):
        gaps += numbers.look(complete=complete)
        numbers.commit(complete=complete)
    return [(gap.seq - gap.bans + 1, gap.seq) for gap in gaps]


def last(numbers: Sequences) -> int:
    """The only writer's position; 0 for none."""
    return next((position.last for position in numbers.positions()), 0)


def known(last_line: int, writer: str = "w", first: int = 1, server: str = "web1") -> Position:
    """What the ledger had."""
    return Position(server, writer, "sshd", first, last_line, T0 + last_line)


def test_a_hole_becomes_one_gap_after_two_more_reads() -> None:
    numbers = Sequences()
    took(numbers, 1, 4)
    assert last(numbers) == 1
    assert [looks(numbers, 1) for _ in range(4)] == [[], [(2, 3)], [], []]


def test_a_hole_is_not_a_gap_while_reads_are_incomplete() -> None:
    numbers = Sequences()
    took(numbers, 1, 4)
    assert looks(numbers, 9, complete=False) == []
    took(numbers, 2, 3)
    assert looks(numbers) == []


def test_a_late_line_removes_only_its_own_number_from_a_hole() -> None:
    numbers = Sequences()
    took(numbers, 1, 9, 5)
    assert sorted(looks(numbers)) == [(2, 4), (6, 8)]


def test_a_hole_survives_a_rollback_as_it_was_at_the_last_commit() -> None:
    numbers = Sequences()
    took(numbers, 1, 4)
    numbers.commit(complete=True)
    numbers.look(complete=True)
    took(numbers, 2, 3)
    numbers.rollback()
    assert looks(numbers) == [(2, 3)]


def test_a_gap_that_was_rolled_back_is_reported_again() -> None:
    numbers = Sequences()
    took(numbers, 1, 4)
    assert looks(numbers, 1) == []
    assert len(numbers.look(complete=True)) == 1
    numbers.rollback()
    assert looks(numbers) == [(2, 3)]


def test_a_line_without_number_makes_no_hole_and_hides_none() -> None:
    numbers = Sequences()
    took(numbers, 1, 4)
    numbers.commit(complete=True)
    numbers.skip("w")
    took(numbers, 6)
    numbers.rollback()
    numbers.skip("w")
    took(numbers, 6)
    assert looks(numbers) == [(2, 3)]


def test_a_position_stays_below_lines_at_the_end_that_are_held_back() -> None:
    numbers = Sequences()
    took(numbers, 1, 2)
    numbers.hold_back(frozenset({"web1"}))
    took(numbers, 3, 4, held=True)
    assert last(numbers) == 2
    numbers.commit(complete=True)
    numbers.hold_back(frozenset())
    took(numbers, 3)
    assert last(numbers) == 3


def test_a_late_held_back_line_stays_above_the_position() -> None:
    numbers = Sequences()
    numbers.hold_back(frozenset({"web1"}))
    took(numbers, 1)
    took(numbers, 4, held=True)
    took(numbers, 2, 3, held=True)
    assert last(numbers) == 1


def test_recorded_lines_that_are_later_held_back_are_not_expected() -> None:
    numbers = Sequences()
    numbers.expect([known(6)])
    numbers.hold_back(frozenset({"web1"}))
    took(numbers, 1, 2, 6, held=True)
    numbers.hold_back(frozenset())
    took(numbers, 1, 2, 6, 7)
    assert (last(numbers), looks(numbers)) == (7, [])


def test_a_position_follows_lines_of_a_new_label_beyond_those_that_wait() -> None:
    numbers = Sequences()
    numbers.hold_back(frozenset({"web1"}))
    took(numbers, 1, 2, held=True)
    took(numbers, 3, server="web2")
    assert last(numbers) == 3


def test_a_gap_between_held_back_lines_is_reported_once_when_they_are_released() -> None:
    numbers = Sequences()
    numbers.hold_back(frozenset({"web1"}))
    took(numbers, 1, 5, held=True)
    assert looks(numbers, 5) == []
    numbers.hold_back(frozenset())
    took(numbers, 1, 5)
    assert looks(numbers, 5) == [(2, 4)]


def test_lost_lines_of_two_labels_of_one_writer_are_missing_exactly() -> None:
    numbers = Sequences()
    numbers.lose([Loss(known(9, first=7, server="web2"), 7), Loss(known(6), 4)])
    took(numbers, 4)
    numbers.end()
    assert looks(numbers) == [(5, 6), (7, 9)]


def test_lost_lines_that_were_read_again_are_not_a_gap() -> None:
    numbers = Sequences()
    numbers.lose([Loss(known(1), 1)])
    took(numbers, 1)
    numbers.skip("w")
    numbers.end()
    assert looks(numbers) == []
