"""Where the reader's rules meet: labels that wait, stores that went back, reads that are cut short, long lines."""

from pathlib import Path

import pytest

from banledger.spool.directory import Directory
from banledger.spool.events import GapLine
from banledger.spool.position import Loss, Position
from banledger.spool.reader import REJECTED, SpoolReader
from tests.support.lines import T0, ban, encode
from tests.support.segments import NOW, Writer, fids

NEWER = b'{"v":2,"kind":"dance"}\n'


def drain(spool: SpoolReader, limit: int = 100, first: float = NOW, *, least: int = 1) -> tuple[list[str], int]:
    """What is read until nothing is left: the bans, and how many lines are reported as missing."""
    bans, missing, step = [], 0, 0
    while step < least or spool.doubtful:
        events = spool.read(first + step, limit)
        bans += fids(events)
        missing += sum(event.bans for event in events if isinstance(event, GapLine))
        spool.commit()
        step += 1
        assert step < 500
    return bans, missing


def lost(writer: Writer, last: int, had: int = 0) -> Loss:
    """The store had lines up to `last`, and has them up to `had`."""
    return Loss(Position("web1", writer.name, "sshd", 1, last, T0 + last), had + 1)


def test_a_position_stays_below_lines_that_are_held_back_and_follows_them_when_they_are_released(
    spool: SpoolReader, writer: Writer
) -> None:
    writer.write("a", "b")
    drain(spool)
    spool.hold_back({"web1"})
    writer.write("c", "d", "e")
    writer.close()
    assert spool.read(NOW, 100) == []
    assert all(position.last <= 2 for position in spool.positions())
    spool.commit()
    spool.hold_back(set())
    lasts, read = [], []
    for _ in range(8):
        read += fids(spool.read(NOW, 1))
        lasts += [position.last for position in spool.positions()]
        assert not lasts or lasts[-1] <= max(2, "abcde".index(read[-1]) + 1)
        spool.commit()
    assert (read, lasts[-1]) == (list("abcde"), 5)


def test_a_restart_while_lines_are_held_back_neither_forges_nor_misses_a_gap(
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
    positions = spool.positions()
    spool.commit()
    spool.close()
    gone.unlink()
    again = SpoolReader(tmp_path)
    again.expect(positions)
    assert drain(again) == (["a", "b", "d"], 1)
    again.close()


def test_lost_lines_are_read_again_from_a_segment_that_waits_for_an_upgrade(spool: SpoolReader, writer: Writer) -> None:
    writer.write("a", "b")
    writer.raw(NEWER)
    writer.close()
    assert drain(spool)[0] == ["a", "b"]
    spool.reread([lost(writer, 2)])
    assert drain(spool) == (["a", "b"], 0)


def test_a_waiting_segment_that_is_read_late_leaves_no_gap(spool: SpoolReader, writer: Writer) -> None:
    writer.write("a", "b")
    writer.raw(NEWER)
    writer.rotate()
    writer.seq = 3
    writer.write(*(f"c{number}" for number in range(20)))
    drain(spool)
    spool.reread([lost(writer, 23)])
    bans, missing = drain(spool, 3)
    assert (sorted(set(bans)), missing) == (sorted({"a", "b", *(f"c{number}" for number in range(20))}), 0)


def test_lines_in_segments_that_are_not_open_yet_are_not_a_gap(tmp_path: Path, spool: SpoolReader) -> None:
    """The writer's clock was put back: its first segment has the last name."""
    for number in range(3):
        (tmp_path / f"160000000000{number}-abcdef01-{number + 2}.jsonl").write_bytes(
            b"".join(encode(ban(f"{number}", seq=100 + 2 * number + more, seen=T0)) for more in range(2))
        )
    for number in range(100):
        path = tmp_path / f"17000000{number:05d}-{number:08x}-1.jsonl"
        path.write_bytes(b"".join(encode(ban("x", seq=seq, seen=T0 + seq)) for seq in range(1, 11)))
    spool.expect([Position("web1", "abcdef01", "sshd", 1, 1, T0)])
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


def test_a_segment_whose_long_line_is_half_read_is_read_whole_when_its_label_is_released(
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


def test_a_long_line_is_set_aside_once_despite_a_rollback(spool: SpoolReader, writer: Writer, tmp_path: Path) -> None:
    writer.raw(b"x" * 3_000_000)
    spool.read(NOW, 100)
    spool.commit()
    writer.raw(b"yyy\n")
    spool.read(NOW, 100)
    spool.rollback()
    writer.write("a")
    assert drain(spool) == (["a"], 0)
    assert len(list((tmp_path / REJECTED).iterdir())) == 1


def test_a_lost_lock_causes_a_full_read_and_no_gap(spool: SpoolReader, writer: Writer, tmp_path: Path) -> None:
    spool.hold_back({"web1"})
    writer.write("a", "b")
    assert spool.read(NOW, 100) == []
    positions = spool.positions()
    spool.commit()
    spool.begin_anew(alone=True)
    spool.expect(positions)
    spool.hold_back(set())
    writer.write("c")
    assert drain(spool) == (["a", "b", "c"], 0)


def test_unknown_kinds_of_a_label_that_is_held_back_wait_with_it(spool: SpoolReader, writer: Writer) -> None:
    spool.hold_back({"web1"})
    writer.write_kind("begin")
    writer.close()
    drain(spool)
    assert writer.path.exists() and spool.skipped == 0
