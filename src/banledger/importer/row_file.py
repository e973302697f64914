"""Keep rows of databases in a temporary file, without a name, until all sources are read."""

import tempfile
from collections.abc import Iterator

import msgspec

from banledger.importer.database import DatabaseRow

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(DatabaseRow)


class RowFile:
    """Rows in their order. A context. Raises OSError if there is no temporary room."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="banledger-")  # noqa: SIM115 - closed by the context

    def __enter__(self) -> "RowFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, row: DatabaseRow) -> None:
        """Take one row."""
        self._file.write(_encoder.encode(row) + b"\n")

    def __iter__(self) -> Iterator[DatabaseRow]:
        """All rows. Add none after that."""
        self._file.seek(0)
        for line in self._file:
            yield _decoder.decode(line)
