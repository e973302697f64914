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


def test_no_position_passes_lines_that_are_held_back(writer: Writer, spool: SpoolReader) -> None:
    writer.write("a", "b")
    spool.read(NOW, 100)
    spool.commit()
    spool.hold_back({"web1"})
    writer.write("c", "d")
    spool.read(NOW, 100)
    assert [one.last for one in spool.positions()] == [2]


def test_the_position_advances_when_held_back_lines_are_released(writer: Writer, spool: SpoolReader) -> None:
    spool.hold_back({"web1"})
    writer.write("a", "b")
    spool.read(NOW, 100)
    spool.commit()
    spool.hold_back(())
    assert fids(spool.read(NOW, 100)) == ["a", "b"]
    assert [one.last for one in spool.positions()] == [2]


@pytest.mark.parametrize("later", [(), ("d",)])
def test_lines_that_vanish_while_held_back_are_missing(
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


def test_held_back_lines_that_another_recorder_recorded_are_not_missing(
    writer: Writer, spool: SpoolReader, read: Read
) -> None:
    spool.hold_back({"web1"})
    writer.write("a", "b", "c")
    held = writer.path
    writer.rotate()
    assert read() == ([], [])
    held.unlink()
    spool.hold_back(())
    spool.catch_up([position(3)])
    writer.write("d")
    assert read() == (["d"], [])


def test_gaps_before_and_among_held_back_lines_are_counted_once(writer: Writer, spool: SpoolReader, read: Read) -> None:
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
    spool.catch_up([position(2)])
    writer.write("g")
    assert read() == (["a", "b", "f", "g"], [3])  # all that is there, again


def test_lines_that_another_recorder_recorded_are_not_missing(writer: Writer, spool: SpoolReader, read: Read) -> None:
    writer.write("a", "b")
    assert read() == (["a", "b"], [])
    writer.seq += 3
    writer.write("f")
    assert fids(spool.read(NOW + 50, 100)) == ["f"]
    spool.commit()
    spool.begin_anew(alone=True)
    spool.catch_up([position(5)])
    assert read() == (["a", "b", "f"], [])


def test_no_line_counts_as_missing_before_the_next_listing(writer: Writer, spool: SpoolReader, tmp_path: Path) -> None:
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


def test_missing_lines_that_never_come_are_a_gap_beside_late_ones(
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


def test_a_crowded_spool_reports_gaps_only_after_a_full_listing(spool: SpoolReader, tmp_path: Path) -> None:
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
