"""What a file is, told by its content; memory and patience are bounded."""

import bz2
import gzip
import io
import lzma
import os
import sqlite3
import struct
import sys
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.importer.content import DATABASE, EXPORT, JSON, LOG, Blocks, Content
from banledger.importer.refusal import SourceRefused
from banledger.zstd import zstd

LINE = b"2026-11-23 02:13:20,123 fail2ban.actions        [4]: NOTICE  [ssh] Ban 192.0.2.1\n"


def read(path: Path) -> tuple[str, bytes]:
    with Content(str(path)) as content:
        return content.kind, b"".join(content.chunks())


def refusal(path: Path) -> str:
    with pytest.raises(SourceRefused) as caught:
        read(path)
    return str(caught.value)


PACKERS = [bytes, gzip.compress, bz2.compress, lzma.compress, zstd.compress]


@pytest.mark.parametrize("pack", PACKERS, ids=["plain", "gz", "bz2", "xz", "zst"])
def test_a_log_is_read_whatever_its_name_and_compression(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(pack(LINE * 20_000))
    assert read(path) == (LOG, LINE * 20_000)
    path.write_bytes(pack(LINE * 10) + pack(LINE * 10))  # appended to
    assert read(path) == (LOG, LINE * 20)


def test_damaged_zstd_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + b"x" * 100)
    assert "damaged" in refusal(path)
    path.write_bytes(zstd.compress(LINE * 20_000) + b"\xff" * 50)
    with Content(str(path)) as content, pytest.raises(SourceRefused, match="damaged"):
        list(content.chunks())


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"__CURSOR=s=1\n", EXPORT),
        (b'{"__CURSOR":"1","__REALTIME_TIMESTAMP":"1"}\n', JSON),
        (b"Nov 23 02:13:20 web1 CRON[7]: (root) CMD\n", LOG),
        (b"\0\0\0" + LINE, LOG),  # after a power cut
    ],
)
def test_a_kind_is_told_by_the_first_bytes(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    assert read(path)[0] == kind


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (gzip.compress(b"", mtime=0), "it is empty"),
        (b"\x89PNG\r\n", "it is not a log or database of fail2ban"),
        (gzip.compress(gzip.compress(LINE, mtime=0), mtime=0), "it is not a log or database of fail2ban"),
        (b"LPKSHHRH" + b"\0" * 100, "it is a file of the journal: give"),
        (b"PK\x03\x04" + LINE, "it is a zip archive: unpack it first"),
        (b"[sshd] Ban 192.0.2.1\n", "its lines have no time before what they say"),
        (b"fail2ban.actions [1]: NOTICE [sshd] Ban 192.0.2.1\n", "its lines have no time before what they say"),
        (b"BZh91AYxxxxxxxxxxxxxxxxx", "its bzip2 data is damaged or cut"),
    ],
)
def test_what_is_not_fail2bans_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "fail2ban.log"
    path.write_bytes(content)
    assert refusal(path).startswith(reason)


def test_archives_fifos_devices_and_directories_are_refused_at_once(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("fail2ban.log"))
    (tmp_path / "x.tar").write_bytes(archive.getvalue())
    os.mkfifo(tmp_path / "fifo")
    assert refusal(tmp_path / "x.tar") == "it is a tar archive: unpack it first"
    assert refusal(tmp_path / "fifo") == "it is a FIFO"
    assert refusal(Path("/dev/zero")) == "it is a device"
    assert refusal(tmp_path) == "it is a directory"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gz", "bz2", "xz"])
def test_a_cut_file_gives_what_is_whole_and_then_the_reason(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "x"
    noise = b"".join(LINE.replace(b"192", str(n).encode()) for n in range(40_000))
    path.write_bytes(pack(noise)[:-50])
    got = b""
    with Content(str(path)) as content, pytest.raises(SourceRefused, match="damaged or cut"):
        for chunk in content.chunks():
            got += chunk
    assert len(got) > 300_000 and noise.startswith(got)


@pytest.mark.parametrize("pack", PACKERS[1:], ids=["gz", "bz2", "xz", "zst"])
def test_a_small_file_that_is_cut_or_goes_on_with_something_else_gives_what_is_whole(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "x"
    whole = pack(LINE * 10)
    for damaged in (whole + b"something else", whole + pack(LINE)[:-3]):
        path.write_bytes(damaged)
        got = b""
        with Content(str(path)) as content, pytest.raises(SourceRefused, match="damaged or cut"):
            for chunk in content.chunks():
                got += chunk
        assert got.startswith(LINE * 10)


def test_frames_of_zstd_that_hold_nothing_are_skipped(tmp_path: Path) -> None:
    """pzstd writes one before each frame, with its size."""
    path = tmp_path / "x"
    skipped = struct.pack("<II", 0x184D2A50, 4) + b"size"
    frames = [b"", zstd.compress(b""), zstd.compress(LINE), zstd.compress(LINE), b""]
    path.write_bytes(skipped.join(frames))
    assert read(path) == (LOG, LINE * 2)
    path.write_bytes(struct.pack("<II", 0x184D2A5F, 0xFFFFFFFF) + LINE)
    assert "damaged or cut" in refusal(path)


def test_a_decompression_bomb_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    pack = zlib.compressobj(9, wbits=31)
    with path.open("wb") as file:
        file.write(pack.compress(LINE))
        for _ in range(100):
            file.write(pack.compress(b"\0" * (1 << 20)))
        file.write(pack.flush())
    tracemalloc.start()
    with Content(str(path)) as content, pytest.raises(SourceRefused, match="400 times its size"):
        for _ in content.chunks():
            pass
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_a_database_must_be_a_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE x (y)")
    connection.close()
    assert read(path)[0] == DATABASE
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert refusal(path) == "it is a database: give its file, not compressed"


def test_standard_input_is_read_and_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.BytesIO(gzip.compress(LINE))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin))
    with Content("-") as content:
        assert b"".join(content.chunks()) == LINE
    assert not stdin.closed


def test_standard_input_that_is_closed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert refusal(Path("-")) == "it is closed"


@given(st.lists(st.binary(max_size=40).map(lambda one: one.replace(b"\0", b"")), max_size=20), st.integers(1, 60))
def test_blocks_hold_whole_lines_and_leave_out_long_ones(lines: list[bytes], size: int) -> None:
    data = b"\n".join(lines)
    blocks = Blocks((data[at : at + size] for at in range(0, len(data), size)), longest=100)
    got = list(blocks)
    assert b"".join(got) + blocks.unfinished == data and blocks.too_long == 0
    assert all(block.endswith(b"\n") for block in got) and b"\n" not in blocks.unfinished


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_line_without_end_takes_no_memory(size: int) -> None:
    def chunks() -> Iterator[bytes]:
        data = b"a\n" + b"x" * 5000 + b"\nb\n" + b"y" * 5000
        yield from (data[at : at + size] for at in range(0, len(data), size))

    blocks = Blocks(chunks(), longest=1000)
    got = b"".join(blocks)
    if size < 1000:
        assert (got, blocks.too_long) == (b"a\nb\n", 2)
    else:  # in one chunk a line may be longer
        assert got.startswith(b"a\n") and got.endswith(b"b\n") and blocks.too_long == 2
