"""The journal's messages of fail2ban, from `journalctl -o export` or `-o json`. Pure.

Anybody on a machine may log under the name of fail2ban. Where the journal says who sent a message (fields with an
underscore, which senders can't set), only root's and fail2ban's own unit's are taken.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from banledger.importer.refusal import SourceRefused

_UNIT = "fail2ban.service"
_WANTED = frozenset(("__REALTIME_TIMESTAMP", "SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT", "_UID", "_COMM", "MESSAGE"))
_LONGEST_LINE = 1 << 16
_LONGEST_VALUE = 64 << 20  # of a field that is passed over


class Entry(NamedTuple):
    """One message: its time in UTC epoch seconds, and its text."""

    moment: float
    text: bytes


_Fields = dict[str, object]
_decoder = msgspec.json.Decoder(_Fields)


def json_entries(blocks: Iterable[bytes]) -> Iterator[Entry | None]:
    """The messages of fail2ban in blocks of lines of JSON; None for each entry of others. Bad lines are passed over."""
    for block in blocks:
        for line in block.split(b"\n"):
            if not line.strip():
                continue
            try:
                fields = _decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                yield None
            else:
                yield _entry(fields)


def export_entries(chunks: Iterator[bytes]) -> Iterator[Entry | None]:
    """The same in the export format: an entry is lines NAME=VALUE, or NAME, a length and bytes; a blank line ends it.

    Raises SourceRefused where it is no such format.
    """
    text = _Bytes(chunks)
    fields: _Fields = {}
    while True:
        line = text.line()
        if line in (b"\n", b""):
            if fields:
                yield _entry(fields)
            if not line:
                return
            fields = {}
            continue
        name, equals, value = line[:-1].partition(b"=")
        key = name.decode("ascii", "replace")
        if not equals:
            value = text.sized()
        if key in _WANTED:
            fields[key] = value if key == "MESSAGE" else value.decode("utf-8", "replace")


def _entry(fields: _Fields) -> Entry | None:
    """The message in an entry; None: it isn't fail2ban's."""
    identifier, unit = str(fields.get("SYSLOG_IDENTIFIER", "")), fields.get("_SYSTEMD_UNIT")
    if not identifier.startswith("fail2ban") and unit != _UNIT:
        return None
    if unit != _UNIT and fields.get("_UID", "0") != "0":
        return None
    try:
        moment = int(str(fields.get("__REALTIME_TIMESTAMP"))) / 1e6
        return Entry(moment, _bytes_of(fields.get("MESSAGE")))
    except (ValueError, OverflowError):
        return None


def _bytes_of(message: object) -> bytes:
    """A message: text, or a list of bytes for what is no text. Raises ValueError."""
    if isinstance(message, bytes):
        return message
    if isinstance(message, str):
        return message.encode("utf-8", "surrogatepass")
    if isinstance(message, list):
        return bytes(byte if isinstance(byte, int) else -1 for byte in message)
    raise ValueError("no message")


class _Bytes:
    """Reads lines and values of a known size from pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._data = b""
        self._at = 0

    def line(self) -> bytes:
        """The next line with its end; empty at the end of all. Of a line that is too long, the beginning."""
        while (end := self._data.find(b"\n", self._at)) < 0:
            if len(self._data) - self._at > _LONGEST_LINE:
                raise SourceRefused("it stops being an export of the journal: a line is too long")
            if not self._more():
                return self._rest()
        line = self._data[self._at : end + 1]
        self._at = end + 1
        return line

    def sized(self) -> bytes:
        """A value behind its length (64 bits, little-endian), and a line end; only the first bytes of a long one."""
        while len(self._data) - self._at < 8:
            if not self._more():
                raise SourceRefused("it is cut in the middle of an entry")
        (size,) = struct.unpack_from("<Q", self._data, self._at)
        if size > _LONGEST_VALUE:
            raise SourceRefused("it stops being an export of the journal: a field is too long")
        self._at += 8
        value, left = b"", size
        while left:
            if self._at == len(self._data) and not self._more():
                raise SourceRefused("it is cut in the middle of an entry")
            piece = self._data[self._at : self._at + left]
            self._at += len(piece)
            left -= len(piece)
            value = (value + piece)[:_LONGEST_LINE]
        self.line()
        return value

    def _more(self) -> bool:
        piece = next(self._pieces, b"")
        self._data = self._data[self._at :] + piece
        self._at = 0
        return bool(piece)

    def _rest(self) -> bytes:
        """What has no line end at the end of all: an entry that is cut, left out."""
        self._data, self._at = b"", 0
        return b""
