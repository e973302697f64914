"""A hash as the bytes of one row: names and values as text, compressed with a dictionary that has a version. Pure.

    version   1 byte: of the dictionary; +128: names and values are in hexadecimal
    frame     of zstd, without its magic number, of names with \\n between them and each value behind a NUL, in UTF-8

A hash's text is small, so a dictionary of what most have in common (`tools/train_dictionary.py`) makes it half as
large. A version's dictionary never changes: what it compressed must stay readable.
"""

from functools import lru_cache
from pathlib import Path

from banledger.stores.api import Hash
from banledger.stores.fields import UNREADABLE
from banledger.zstd import MAGIC, zstd

VERSION = 1
"""The dictionary that rows are written with."""

MOST_BYTES = 16 << 20
"""The longest text of a hash that is read: more than any line of a spool."""

NO_HASH = "holds no hash"
TOO_LONG = "is too long to be read"

_LEVEL = 3
_LIMITS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 24}  # a damaged row can't ask for more memory
_HEX = 128
_MOST_REMEMBERED = 4096  # characters of the names of one hash: all that a ledger writes have fewer
_PLAIN, _IN_HEX = bytes([VERSION]), bytes([VERSION | _HEX])


def pack_hash(fields: Hash) -> bytes:
    """Return the row of a hash with any text in names and values."""
    head, text = _PLAIN, text_of_hash(fields)
    if text.count("\0") != len(fields):
        head = _IN_HEX
        text = "\0".join(("\n".join(map(_hex, fields)), *map(_hex, fields.values())))
    frame = _compressor().compress(text.encode("utf-8", "surrogatepass"), zstd.ZstdCompressor.FLUSH_FRAME)
    return head + frame[len(MAGIC) :]


def text_of_hash(fields: Hash) -> str:
    """Return the text of a hash before it is compressed. More NULs than fields: its names or values have some."""
    return "\0".join((_joined(tuple(fields)), *fields.values()))


def unpack_hash(row: bytes | str) -> Hash:
    """Return the hash of a row; if it can't be read, its only field is `UNREADABLE`: the reason. Text: this reason.

    A field without a name is left out: no ledger writes it, and the name is `UNREADABLE`.
    """
    if isinstance(row, str):
        return {UNREADABLE: row}
    try:
        version, in_hex = row[0] & ~_HEX, row[0] & _HEX
        unpacker = zstd.ZstdDecompressor(_dictionary(version).as_digested_dict, _LIMITS)
        text = unpacker.decompress(MAGIC + row[1:], MOST_BYTES)
        if not unpacker.eof or unpacker.unused_data:
            return {UNREADABLE: TOO_LONG if len(text) == MOST_BYTES else NO_HASH}
        values = text.decode("utf-8", "surrogatepass").split("\0")
        named = _named if len(values[0]) <= _MOST_REMEMBERED else _named.__wrapped__
        fields = named(values[0], in_hex).copy()
        del values[0]
        if len(values) != len(fields):
            return {UNREADABLE: NO_HASH}
        fields.update(zip(fields, map(_unhex, values) if in_hex else values))  # noqa: B905  # faster
    except (IndexError, OSError, ValueError, zstd.ZstdError):
        return {UNREADABLE: NO_HASH}
    if "" in fields:
        del fields[""]
    return fields


@lru_cache(maxsize=1)
def _compressor() -> zstd.ZstdCompressor:
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: _LEVEL,
        zstd.CompressionParameter.content_size_flag: 0,
        zstd.CompressionParameter.dict_id_flag: 0,
    }
    return zstd.ZstdCompressor(options=options, zstd_dict=_dictionary(VERSION).as_digested_dict)


@lru_cache(maxsize=8)
def _dictionary(version: int) -> zstd.ZstdDict:
    """Return a version's dictionary. Raises OSError if this banledger has none."""
    return zstd.ZstdDict(Path(__file__).with_name(f"dictionary-{version}.bin").read_bytes())


@lru_cache(maxsize=1024)
def _joined(names: tuple[str, ...]) -> str:
    """Return the names with \\n between them. If one of them has a \\n, also a NUL, which the text must not have."""
    joined = "\n".join(names)
    return joined if joined.count("\n") + 1 == len(names) else joined + "\0"


@lru_cache(maxsize=1024)
def _named(joined: str, in_hex: int) -> Hash:
    """Return a hash with these names, to be copied and filled: faster than to make one of names and values."""
    names = joined.split("\n")
    return dict.fromkeys(map(_unhex, names) if in_hex else names, "")


def _hex(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").hex()


def _unhex(text: str) -> str:
    return bytes.fromhex(text).decode("utf-8", "surrogatepass")
