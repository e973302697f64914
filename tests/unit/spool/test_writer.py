"""Segments as docs/spool-format.md has them, and as the recorder reads them."""

import fcntl
import os
import stat
from pathlib import Path

import pytest

from banledger.errors import SpoolError
from banledger.spool.reader import SpoolReader
from banledger.spool.writer import SegmentWriter
from tests.support.disk import fill
from tests.support.lines import T0

NOW = 2_000_000_000.0


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    spool = tmp_path / "spool"
    spool.mkdir()
    spool.chmod(0o2770)
    return spool


def line(fid: str = "192.0.2.1", jail: str = "sshd") -> dict[str, object]:
    return {"v": 1, "kind": "ban", "seen": T0, "server": "web1", "jail": jail, "fid": fid, "time": T0}


def test_the_recorder_reads_what_the_writer_wrote(directory: Path) -> None:
    with SegmentWriter(directory) as writer:
        for n in range(5):
            writer.write(line(f"192.0.2.{n}", jail="j\udc80é\n"))
    spool = SpoolReader(directory)
    read = spool.read(NOW, 100)
    spool.close()
    assert [(event.seq, event.jail) for event in read] == [(n, "j\\udc80é\n") for n in range(1, 6)]


def test_a_segment_is_locked_while_it_may_grow_and_closed_at_a_mebibyte(directory: Path) -> None:
    with SegmentWriter(directory) as writer:
        for n in range(12_000):
            writer.write(line(f"192.0.2.{n % 256}", jail="x" * 60))
        first, second = sorted(directory.iterdir())
        assert first.stat().st_size <= 1 << 20
        assert stat.S_IMODE(first.stat().st_mode) == 0o640
        assert (_locked(first), _locked(second)) == (False, True)
        assert first.name.split("-")[1:] != second.name.split("-")[1:]
    assert not _locked(second)


def _locked(path: Path) -> bool:
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def test_the_writer_waits_while_the_spool_is_too_full(directory: Path) -> None:
    (directory / "1795410932152-e14b8482-1.jsonl").write_bytes(b"x" * 2000)
    waits: list[float] = []

    def drain(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            next(directory.iterdir()).unlink()

    said: list[int] = []
    with SegmentWriter(directory, lambda: said.append(1), sleep=drain, backlog=1000) as writer:
        writer.write(line())
    assert (len(waits), len(said)) == (3, 3)


def test_a_deleted_segment_is_not_written_to_again(directory: Path) -> None:
    with SegmentWriter(directory) as writer:
        writer.write(line())
        next(directory.iterdir()).unlink()
        writer.write(line("192.0.2.2"))
    (path,) = directory.iterdir()
    assert b"192.0.2.2" in path.read_bytes()


@pytest.mark.parametrize("mode", [0o2772, 0o777])
def test_a_directory_that_others_may_write_to_is_refused(directory: Path, mode: int) -> None:
    directory.chmod(mode)
    with SegmentWriter(directory) as writer, pytest.raises(SpoolError, match="can't write to the spool"):
        writer.write(line())
    assert list(directory.iterdir()) == []


def test_a_link_is_not_followed(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(directory)
    with SegmentWriter(tmp_path / "link") as writer, pytest.raises(SpoolError):
        writer.write(line())


def test_a_missing_directory_is_a_clear_error(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path / "no") as writer, pytest.raises(SpoolError, match="No such file"):
        writer.write(line())


def test_on_a_full_disk_the_hint_is_to_make_room_and_no_part_of_a_line_stays(small_disk: Path) -> None:
    spool = small_disk / "spool"
    spool.mkdir()
    fill(small_disk / "filler")
    with (small_disk / "filler").open("r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 50_000)
    with SegmentWriter(spool) as writer, pytest.raises(SpoolError, match="No space left") as caught:
        for _ in range(1000):
            writer.write(line(jail="x" * 300))
    assert caught.value.hint == "make room; running it again is harmless"
    (segment,) = spool.iterdir()
    assert segment.read_bytes().endswith(b"}\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_foreign_files_do_not_make_the_writer_wait(directory: Path) -> None:
    name = directory / "1795410932152-e14b8482-1.jsonl"
    name.write_bytes(b"x" * 2000)
    os.chown(name, 65534, -1)
    (directory / "1795410932152-e14b8482-2.jsonl").mkdir()

    def waiting() -> None:
        raise AssertionError("it waits")

    with SegmentWriter(directory, waiting, backlog=1000) as writer:
        writer.write(line())
