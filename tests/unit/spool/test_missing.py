"""Which lines are missed, where others record, hold back or hide what stands in the spool."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TypeAlias

import pytest

from banledger.spool.events import GapLine
from banledger.spool.position import Loss, Position
from banledger.spool.reader import SpoolReader
from tests.support.lines import T0
from tests.support.segments import NOW, Writer, fids

Read: TypeAlias = Callable[[], tuple[list[str], list[int]]]


@pytest.fixture
def read(spool: SpoolReader) -> Read:
    """Read and commit a few times, ten seconds apart: what was banned, and how many lines each gap is."""
    moments = count(int(NOW), 10)

    def several() -> tuple[list[str], list[int]]:
        events = []
        for _ in range(5):
            events += spool.read(next(moments), 100)
            spool.commit()
        return fids(events), [event.bans for event in events if isinstance(event, GapLine)]

    return several


def position(last: int) -> Position:
    return Position("web1", "abcdef01", "sshd", 1, last, T0 + last)


def test_no_position_runs_ahead_of_lines_that_are_held_back(writer: Writer, spool: SpoolReader) -> None:
    writer.write("a", "b")
    spool.read(NOW, 100)
    spool.commit()
    spool.hold_back({"web1"})
    writer.write("c", "d")
    spool.read(NOW, 100)
    assert [one.last for one in spool.numbers.positions()] == [2]


def test_the_position_goes_on_when_lines_are_held_back_no_longer(writer: Writer, spool: SpoolReader) -> None:
    spool.hold_back({"web1"})
    writer.write("a", "b")
    spool.read(NOW, 100)
    spool.commit()
    spool.hold_back(())
    assert fids(spool.read(NOW, 100)) == ["a", "b"]
    assert [one.last for one in spool.numbers.positions()] == [2]


@pytest.mark.parametrize("later", [(), ("d",)])
def test_lines_that_vanish_while_they_are_held_back_are_missed(
    writer: Writer, spool: SpoolReader, read: Read, later: tuple[str, ...]
) -> None:
    spool.hold_back({"web1"})
    writer.write("a", "b", "c")
    held = writer.path
    writer.rotate()
    assert read() == ([], [])
    held.unlink()
    writer.write(*later)
    assert read() == ([], [])
    spool.hold_back(())
    assert read() == ([*later], [3])
    assert read() == ([], [])


@pytest.mark.parametrize("recorded", [(), ("z",)])
def test_held_lines_that_vanish_before_a_restart_are_missed(
    writer: Writer, spool: SpoolReader, tmp_path: Path, recorded: tuple[str, ...]
) -> None:
    writer.write(*recorded)
    spool.read(NOW, 100)
    positions = spool.numbers.positions()
    spool.commit()
    spool.hold_back({"web1"})
    writer.write("a", "b")
    kept = writer.path
    writer.rotate()
    writer.write("c", "d", "e")
    spool.read(NOW, 100)
    unrecorded = spool.numbers.unrecorded()
    spool.commit()
    spool.close()
    writer.path.unlink()
    again = SpoolReader(tmp_path)
    again.numbers.expect(positions)
    again.numbers.recall(unrecorded)
    again.hold_back({"web1"})
    events = [event for _ in range(5) for event in again.read(NOW, 100) if again.commit() or True]
    assert events == [] and again.numbers.unrecorded() == unrecorded
    again.hold_back(())
    events = [event for _ in range(5) for event in again.read(NOW, 100) if again.commit() or True]
    assert fids(events) == [*recorded, "a", "b"] and kept.exists() is False
    assert [event.bans for event in events if isinstance(event, GapLine)] == [3]
    again.close()


def test_of_lines_that_were_unrecorded_before_a_restart_those_that_are_there_are_not_missed(
    writer: Writer, spool: SpoolReader, tmp_path: Path
) -> None:
    spool.hold_back({"web1"})
    writer.write("a", "b", "c")
    spool.read(NOW, 100)
    unrecorded = spool.numbers.unrecorded()
    assert [(one.first, one.last) for one in unrecorded] == [(1, 3)]
    spool.commit()
    spool.close()
    again = SpoolReader(tmp_path)
    again.numbers.expect([position(1)])
    again.numbers.recall(unrecorded)
    events = [event for _ in range(5) for event in again.read(NOW, 100) if again.commit() or True]
    assert fids(events) == ["a", "b", "c"] and len(events) == 3
    assert not again.doubtful and again.numbers.unrecorded() == []
    again.close()


def test_held_lines_that_another_recorder_recorded_are_not_missed(
    writer: Writer, spool: SpoolReader, read: Read
) -> None:
    spool.hold_back({"web1"})
    writer.write("a", "b", "c")
    held = writer.path
    writer.rotate()
    assert read() == ([], [])
    held.unlink()
    spool.hold_back(())
    spool.numbers.catch_up([position(3)])
    writer.write("d")
    assert read() == (["d"], [])


def test_a_gap_before_and_one_among_held_lines_are_counted_once(writer: Writer, spool: SpoolReader, read: Read) -> None:
    writer.write("a")
    assert read() == (["a"], [])
    spool.hold_back({"web1"})
    writer.seq += 2
    writer.write("d")
    writer.seq += 3
    writer.write("h")
    assert read() == ([], [])
    spool.hold_back(())
    fids_read, gaps = read()
    assert (sorted(set(fids_read) - {"a"}), sorted(gaps)) == (["d", "h"], [2, 3])


def test_lines_suspected_when_the_lock_was_lost_are_counted_exactly(
    writer: Writer, spool: SpoolReader, read: Read
) -> None:
    writer.write("a", "b")
    assert read() == (["a", "b"], [])
    writer.seq += 3
    writer.write("f")
    assert fids(spool.read(NOW + 50, 100)) == ["f"]
    spool.commit()
    spool.begin_anew(alone=True)
    spool.numbers.catch_up([position(2)])
    writer.write("g")
    assert read() == (["a", "b", "f", "g"], [3])  # all that is there, again


def test_lines_that_another_recorder_recorded_meanwhile_are_not_missed(
    writer: Writer, spool: SpoolReader, read: Read
) -> None:
    writer.write("a", "b")
    assert read() == (["a", "b"], [])
    writer.seq += 3
    writer.write("f")
    assert fids(spool.read(NOW + 50, 100)) == ["f"]
    spool.commit()
    spool.begin_anew(alone=True)
    spool.numbers.catch_up([position(5)])
    assert read() == (["a", "b", "f"], [])


def test_while_it_is_too_early_for_another_look_nothing_is_believed_to_be_missing(
    writer: Writer, spool: SpoolReader, tmp_path: Path
) -> None:
    for number in range(3000):
        (tmp_path / f"stranger-{number}").touch()
    writer.write("a")
    spool.read(NOW, 100)
    spool.commit()
    writer.rotate()
    writer.write("b", "c")
    hidden = writer.path.rename(tmp_path / "hidden")
    name = writer.path
    writer.rotate()
    writer.write("d")
    spool.read(NOW + 1, 100)
    spool.commit()
    hidden.rename(name)
    events = []
    for moment in range(50):
        events += spool.read(NOW + 1 + moment / 50, 100)
        spool.commit()
    assert fids(events) == ["b", "c"]
    assert [event for event in events if isinstance(event, GapLine)] == []


def test_of_missing_lines_of_which_some_come_late_the_others_are_a_gap(
    writer: Writer, spool: SpoolReader, read: Read, tmp_path: Path
) -> None:
    paths = []
    for number in range(3):
        writer.write(f"{number}a", f"{number}b")
        paths.append(writer.path)
        writer.rotate()
    writer.write("last")
    assert read()[0]
    writer.seq += 1  # missing: 8; then a segment that comes late, then one that never does
    writer.write("late")
    late = writer.path.rename(tmp_path / "late")
    name = writer.path
    writer.rotate()
    writer.seq += 2
    writer.write("newest")
    spool.read(NOW + 60, 100)
    spool.commit()
    late.rename(name)
    found, gaps = read()
    assert sorted(found) in (["late"], ["last", "late"])
    assert sorted(gaps) == [1, 2]


def test_a_segment_that_waits_for_an_upgrade_is_read_again_when_the_store_went_back(
    writer: Writer, spool: SpoolReader, read: Read
) -> None:
    writer.write("a", "b")
    writer.raw(b'{"v":2,"kind":"dance"}\n')
    writer.rotate()
    assert read() == (["a", "b"], [])
    spool.reread([Loss(position(2), 1)])
    assert read() == (["a", "b"], [])


def test_a_crowded_spool_is_doubtful_until_all_of_it_was_looked_at(spool: SpoolReader, tmp_path: Path) -> None:
    for number in range(70):
        one = Writer(tmp_path, f"{number:08x}")
        one.write("a")
        one.close()
    for number in range(3000):
        (tmp_path / f"stranger-{number}").touch()
    assert len(spool.read(NOW, 100)) == 64
    spool.commit()
    assert spool.read(NOW, 100) == []
    spool.commit()
    assert spool.doubtful
    assert len(spool.read(NOW + 1, 100)) == 6
