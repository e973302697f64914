"""Open a file of any kind and tell by its content what it is. Memory stays bounded whatever it holds.

Only regular files are opened. Text comes in blocks of whole lines; lines that are too long are left out. What is
compressed is expanded piece by piece; what grows beyond any log's ratio is refused.
"""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from banledger.importer.compressed import compression_of, expanded
from banledger.importer.prefixes import is_dateless, looks_like_syslog, prefixes_of
from banledger.importer.refusal import SourceRefused, unreadable

LOG, EXPORT, JSON, DATABASE = "log", "journal export", "journal as JSON", "database"

STDIN = "-"
"""The path that means standard input."""

_PIECE = 1 << 18
_HEAD = 1 << 18
_KINDS = {
    stat.S_IFIFO: "it is a FIFO",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
    stat.S_IFDIR: "it is a directory",
}
_OTHERS = (
    (b"LPKSHHRH", "it is a file of the journal: give the output of journalctl -u fail2ban -o export instead"),
    (b"PK\x03\x04", "it is a zip archive: unpack it first"),
    (b"7z\xbc\xaf", "it is a 7z archive: unpack it first"),
)


class Content:
    """One opened source. A context.

    kind     LOG, EXPORT, JSON or DATABASE
    packed   by which compression; empty: none
    written  when it was last written, UTC epoch seconds; 0: unknown
    done     bytes read so far, as stored

    Raises SourceRefused if it is none of these, and OSError if it can't be opened.
    """

    def __init__(self, path: str) -> None:
        self._file = _standard_input() if path == STDIN else _open_regular(path)
        self._path = path
        self.written, self.done = 0.0, 0
        try:
            if path != STDIN:
                self.written = os.fstat(self._file.fileno()).st_mtime
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        first, rest = _begun(self._pieces())
        self.packed = compression_of(b"".join(first)[:16])
        if self.packed:
            first, rest = _begun(expanded(self.packed, _chained(first, rest), lambda: self.done))
        self._chunks = _chained(first, rest)
        self.kind = _kind(b"".join(first))
        if self.kind == DATABASE and (self.packed or self._path == STDIN):
            raise SourceRefused("it is a database: give its file, not compressed")

    def __enter__(self) -> "Content":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it, unless it is standard input."""
        if self._path != STDIN:
            self._file.close()

    def chunks(self) -> Iterator[bytes]:
        """Its content, expanded, in pieces. Once. Raises SourceRefused where it is damaged."""
        return self._chunks

    def _pieces(self) -> Iterator[bytes]:
        try:
            while piece := self._file.read(_PIECE):
                self.done += len(piece)
                yield piece
        except OSError as error:
            raise SourceRefused(unreadable(error)) from error


def _standard_input() -> BinaryIO:
    if sys.stdin is None:  # closed when this program was started
        raise SourceRefused("it is closed")
    return sys.stdin.buffer


def _open_regular(path: str) -> BinaryIO:
    """Open a regular file; nothing else is even opened, as that may wait or act."""
    _refuse_others(Path(path).stat().st_mode)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        _refuse_others(os.fstat(fd).st_mode)
    except BaseException:
        os.close(fd)
        raise
    return os.fdopen(fd, "rb", buffering=0)


def _refuse_others(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise SourceRefused(_KINDS.get(stat.S_IFMT(mode), "it is not a regular file"))


def _begun(pieces: Iterator[bytes]) -> tuple[list[bytes], Iterator[bytes]]:
    """The first pieces, up to the size at which a kind is told, and the others. Where it is damaged, those raise it."""
    first, size = [], 0
    try:
        while size < _HEAD and (piece := next(pieces, None)) is not None:
            first.append(piece)
            size += len(piece)
    except SourceRefused as error:
        if not first:
            raise
        return first, _refused(error)
    return first, pieces


def _refused(error: SourceRefused) -> Iterator[bytes]:
    yield from ()
    raise error


def _chained(first: list[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
    yield from first
    yield from rest


def _kind(head: bytes) -> str:
    """What a content is by its beginning. Raises SourceRefused with the reason."""
    if not head:
        raise SourceRefused("it is empty")
    if head.startswith(b"SQLite format 3\0"):
        return DATABASE
    if head.startswith((b"__CURSOR=", b"__REALTIME_TIMESTAMP=")):
        return EXPORT
    if head.startswith(b"{") and b'"__REALTIME_TIMESTAMP"' in head:
        return JSON
    for magic, reason in _OTHERS:
        if head.startswith(magic):
            raise SourceRefused(reason)
    if head[257:262] == b"ustar":
        raise SourceRefused("it is a tar archive: unpack it first")
    text = head.replace(b"\0", b"")
    if prefixes_of(text) or looks_like_syslog(text):
        return LOG
    if is_dateless(text):
        raise SourceRefused("its lines have no time before what they say")
    raise SourceRefused("it is not a log or database of fail2ban")


class Blocks:
    """The text of a content in blocks of whole lines, without NUL bytes. An iterable, once.

    `longest`: bytes that a line may have; longer ones are left out and counted in `too_long`, the first begins with
    `example`. `unfinished`: the last line if it has no line feed. It is left out too: a log that is still being written
    may end in the middle of an address.
    """

    def __init__(self, chunks: Iterator[bytes], longest: int = 1 << 16) -> None:
        self._chunks = chunks
        self._longest = longest
        self.too_long = 0
        self.example = self.unfinished = b""

    def __iter__(self) -> Iterator[bytes]:
        kept, skips = b"", False
        for chunk in self._chunks:
            chunk = chunk.replace(b"\0", b"")
            end = chunk.rfind(b"\n") + 1
            if not end:
                if not skips:
                    kept += chunk
                    skips = len(kept) > self._longest
                    self.too_long += skips
                    self.example = self.example or (kept if skips else b"")
                continue
            start = chunk.find(b"\n") + 1 if skips else 0
            block = chunk[start:end] if skips else kept + chunk[:end]
            kept, skips = chunk[end:], False
            if block:
                yield block
        self.unfinished = b"" if skips else kept
