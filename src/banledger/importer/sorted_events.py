"""Sort any number of events in bounded memory.

Theory of operation. Events are kept in a list; when it is full it is sorted and written to a temporary file as a *run*.
Reading merges the runs. Runs that don't overlap in time, as those of rotated logs, are read one after the other. The
temporary file has no name, so it is gone when the process ends.
"""

import heapq
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, NamedTuple

import msgspec

from banledger.importer.log_event import LogEvent

_IN_MEMORY = 200_000
_AT_ONCE = 500

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[LogEvent])


class _Piece(NamedTuple):
    """Where some events of a run are in the file."""

    offset: int
    size: int


class _Run(NamedTuple):
    first: LogEvent
    last: LogEvent
    pieces: list[_Piece]


class SortedEvents:
    """Events by time, then by content. A context: leaving it frees the temporary room.

    `in_memory`: the number of events kept before they are written to a temporary file. Raises OSError if there is no
    room for it.
    """

    def __init__(self, in_memory: int = _IN_MEMORY) -> None:
        self._in_memory = in_memory
        self._kept: list[LogEvent] = []
        self._runs: list[_Run] = []
        self._file: IO[bytes] | None = None
        self._end = 0

    def __enter__(self) -> "SortedEvents":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):  # there was no room for what is left to write
                self._file.close()

    def add(self, event: LogEvent) -> None:
        """Take one event."""
        self._kept.append(event)
        if len(self._kept) >= self._in_memory:
            self._spill()

    def __iter__(self) -> Iterator[LogEvent]:
        """All events in order, also equal ones. Add none after that."""
        self._kept.sort()
        if not self._runs:
            yield from self._kept
            return
        if self._kept:
            self._spill()
        for overlapping in _groups(sorted(self._runs, key=lambda run: run.first)):
            yield from heapq.merge(*map(self._read, overlapping))

    def _spill(self) -> None:
        """Write the events in memory as a run."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="banledger-")  # noqa: SIM115 - closed by the context
        kept = self._kept
        kept.sort()
        pieces = []
        for start in range(0, len(kept), _AT_ONCE):
            raw = _encoder.encode(kept[start : start + _AT_ONCE])
            self._file.write(raw)
            pieces.append(_Piece(self._end, len(raw)))
            self._end += len(raw)
        self._file.flush()
        self._runs.append(_Run(kept[0], kept[-1], pieces))
        kept.clear()

    def _read(self, run: _Run) -> Iterator[LogEvent]:
        assert self._file is not None  # noqa: S101 - there is a run
        for piece in run.pieces:
            yield from _decoder.decode(os.pread(self._file.fileno(), piece.size, piece.offset))


def _groups(runs: list[_Run]) -> Iterator[list[_Run]]:
    """Runs that overlap, together; `runs` sorted by their first event."""
    group: list[_Run] = []
    last: LogEvent | None = None
    for run in runs:
        if last is not None and run.first > last:
            yield group
            group = []
            last = None
        group.append(run)
        last = run.last if last is None else max(last, run.last)
    if group:
        yield group
