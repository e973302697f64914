"""The spool as it lies on the disk: its segments, other files, and the lines in segments. Read without a lock."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from banledger.spool.directory import SEGMENT, fault_of
from banledger.spool.events import Event, Undecodable, Unknown, decode
from banledger.spool.lock import NAME
from banledger.spool.quarantine import REJECTED

_MOST_NAMES = 50_000
_MOST_BYTES = 16 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class SpoolListing(Struct, frozen=True):
    """segments: oldest first. foreign: other files, each with the reason. bytes: of all segments."""

    segments: list[str]
    foreign: dict[str, str]
    bytes: int

    @property
    def oldest(self) -> float | None:
        """When the oldest segment was begun, UTC epoch seconds."""
        return int(self.segments[0].partition("-")[0]) / 1000 if self.segments else None


def listed(spool: Path, service: int | None) -> SpoolListing:
    """What is in a spool. service: the user of the service. Raises OSError."""
    owners = (0, os.geteuid(), spool.stat().st_uid, -1 if service is None else service)
    segments, foreign, size = [], {}, 0
    with os.scandir(spool) as entries:
        for entry, _ in zip(entries, range(_MOST_NAMES), strict=False):
            if entry.name in (NAME, REJECTED):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if not SEGMENT.fullmatch(entry.name):
                foreign[entry.name] = "no segment"
            elif fault := fault_of(status, owners):
                foreign[entry.name] = fault
            else:
                segments.append(entry.name)
                size += status.st_size
    return SpoolListing(sorted(segments), foreign, size)


class SpoolLines(Struct, frozen=True):
    """Lines of segments. newer: segments with lines of a later version. whole: whether all was read."""

    events: list[Event | Unknown]
    newer: list[str]
    whole: bool


def lines(spool: Path, segments: list[str]) -> SpoolLines:
    """The lines of these segments, oldest first, up to a number of bytes. Raises OSError."""
    events: list[Event | Unknown] = []
    newer: dict[str, None] = {}
    left = _MOST_BYTES
    for name in segments:
        text = _content(spool / name, left)
        left -= len(text)
        for line in text.split(b"\n")[:-1]:
            try:
                events.append(decode(line))
            except Undecodable as error:
                if error.newer:
                    newer[name] = None
    return SpoolLines(events, list(newer), left > 0)


def _content(path: Path, most: int) -> bytes:
    """A segment's bytes; none if it is gone or no regular file any more."""
    try:
        descriptor = os.open(path, _OPEN)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""


def rejected(spool: Path) -> Iterator[os.DirEntry[str]]:
    """The files of rejected lines. Raises OSError."""
    with os.scandir(spool / REJECTED) as entries:
        for entry, _ in zip(entries, range(_MOST_NAMES), strict=False):
            if entry.is_file(follow_symlinks=False):
                yield entry


def reason_of(entry: os.DirEntry[str]) -> str:
    """Why a line was rejected: what stands in its file."""
    first = _content(Path(entry.path), 4096).partition(b"\n")[0].decode("utf-8", "replace")
    return first.removeprefix("reason: ")
