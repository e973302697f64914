"""Labels that are held back: their lines stay in the spool, come when released, and are missed when they vanish."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from banledger.spool.events import GapLine
from banledger.spool.reader import SpoolReader
from tests.support.segments import NOW, Writer, drain, fids, lines

from .conftest import Read, position, read_often


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Writer]:
    """A writer of another jail."""
    made = Writer(tmp_path, "12345678")
    yield made
    made.close()


def test_holding_back_a_label_keeps_only_its_lines(spool: SpoolReader, writer: Writer, second: Writer) -> None:
    lines(writer, "web1", "web2", "web1")
    lines(second, "web2", "web2")
    for one in (writer, second):
        one.close()
    spool.hold_back({"web1"})
    assert sorted(fids(spool.read(NOW, 99))) == ["web2-1", "web2-2", "web2-2"]
    spool.commit()
    assert (writer.path.exists(), second.path.exists()) == (True, False)
    assert not spool.read(NOW + 1, 99)
    spool.commit()
    spool.hold_back(set())
    assert fids(spool.read(NOW + 2, 99)) == ["web1-1", "web2-2", "web1-3"]
    spool.commit()
    assert not writer.path.exists()


def test_a_label_released_while_its_segment_grows_is_read_whole(spool: SpoolReader, writer: Writer) -> None:
    spool.hold_back({"web1"})
    lines(writer, "web1", "web1")
    assert spool.read(NOW, 99) == []
    spool.commit()
    lines(writer, "web1")
    spool.hold_back({"web9"})
    assert fids(spool.read(NOW + 1, 99)) == ["web1-1", "web1-2", "web1-3"]


def test_held_back_lines_count_towards_the_limit_of_a_read(spool: SpoolReader, writer: Writer) -> None:
    lines(writer, *["web1"] * 25, "web2")
    writer.close()
    spool.hold_back({"web1"})
    found = []
    for moment in range(4):
        found.append(fids(spool.read(NOW + moment, 10)))
        spool.commit()
        assert spool.doubtful == (moment < 3)
    assert found == [[], [], ["web2-26"], []]


def test_imported_bans_are_not_held_back(spool: SpoolReader, writer: Writer) -> None:
    lines(writer, "web1", origin="import")
    spool.hold_back({"web1"})
    assert fids(spool.read(NOW, 99)) == ["web1-1"]


def test_unknown_kinds_of_a_held_back_label_wait_with_it(spool: SpoolReader, writer: Writer) -> None:
    spool.hold_back({"web1"})
    writer.write_kind("begin")
    writer.close()
    drain(spool)
    assert writer.path.exists() and spool.skipped == 0


def test_a_segment_with_a_half_read_long_line_is_read_whole_when_its_label_is_released(
    spool: SpoolReader, writer: Writer
) -> None:
    spool.hold_back({"web1"})
    writer.write("a", "b")
    writer.raw(b"x" * 3_000_000)
    spool.read(NOW, 100)
    spool.commit()
    spool.hold_back(set())
    writer.raw(b"x\n")
    assert drain(spool) == (["a", "b"], 0)


def test_a_gap_of_a_held_back_label_waits_with_it(spool: SpoolReader, writer: Writer) -> None:
    lines(writer, "web1")
    writer.seq += 3
    lines(writer, "web1")
    writer.close()
    spool.hold_back({"web1"})
    for moment in range(5):
        assert spool.read(NOW + moment, 99) == []
        spool.commit()
    assert not spool.doubtful
    spool.hold_back(set())
    events = []
    for moment in range(5, 9):
        events += spool.read(NOW + moment, 99)
        spool.commit()
    assert [event.bans for event in events if isinstance(event, GapLine)] == [3]


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


def test_no_position_passes_lines_that_are_held_back(writer: Writer, spool: SpoolReader) -> None:
    writer.write("a", "b")
    spool.read(NOW, 100)
    spool.commit()
    spool.hold_back({"web1"})
    writer.write("c", "d")
    spool.read(NOW, 100)
    assert [one.last for one in spool.numbers.positions()] == [2]


def test_the_position_advances_when_held_back_lines_are_released(writer: Writer, spool: SpoolReader) -> None:
    spool.hold_back({"web1"})
    writer.write("a", "b")
    spool.read(NOW, 100)
    spool.commit()
    spool.hold_back(())
    assert fids(spool.read(NOW, 100)) == ["a", "b"]
    assert [one.last for one in spool.numbers.positions()] == [2]


def test_a_position_stays_below_held_back_lines_and_advances_when_they_are_released(
    spool: SpoolReader, writer: Writer
) -> None:
    writer.write("a", "b")
    drain(spool)
    spool.hold_back({"web1"})
    writer.write("c", "d", "e")
    writer.close()
    assert spool.read(NOW, 100) == []
    assert all(position.last <= 2 for position in spool.numbers.positions())
    spool.commit()
    spool.hold_back(set())
    lasts, read = [], []
    for _ in range(8):
        read += fids(spool.read(NOW, 1))
        lasts += [position.last for position in spool.numbers.positions()]
        assert not lasts or lasts[-1] <= max(2, "abcde".index(read[-1]) + 1)
        spool.commit()
    assert (read, lasts[-1]) == (list("abcde"), 5)


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


@pytest.mark.parametrize("recorded", [(), ("z",)])
def test_held_back_lines_that_vanish_before_a_restart_are_missing(
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
    assert read_often(again) == [] and again.numbers.unrecorded() == unrecorded
    again.hold_back(())
    events = read_often(again)
    assert fids(events) == [*recorded, "a", "b"] and kept.exists() is False
    assert [event.bans for event in events if isinstance(event, GapLine)] == [3]
    again.close()


def test_unrecorded_lines_that_remain_after_a_restart_are_not_missing(
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
    events = read_often(again)
    assert fids(events) == ["a", "b", "c"] and len(events) == 3
    assert not again.doubtful and again.numbers.unrecorded() == []
    again.close()


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
    spool.numbers.catch_up([position(3)])
    writer.write("d")
    assert read() == (["d"], [])


def test_a_restart_with_held_back_lines_reports_exactly_the_lost_lines(
    writer: Writer, tmp_path: Path, spool: SpoolReader
) -> None:
    spool.hold_back({"web1"})
    writer.write("a", "b")
    writer.rotate()
    writer.write("c")
    gone = writer.path
    writer.rotate()
    writer.write("d")
    assert spool.read(NOW, 100) == []
    positions = spool.numbers.positions()
    spool.commit()
    spool.close()
    gone.unlink()
    again = SpoolReader(tmp_path)
    again.numbers.expect(positions)
    assert drain(again) == (["a", "b", "d"], 1)
    again.close()


def test_a_lost_lock_causes_a_full_read_and_no_gap(spool: SpoolReader, writer: Writer, tmp_path: Path) -> None:
    spool.hold_back({"web1"})
    writer.write("a", "b")
    assert spool.read(NOW, 100) == []
    positions = spool.numbers.positions()
    spool.commit()
    spool.begin_anew(alone=True)
    spool.numbers.expect(positions)
    spool.hold_back(set())
    writer.write("c")
    assert drain(spool) == (["a", "b", "c"], 0)
