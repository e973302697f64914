"""Reading the spool: nothing lost, nothing invented, nothing trusted."""

import fcntl
import logging
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banledger.errors import SpoolError
from banledger.spool.quarantine import REJECTED
from banledger.spool.reader import SpoolReader
from tests.support.lines import T0, ban, encode, held
from tests.support.segments import NOW, Writer, fids, step


def test_a_live_segment_is_read_as_it_grows_and_stays(writer: Writer, spool: SpoolReader) -> None:
    writer.write("a", "b")
    assert step(spool) == ["a", "b"]
    writer.write("c")
    assert step(spool) == ["c"]
    assert step(spool) == []
    assert writer.path.exists()


def test_a_finished_segment_is_removed_once_it_is_committed(writer: Writer, spool: SpoolReader) -> None:
    writer.write("a")
    writer.close()
    assert fids(spool.read(NOW, 100)) == ["a"]
    assert writer.path.exists()
    spool.commit()
    assert not writer.path.exists()


def test_rolled_back_lines_are_read_again(writer: Writer, spool: SpoolReader) -> None:
    writer.write("a", "b")
    assert fids(spool.read(NOW, 100)) == ["a", "b"]
    spool.rollback()
    assert step(spool) == ["a", "b"]


def test_after_a_restart_remaining_segments_are_read_again(writer: Writer, spool: SpoolReader, tmp_path: Path) -> None:
    writer.write("a")
    assert step(spool) == ["a"]
    spool.close()
    assert step(SpoolReader(tmp_path)) == ["a"]


def test_a_limited_read_continues_where_it_stopped(writer: Writer, spool: SpoolReader) -> None:
    writer.write("a", "b", "c")
    writer.close()
    assert [step(spool, 2), writer.path.exists()] == [["a", "b"], True]
    assert [step(spool, 2), writer.path.exists()] == [["c"], False]


def test_half_a_line_waits_for_its_rest(writer: Writer, spool: SpoolReader) -> None:
    line = encode(ban("a"))
    writer.raw(line[:20])
    assert step(spool) == []
    writer.raw(line[20:])
    assert step(spool) == ["a"]


def test_a_torn_last_line_is_set_aside(writer: Writer, spool: SpoolReader, tmp_path: Path) -> None:
    writer.write("a")
    writer.raw(b'{"v":1,"kind":"ba')
    writer.close()
    assert step(spool) == ["a"]
    (kept,) = (tmp_path / REJECTED).iterdir()
    assert kept.read_bytes() == b'reason: torn line\n\n{"v":1,"kind":"ba'
    assert not writer.path.exists()


def test_garbage_between_lines_is_set_aside_once(writer: Writer, spool: SpoolReader, tmp_path: Path) -> None:
    writer.write("a")
    writer.raw(b"\x00\xff garbage\n" * 3)
    writer.write("b")
    assert step(spool) == ["a", "b"]
    spool.close()
    assert step(SpoolReader(tmp_path)) == ["a", "b"]
    assert len(list((tmp_path / REJECTED).iterdir())) == 1


def test_an_endless_line_takes_bounded_memory_and_is_skipped(
    writer: Writer, spool: SpoolReader, tmp_path: Path
) -> None:
    writer.raw(b"x" * 3_000_000)
    assert step(spool) == []
    writer.raw(b"x" * 10 + b"\n")
    writer.write("a")
    assert step(spool) == ["a"]
    (kept,) = (tmp_path / REJECTED).iterdir()
    assert kept.stat().st_size < 70_000


def test_lines_of_a_newer_version_wait_in_their_segment(writer: Writer, spool: SpoolReader) -> None:
    writer.write("a")
    writer.raw(b'{"v":2,"kind":"dance"}\n')
    writer.write("b")
    writer.close()
    assert step(spool) == ["a", "b"]
    assert step(spool) == []
    assert writer.path.exists()


def test_lines_of_unknown_kinds_are_skipped_and_their_numbers_counted(
    writer: Writer, spool: SpoolReader, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer.write_kind("begin")
    writer.write("a")
    writer.write_kind("hold", "begin")
    writer.write("b")
    writer.write_kind("end")
    writer.close()
    with caplog.at_level(logging.WARNING, "banledger"):
        assert step(spool) == ["a", "b"]
    assert [event for _ in range(3) for event in spool.read(NOW, 10)] == []
    assert (list(tmp_path.iterdir()), spool.skipped) == ([], 4)
    said = [f"skipping lines of unknown kind {kind!r}: upgrade banledger" for kind in ("begin", "hold", "end")]
    assert [record.getMessage() for record in caplog.records] == said


def test_lines_of_unknown_kinds_count_as_work_once(writer: Writer, spool: SpoolReader) -> None:
    writer.write_kind(*["begin"] * 250)
    writer.write("a")
    spool.read(NOW, 100)
    spool.rollback()
    steps = []
    for _ in range(3):
        steps.append((step(spool, 100), spool.doubtful, spool.skipped))
    assert steps == [([], True, 100), ([], True, 200), (["a"], True, 250)]
    assert step(spool, 100) == [] and not spool.doubtful


def test_many_unknown_kinds_do_not_fill_the_log(
    writer: Writer, spool: SpoolReader, caplog: pytest.LogCaptureFixture
) -> None:
    writer.write_kind(*(f"kind{number}" for number in range(300)))
    assert step(spool, 1000) == []
    assert (len(caplog.records), spool.skipped) == (100, 300)


def test_an_unknown_kind_with_broken_common_fields_is_set_aside(
    writer: Writer, spool: SpoolReader, tmp_path: Path
) -> None:
    writer.raw(b'{"v":1,"kind":"begin","seen":5.5,"seq":-1,"server":"web1","jail":"sshd"}\n')
    assert step(spool) == []
    assert len(list((tmp_path / REJECTED).iterdir())) == 1


def test_a_new_empty_segment_is_kept_for_a_minute(tmp_path: Path, spool: SpoolReader) -> None:
    path = tmp_path / "1700000000000-abcdef01-1.jsonl"
    path.touch()
    for moment in (1, 60):
        spool.read(NOW + moment, 10)
        spool.commit()
        assert path.exists()
    spool.read(NOW + 61, 10)
    spool.commit()
    assert not path.exists()


def test_other_files_are_never_opened(tmp_path: Path, spool: SpoolReader) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(encode(ban("evil")))
    (tmp_path / "1700000000000-abcdef01-1.jsonl").symlink_to(outside)
    os.mkfifo(tmp_path / "1700000000000-abcdef01-2.jsonl")
    (tmp_path / "1700000000000-abcdef01-3.jsonl").hardlink_to(outside)
    (tmp_path / "1700000000000-abcdef01-4.jsonl").mkdir()
    (tmp_path / "notes.txt").write_bytes(encode(ban("evil")))
    assert step(spool) == []
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_a_file_of_another_owner_is_not_read(tmp_path: Path, spool: SpoolReader) -> None:
    path = tmp_path / "1700000000000-abcdef01-1.jsonl"
    path.write_bytes(encode(ban("evil")))
    os.chown(path, 12345, 12345)
    assert step(spool) == []


def test_a_segment_that_vanishes_is_still_read_to_its_end(writer: Writer, spool: SpoolReader) -> None:
    writer.write("a")
    assert step(spool) == ["a"]
    writer.write("b")
    writer.path.unlink()
    assert step(spool) == ["b"]
    assert step(spool) == []


def test_more_live_segments_than_any_backlog_are_all_read(spool: SpoolReader, tmp_path: Path) -> None:
    writers = [Writer(tmp_path, f"{number:08x}") for number in range(150)]
    for writer in writers:
        writer.write("a")
    assert len([fid for _ in range(5) for fid in step(spool, 1000)]) == 150
    for writer in writers:
        writer.close()


def test_a_missing_directory_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="can't read the spool"):
        SpoolReader(tmp_path / "no").read(NOW, 10)


def test_a_recreated_directory_is_read(writer: Writer, spool: SpoolReader, tmp_path: Path) -> None:
    writer.write("a")
    step(spool)
    writer.path.unlink()
    tmp_path.rmdir()
    with pytest.raises(SpoolError):
        spool.read(NOW, 10)
    spool.rollback()
    tmp_path.mkdir()
    again = Writer(tmp_path, "abcdef02")
    again.write("b")
    assert step(spool) == ["b"]


@given(
    st.lists(
        st.one_of(st.just(b""), st.binary(max_size=40), st.sampled_from([b"\n", b"{}\n", b'{"v":1}\n'])), max_size=8
    ),
    st.data(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_and_truncation_do_not_affect_valid_lines(
    tmp_path: Path, garbage: list[bytes], data: st.DataObject
) -> None:
    """Good lines that stand on their own come back in order, whatever stands between them and wherever it ends."""
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    text, good = b"", []
    for number, junk in enumerate(garbage):
        line = encode(ban(str(number), seq=number + 1))
        text += junk + (b"" if not junk or junk.endswith(b"\n") else b"\n") + line
        good.append((len(text), str(number)))
    cut = data.draw(st.integers(0, len(text)))
    (folder / "1700000000000-abcdef01-1.jsonl").write_bytes(text[:cut])
    spool = SpoolReader(folder)
    read: list[str] = []
    for minutes in range(len(garbage) + 3):
        read += step(spool, data.draw(st.integers(1, 4)), NOW + 60 * minutes)
    assert read == [fid for end, fid in good if end <= cut]
    assert [path.name for path in folder.iterdir() if path.name != REJECTED] == []


def test_invalid_lines_count_as_work(writer: Writer, spool: SpoolReader, tmp_path: Path) -> None:
    writer.raw(b"".join(b"garbage %d\n" % number for number in range(250)))
    writer.write("a")
    writer.close()
    steps = [step(spool, 100) for _ in range(4)]
    assert steps == [[], [], ["a"], []]
    assert len(list((tmp_path / REJECTED).iterdir())) == 250
    assert not writer.path.exists()


def test_a_segment_stays_if_its_lines_cannot_be_set_aside(writer: Writer, spool: SpoolReader, tmp_path: Path) -> None:
    (tmp_path / REJECTED).write_text("in the way")
    writer.raw(b"garbage\n")
    writer.write("a")
    writer.close()
    assert step(spool) == ["a"]
    assert writer.path.exists()


def test_refused_names_do_not_block_others(writer: Writer, spool: SpoolReader, tmp_path: Path) -> None:
    for number in range(70):
        (tmp_path / f"{number:013d}-abcdef09-1.jsonl").symlink_to(tmp_path / "nowhere")
    writer.write("a")
    assert step(spool) == ["a"]


def test_a_renamed_segment_is_read_further_and_removed_under_its_new_name(
    writer: Writer, spool: SpoolReader, tmp_path: Path
) -> None:
    writer.write("a")
    assert step(spool) == ["a"]
    writer.path.rename(tmp_path / "1700000000009-0badbad0-1.jsonl")
    writer.write("b")
    assert step(spool) == ["b"]
    (tmp_path / "1700000000009-0badbad0-1.jsonl").rename(tmp_path / "hidden")
    writer.write("c")
    assert step(spool) == ["c"]
    (tmp_path / "hidden").rename(tmp_path / "1700000000008-0badbad0-2.jsonl")
    writer.write("d")
    writer.close()
    assert step(spool) == ["d"]
    assert [event for _ in range(3) for event in spool.read(NOW, 10)] == []
    assert list(tmp_path.iterdir()) == []


def signed(writer: Writer, *fids: str) -> None:
    """Bans as the action writes them: each says who wrote it."""
    for fid in fids:
        writer.seq += 1
        writer.raw(encode(ban(fid, seq=writer.seq, seen=T0 + writer.seq, writer=writer.name)))


def test_lines_name_their_writer_in_a_segment_of_any_name(writer: Writer, spool: SpoolReader, tmp_path: Path) -> None:
    signed(writer, "a")
    writer.rotate()
    signed(writer, "b")
    writer.path.rename(tmp_path / "1600000000000-0badbad0-1.jsonl")
    writer.rotate()
    signed(writer, "c")
    read = spool.read(NOW, 10)
    assert sorted(fids(read)) == ["a", "b", "c"]
    assert {event.writer for event in read} == {"abcdef01"}
    assert [event for _ in range(3) for event in spool.read(NOW, 10)] == []


@pytest.mark.parametrize("name", ["", "two words", "a:b", "x" * 500_000, "ABCDEF01"])
def test_an_invalid_writer_is_taken_from_the_name(writer: Writer, spool: SpoolReader, name: str) -> None:
    writer.raw(encode(ban("a", seq=1, writer=name)))
    assert [event.writer for event in spool.read(NOW, 10)] == ["abcdef01"]


def test_a_foreign_lock_keeps_only_a_writers_last_segment(writer: Writer, spool: SpoolReader) -> None:
    signed(writer, "a")
    first = writer.path
    somebody = os.open(first, os.O_RDONLY)
    writer.rotate()
    fcntl.flock(somebody, fcntl.LOCK_SH)
    assert step(spool) == ["a"]
    assert step(spool) == [] and first.exists()
    signed(writer, "b")
    assert step(spool) == ["b"]
    step(spool)
    assert not first.exists() and writer.path.exists()
    os.close(somebody)


def test_a_live_segment_is_not_finished_when_another_writer_continues(
    writer: Writer, spool: SpoolReader, tmp_path: Path
) -> None:
    other = Writer(tmp_path, "abcdef02")
    signed(writer, "a")
    signed(other, "b", "c", "d")
    for _ in range(3):
        step(spool)
    assert writer.path.exists() and other.path.exists()
    other.close()


def test_lines_are_not_set_aside_through_a_link(writer: Writer, spool: SpoolReader, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / REJECTED).symlink_to(outside)
    writer.raw(b"garbage\n")
    writer.write("a")
    writer.close()
    assert step(spool) == ["a"]
    assert list(outside.iterdir()) == [] and writer.path.exists()


def test_lines_are_not_set_aside_in_a_folder_that_others_may_write_to(
    writer: Writer, spool: SpoolReader, tmp_path: Path
) -> None:
    (tmp_path / REJECTED).mkdir()
    (tmp_path / REJECTED).chmod(0o770)
    writer.raw(b"garbage\n")
    writer.close()
    assert step(spool) == []
    assert list((tmp_path / REJECTED).iterdir()) == [] and writer.path.exists()


def test_snapshots_of_many_bans_are_read_a_few_at_a_time(writer: Writer, spool: SpoolReader) -> None:
    for number in range(5):
        writer.raw(encode(held(*((f"{n}", T0, 60, 1) for n in range(15_000)), seq=number + 1)))
    assert [len(spool.read(NOW, 100)) for _ in range(4) if spool.commit() or True] == [2, 2, 1, 0]


def test_garbage_of_any_size_is_read_in_bounded_pieces(writer: Writer, spool: SpoolReader) -> None:
    for _ in range(40):
        writer.raw(b"x" * 1_000_000 + b"\n")
    writer.write("a")
    writer.close()
    steps = 0
    while step(spool) != ["a"]:
        assert spool.doubtful
        steps += 1
    assert steps == 2


def test_a_crowded_spool_is_doubtful_until_it_is_fully_listed(spool: SpoolReader, tmp_path: Path) -> None:
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
