"""The file of a backup: one zstd frame (RFC 8878), with a checksum, of the file of an embedded ledger."""

from collections.abc import Callable
from pathlib import Path
from typing import IO

from banledger.errors import BanledgerError, StoreUnavailable
from banledger.zstd import zstd

_AT_ONCE = 1 << 20
_LEVEL = 3

Done = Callable[[int], None]
"""Called with the number of bytes done."""


def pack(source: Path, target: IO[bytes], done: Done) -> None:
    """Write a file as an archive. Raises OSError."""
    options: dict[int, int] = {
        zstd.CompressionParameter.checksum_flag: 1,
        zstd.CompressionParameter.compression_level: _LEVEL,
    }
    total = 0
    with source.open("rb") as file, zstd.ZstdFile(target, "wb", options=options) as packed:
        while block := file.read(_AT_ONCE):
            packed.write(block)
            done(total := total + len(block))


def unpack(source: IO[bytes], target: IO[bytes], done: Done) -> None:
    """Write what an archive holds. Raises BanledgerError if it is none, or is not whole; StoreUnavailable."""
    total = 0
    try:
        with zstd.ZstdFile(source, "rb") as packed:
            while block := packed.read(_AT_ONCE):
                try:
                    target.write(block)
                except OSError as error:
                    raise StoreUnavailable(f"can't write the ledger: {error.strerror}", hint="make room") from error
                done(total := total + len(block))
    except (zstd.ZstdError, EOFError) as error:
        raise BanledgerError(
            f"the backup can't be read: {error}", hint="give a whole file that banledger store backup wrote"
        ) from error
    if not total:
        raise BanledgerError("the backup is empty", hint="give a file that banledger store backup wrote")
