"""Expand compressed content piece by piece, in bounded memory."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from banledger.importer.refusal import SourceRefused
from banledger.zstd import MAGIC, zstd

_MAGICS = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (MAGIC, "zstd"),
)
_SKIPPABLE = b"\x2a\x4d\x18"  # behind the first byte, 0x50 to 0x5f: pzstd begins its files with such a frame
_PIECE = 1 << 18
_MEMORY = 256 << 20
_WINDOW_LOG = 27  # 128 MiB: what zstd itself accepts
_FREE = 64 << 20
_RATIO = 400


class Decompressor(Protocol):
    """One stream of compressed data, as `bz2.BZ2Decompressor` has it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """See Decompressor."""

    def __init__(self) -> None:
        self._object = zlib.decompressobj(wbits=31)
        self._left = b""

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def needs_input(self) -> bool:
        return not self._left and not self.eof

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        out = self._object.decompress(self._left + data, max_length)
        self._left = self._object.unconsumed_tail
        return out


def compression_of(head: bytes) -> str:
    """The compression of a content by its first bytes; empty: none that is known."""
    if head[1:4] == _SKIPPABLE and head[0] & 0xF0 == 0x50:
        return "zstd"
    return next((name for magic, name in _MAGICS if head.startswith(magic)), "")


def expanded(name: str, pieces: Iterator[bytes], stored: Callable[[], int]) -> Iterator[bytes]:
    """The expanded content. `stored`: bytes taken from `pieces` so far.

    Raises SourceRefused if it is damaged, cut, or expands to far more than a log can.
    """
    total = 0
    try:
        for piece in _streams_of(name, pieces):
            total += len(piece)
            if total > _FREE and total > _RATIO * stored():
                raise SourceRefused(f"it expands to more than {_RATIO} times its size")
            yield piece
    except (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError, zstd.ZstdError) as error:
        raise SourceRefused(f"its {name} data is damaged or cut") from error


def _streams_of(name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    if name == "gzip":
        return _expanded_by(_Gzip, pieces)
    if name == "bzip2":
        return _expanded_by(bz2.BZ2Decompressor, pieces)
    if name == "xz":
        return _expanded_by(lambda: lzma.LZMADecompressor(memlimit=_MEMORY), pieces)
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
    return _expanded_by(lambda: zstd.ZstdDecompressor(options=options), pieces)


def _expanded_by(new: Callable[[], Decompressor], pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Expand one stream after the other. Raises EOFError if the last one is cut."""
    stream, data = new(), b""
    while True:
        if not data and stream.needs_input and not (data := next(pieces, b"")):
            raise EOFError
        out = stream.decompress(data, _PIECE)
        data = b""
        if out:
            yield out
        if stream.eof:
            data = stream.unused_data.lstrip(b"\0") or next(pieces, b"").lstrip(b"\0")
            if not data:
                return
            stream = new()
