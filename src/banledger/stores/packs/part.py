"""Parts of a pack: a few streams of bytes, each compressed by itself, so that one can be read without the others. Pure.

number of streams (1 byte), for each stream: its length, its compressed length (4 bytes each, big-endian)
the compressed streams (zlib, RFC 1950: its checksum finds damage)
"""

import zlib
from collections.abc import Sequence
from struct import Struct as Layout

MOST_BYTES = 64 << 20
"""The greatest length of a stream before it is compressed."""

_LEVEL = 6
_RATIO = 1032  # deflate never compresses more than this
_SIZES = Layout(">II")


class DamagedPack(ValueError):
    """A part of a pack holds something that no pack has."""


def join(streams: Sequence[bytes]) -> bytes:
    """Return a part of these streams. Raises ValueError if one of them exceeds MOST_BYTES."""
    if max(map(len, streams)) > MOST_BYTES:
        raise ValueError("the cells of a column are too long for one pack")
    packed = [zlib.compress(stream, _LEVEL) if stream else b"" for stream in streams]
    sizes = [_SIZES.pack(len(stream), len(data)) for stream, data in zip(streams, packed, strict=True)]
    return b"".join([bytes([len(streams)]), *sizes, *packed])


class PackPart:
    """A part that is read stream by stream. `streams`: how many it may have. Raises DamagedPack for another number."""

    def __init__(self, data: bytes, streams: Sequence[int]) -> None:
        if not isinstance(data, bytes) or not data or data[0] not in streams:
            raise DamagedPack("a part has a damaged beginning")
        self.streams = data[0]
        start = 1 + self.streams * _SIZES.size
        if len(data) < start:
            raise DamagedPack("a part was cut")
        self._data = data
        self._places: list[tuple[int, int, int]] = []  # where it begins and ends, its length
        for length, packed in _SIZES.iter_unpack(data[1:start]):
            self._places.append((start, start + packed, length))
            start += packed
        if start != len(data):
            raise DamagedPack("a part was cut")

    def stream(self, number: int) -> bytes:
        """Return a stream. Raises DamagedPack if it can't be read."""
        start, end, whole = self._places[number]
        if whole > min(MOST_BYTES, _RATIO * (end - start)):
            raise DamagedPack("a part has an impossible length")
        if not whole and start == end:
            return b""
        return _inflated(self._data[start:end], whole)


def _inflated(data: bytes, length: int) -> bytes:
    machine = zlib.decompressobj()
    try:
        found = machine.decompress(data, length + 1)
    except zlib.error as error:
        raise DamagedPack("a part can't be read") from error
    if len(found) != length or not machine.eof or machine.unused_data:
        raise DamagedPack("a part has another length than it says")
    return found
