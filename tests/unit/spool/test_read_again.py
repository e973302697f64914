"""Lines that are read again: after a rollback, after a lost connection, and where the store went back."""

from pathlib import Path

from banledger.spool.position import Loss, Position
from banledger.spool.quarantine import REJECTED
from banledger.spool.reader import SpoolReader
from tests.support.lines import T0
from tests.support.segments import NOW, Writer, drain, fids

from .conftest import Read, position

NEWER = b'{"v":2,"kind":"dance"}\n'


def lost(writer: Writer, last: int, had: int = 0) -> Loss:
    """The store had lines up to `last`, and has them up to `had`."""
    return Loss(Position("web1", writer.name, "sshd", 1, last, T0 + last), had + 1)


def test_recently_committed_lines_can_be_read_again(writer: Writer, tmp_path: Path) -> None:
    spool = SpoolReader(tmp_path, keep_s=100)
    for moment, fid in ((1000, "a"), (1050, "b"), (1130, "c")):
        writer.write(fid)
        assert fids(spool.read(NOW + moment, 10)) == [fid]
        spool.commit()
    writer.close()
    assert fids(spool.read(NOW + 1131, 10)) == []
    spool.commit()
    assert writer.path.exists()
    spool.rewind()
    assert fids(spool.read(NOW + 1140, 10)) == ["b", "c"]
    spool.commit()
    spool.read(NOW + 1239, 10)
    spool.commit()
    assert writer.path.exists()
    spool.read(NOW + 1240, 10)
    spool.commit()
    assert not writer.path.exists()
    spool.close()


def test_a_segment_that_waits_for_an_upgrade_is_read_again_when_the_store_went_back(
    writer: Writer, spool: SpoolReader, read: Read
) -> None:
    writer.write("a", "b")
    writer.raw(b'{"v":2,"kind":"dance"}\n')
    writer.rotate()
    assert read() == (["a", "b"], [])
    spool.reread([Loss(position(2), 1)])
    assert read() == (["a", "b"], [])


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
