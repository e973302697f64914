"""Missing lines: what never comes is a gap once, what comes late or was recorded by another recorder is none."""

from pathlib import Path

import pytest

from banledger.spool.directory import Directory
from banledger.spool.events import GapLine
from banledger.spool.position import Position
from banledger.spool.reader import SpoolReader
from tests.support.lines import T0, ban, encode
from tests.support.segments import NOW, Writer, drain, fids, lines, step

from .conftest import Read, position


def test_lines_that_vanish_unread_are_a_gap(writer: Writer, spool: SpoolReader) -> None:
    writer.write("a")
    step(spool)
    writer.rotate()
    writer.write("b", "c")
    writer.path.unlink()
    writer.rotate()
    writer.write("d")
    assert step(spool) == ["d"]
    gaps = [event for _ in range(3) for event in spool.read(NOW, 10)]
    (gap,) = gaps
    assert isinstance(gap, GapLine)
    assert (gap.bans, gap.seq) == (2, 3)


def test_a_lost_line_beside_unknown_kinds_is_still_a_gap(writer: Writer, spool: SpoolReader) -> None:
    writer.write_kind("begin")
    writer.seq += 2
    writer.write_kind("end")
    assert step(spool) == []
    (gap,) = [event for _ in range(3) for event in spool.read(NOW, 10)]
    assert isinstance(gap, GapLine) and (gap.bans, gap.seq) == (2, 3)


def test_late_lines_are_not_a_gap(writer: Writer, spool: SpoolReader, tmp_path: Path) -> None:
    writer.write("a")
    writer.rotate()
    writer.write("b")
    late = writer.path.rename(tmp_path / "late")
    writer.rotate()
    writer.write("c")
    assert step(spool) == ["a", "c"]
    late.rename(tmp_path / f"1700000000002-{writer.name}-2.jsonl")
    assert step(spool) == ["b"]
    assert not spool.doubtful
    assert spool.read(NOW, 10) == []


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


def test_segments_with_names_out_of_order_are_not_a_gap(spool: SpoolReader, tmp_path: Path) -> None:
    """The clock was put back between them."""
    for moment, number, seqs in ((1_700_000_000_009, 1, range(1, 4)), (1_700_000_000_001, 2, range(4, 6))):
        path = tmp_path / f"{moment}-abcdef01-{number}.jsonl"
        path.write_bytes(b"".join(encode(ban(str(seq), seq=seq)) for seq in seqs))
    assert sorted(step(spool)) == ["1", "2", "3", "4", "5"]
    assert [event for _ in range(3) for event in spool.read(NOW, 10)] == []


def test_lines_in_segments_that_are_not_open_yet_are_not_a_gap(tmp_path: Path, spool: SpoolReader) -> None:
    """The writer's clock was put back: its first segment has the last name."""
    for number in range(3):
        (tmp_path / f"160000000000{number}-abcdef01-{number + 2}.jsonl").write_bytes(
            b"".join(encode(ban(f"{number}", seq=100 + 2 * number + more, seen=T0)) for more in range(2))
        )
    for number in range(100):
        path = tmp_path / f"17000000{number:05d}-{number:08x}-1.jsonl"
        path.write_bytes(b"".join(encode(ban("x", seq=seq, seen=T0 + seq)) for seq in range(1, 11)))
    spool.numbers.expect([Position("web1", "abcdef01", "sshd", 1, 1, T0)])
    late = tmp_path / "1800000000000-abcdef01-1.jsonl"
    late.write_bytes(b"".join(encode(ban("late", seq=seq, seen=T0)) for seq in range(1, 100)))
    bans, missing = drain(spool, 20)
    assert (bans.count("late"), bans.count("x"), missing) == (99, 1000, 0)


def test_a_read_without_a_listing_reports_no_gap(
    spool: SpoolReader, writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.write("a")
    writer.rotate()
    writer.write("b")
    late = writer.path.rename(tmp_path / "late")
    writer.rotate()
    writer.write("c")
    assert fids(spool.read(NOW, 100)) == ["a", "c"]
    spool.commit()
    with monkeypatch.context() as patched:
        patched.setattr(Directory, "look", lambda *_: None)
        for moment in range(5):
            assert spool.read(NOW + moment, 100) == [] and spool.doubtful
            spool.commit()
    late.rename(tmp_path / f"1700000000002-{writer.name}-2.jsonl")
    assert drain(spool) == (["b"], 0)


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


def test_numbers_that_another_recorder_may_have_read_are_not_a_gap(spool: SpoolReader, writer: Writer) -> None:
    spool.begin_anew(alone=False)
    lines(writer, "web1")
    writer.seq += 3
    lines(writer, "web1")
    events = [event for moment in range(4) for event in spool.read(NOW + moment, 99)]
    assert fids(events) == ["web1-1", "web1-5"]


@pytest.fixture
def _lost_lock(writer: Writer, spool: SpoolReader, read: Read) -> None:
    """Of six lines three have not come, and the lock was lost and taken again."""
    writer.write("a", "b")
    assert read() == (["a", "b"], [])
    writer.seq += 3
    writer.write("f")
    assert fids(spool.read(NOW + 50, 100)) == ["f"]
    spool.commit()
    spool.begin_anew(alone=True)


@pytest.mark.usefixtures("_lost_lock")
def test_missing_lines_are_counted_exactly_after_a_lost_lock(writer: Writer, spool: SpoolReader, read: Read) -> None:
    spool.numbers.catch_up([position(2)])
    writer.write("g")
    assert read() == (["a", "b", "f", "g"], [3])  # all that is there, again


@pytest.mark.usefixtures("_lost_lock")
def test_lines_that_another_recorder_recorded_are_not_missing(spool: SpoolReader, read: Read) -> None:
    spool.numbers.catch_up([position(5)])
    assert read() == (["a", "b", "f"], [])
