"""Read one source of the past: a file as events of a log, or rows of a database, with counts."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from banledger.importer.content import DATABASE, EXPORT, LOG, Blocks, Content
from banledger.importer.database import DatabaseRow, Invalid, opened, rows, schema, tickets
from banledger.importer.history import version_of
from banledger.importer.journal import Entry, export_entries, json_entries
from banledger.importer.log_event import Kind, LogEvent
from banledger.importer.log_text import LogText
from banledger.importer.messages import text_of_bytes
from banledger.importer.refusal import SourceRefused
from banledger.importer.stamps import Stamps

_FOUND = int(Kind.FOUND)
_MOST_NAMED = 1000
_LONGEST_EXAMPLE = 200
_UNFINISHED = "its last line is not complete yet"
_OTHER_JAILS = "(other jails)"


class SourceCount(Struct):
    """What was read from one source.

    kind     what it is, such as `log of fail2ban 1.0.2`
    lines    lines of a log, entries of a journal, rows of a database
    first    the earliest moment in it, UTC epoch seconds; `last` likewise; 0: none
    rows     rows of a database with a ban
    tickets  different bans in them; of a database that can't be read to its end, all rows
    failures lines about failures
    jails    Ban lines or rows by jail
    refused  lines that are left out, by reason; `examples`: the beginning of the first of each
    unclear  times in an hour that a clock change repeats, of which the pass is not known; `skipped`: in no hour
    trouble  why it was not read to its end; empty: it was
    """

    path: str
    kind: str = ""
    lines: int = 0
    rows: int = 0
    tickets: int = 0
    failures: int = 0
    first: float = 0.0
    last: float = 0.0
    jails: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    unclear: int = 0
    skipped: int = 0
    trouble: str = ""


class PastSource:
    """One source, opened. Raises SourceRefused if it holds nothing of fail2ban, OSError if it can't be read.

    number  of the source, for its events
    zone    in which its logs were written
    """

    def __init__(self, content: Content, path: str, number: int, zone: ZoneInfo, now: float) -> None:
        self._content = content
        self._path = path
        self._now = now
        self._stamps = Stamps(zone, min(content.written or now, now))
        self._text = LogText(self._stamps, now, number)
        self._versions: set[str] = set()
        self.count = SourceCount(path)

    def read(self, event: Callable[[LogEvent], None], row: Callable[[DatabaseRow], None]) -> SourceCount:
        """Pass everything on, and count it."""
        count = self.count
        try:
            if self._content.kind == DATABASE:
                self._read_database(row)
            else:
                self._read_events(event)
        except SourceRefused as error:
            if not count.first:
                raise
            count.trouble = str(error)
            count.tickets = count.tickets or count.rows
        if not self._is_of_fail2ban():
            complete = "complete " if _UNFINISHED in count.refused else ""
            raise SourceRefused(f"it has no {complete}line of fail2ban")
        count.unclear, count.skipped = self._stamps.unclear, self._stamps.skipped
        if self._content.kind != DATABASE:
            versions = " to ".join(sorted(self._versions, key=version_of)[:: max(1, len(self._versions) - 1)])
            count.kind = f"{self._content.kind} of fail2ban {versions}".rstrip()
        return count

    def _is_of_fail2ban(self) -> bool:
        return bool(self.count.first) or self._content.kind == DATABASE or self._text.has_prefix

    def _read_events(self, take: Callable[[LogEvent], None]) -> None:
        count, jails = self.count, self.count.jails
        try:
            for event in self._events():
                take(event)
                if event.kind == _FOUND:
                    count.failures += 1
                elif event.kind == Kind.BAN:
                    jails[_bounded(event.jail, jails)] += 1
                elif event.kind == Kind.SERVER_STARTED and len(self._versions) < _MOST_NAMED:
                    self._versions.add(event.text)
                if event.moment < count.first or not count.first:
                    count.first = event.moment
                if event.moment > count.last:
                    count.last = event.moment
        finally:
            count.lines = count.lines or self._text.lines
            count.refused += self._text.refused
            self._show(self._text.examples)

    def _show(self, examples: Mapping[str, bytes]) -> None:
        """Keep the beginnings of lines that are left out."""
        self.count.examples |= {reason: text_of_bytes(line)[:_LONGEST_EXAMPLE] for reason, line in examples.items()}

    def _events(self) -> Iterator[LogEvent]:
        kind, chunks = self._content.kind, self._content.chunks()
        if kind == EXPORT:
            yield from self._of_entries(export_entries(chunks))
            return
        blocks = Blocks(chunks) if kind == LOG else Blocks(chunks, longest=1 << 20)
        try:
            yield from self._text.events(blocks) if kind == LOG else self._of_entries(json_entries(blocks))
        finally:
            self._left_out("it is too long", blocks.too_long, blocks.example)
        if blocks.unfinished and kind == LOG:
            self._text.lines += 1
            self._left_out(_UNFINISHED, 1, blocks.unfinished)
        elif blocks.unfinished:  # JSON that is cut can't be read, so what can be read is complete
            yield from self._of_entries(json_entries([blocks.unfinished]))

    def _left_out(self, reason: str, count: int, example: bytes) -> None:
        if count:
            self.count.refused[reason] += count
            self._show({reason: example})

    def _of_entries(self, entries: Iterable[Entry | None]) -> Iterator[LogEvent]:
        for entry in entries:
            self.count.lines += 1
            if entry is not None and (event := self._text.message(*entry)):
                yield event

    def _read_database(self, take: Callable[[DatabaseRow], None]) -> None:
        count = self.count
        with opened(self._path) as connection:
            count.kind = f"database of fail2ban, schema {schema(connection)}"
            for row in rows(connection, self._now):
                count.lines += 1
                if isinstance(row, Invalid):
                    count.refused[row.reason] += 1
                    count.examples.setdefault(row.reason, row.example)
                    continue
                take(row)
                count.rows += 1
                count.jails[_bounded(row.jail, count.jails)] += 1
                count.first = min(count.first or row.time, row.time)
                count.last = max(count.last, row.time)
            count.tickets = tickets(connection, self._now)


def _bounded(jail: str, known: Counter[str]) -> str:
    """The name to count a jail under: the number of names is bounded."""
    return jail if jail in known or len(known) < _MOST_NAMED else _OTHER_JAILS
