"""The spool as it lies on the disk: its segments, other files, and the lines in segments. Read without a lock."""

import os
import stat
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


def _content(path: str | Path, most: int, folder: int | None = None) -> bytes:
    """A file's bytes; none if it is gone, a link, or no regular file."""
    try:
        descriptor = os.open(path, _OPEN, dir_fd=folder)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        return file.read(most) if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 else b""


class RejectedLines(Struct, frozen=True):
    """The number of rejected lines, and why the last one was."""

    count: int
    last: str


def rejected(spool: Path) -> RejectedLines:
    """The rejected lines. The service may have put anything there, so no link is followed. Raises OSError."""
    folder = os.open(spool / REJECTED, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        names = os.listdir(folder)[:_MOST_NAMES]  # noqa: PTH208  # by descriptor
        last = max(names, key=lambda name: os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime, default="")
        first = _content(last, 4096, folder).partition(b"\n")[0].decode("utf-8", "replace") if last else ""
    finally:
        os.close(folder)
    head, reason, text = first.partition("reason: ")
    return RejectedLines(len(names), text if reason and not head else "unknown")
