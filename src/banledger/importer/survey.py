"""Read all sources of the past, and say what bans follow from them together.

The order of the paths has no influence: sources are read in the order of their names, their events are sorted by time.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from banledger.importer.content import STDIN, Content
from banledger.importer.database import DatabaseRow
from banledger.importer.edges import Edges
from banledger.importer.history import History
from banledger.importer.line_outcome import LineOutcome
from banledger.importer.log_event import Kind, LogEvent
from banledger.importer.past_ban import PastBan
from banledger.importer.past_source import PastSource, SourceCount
from banledger.importer.paths import NamedFile, named
from banledger.importer.refusal import SourceRefused, unreadable
from banledger.importer.row_file import RowFile
from banledger.importer.sorted_events import SortedEvents
from banledger.ledger.progress import Progress

_BAN = int(Kind.BAN)
_EVERY = 5_000

ImportedBan: TypeAlias = PastBan | DatabaseRow


class Survey(Struct):
    """What sources hold.

    outcomes  what became of the lines of each source, by its number in `sources` (see `LineOutcome`)
    refused   files that are no sources, each with its reason
    """

    sources: list[SourceCount] = field(default_factory=list)
    outcomes: list[Counter[LineOutcome]] = field(default_factory=list)
    refused: list[NamedFile] = field(default_factory=list)

    @property
    def bans(self) -> int:
        """Bans of logs, and those of databases."""
        return sum(counts[LineOutcome.BANS] for counts in self.outcomes) + sum(
            source.tickets for source in self.sources
        )


def survey(
    paths: Sequence[str],
    zone: ZoneInfo,
    now: float,
    take: Callable[[ImportedBan], None],
    progress: Progress,
    begin: Callable[[Edges], None] = lambda _: None,
) -> Survey:
    """Read the sources at `paths`; pass every ban to `take`, after `begin`, which may raise what it wants.

    `zone`: in which their logs were written. `now`: UTC epoch. Raises OSError if there is no temporary room.
    """
    found = Survey()
    files = named(paths)
    with SortedEvents() as events, RowFile() as rows:
        reading = _Reading(found, events, rows, zone, now, progress, _total(files))
        for file in files:
            reading.read(file)
        begin(reading.edges)
        for row in rows:
            take(row)
        history = History()
        for number, event in enumerate(events):
            for ban in history.take(event):
                take(ban)
            if number % _EVERY == 0:
                progress("lines paired", number, reading.seen)
        for ban in history.end():
            take(ban)
    found.outcomes = [history.outcomes[number] for number in range(len(found.sources))]
    return found


def _total(files: Sequence[NamedFile]) -> int:
    total = 0
    for file in files:
        if not file.reason and file.path != STDIN:
            try:
                total += Path(file.path).stat().st_size
            except OSError:
                continue
    return total


class _Reading:
    """Reads one file after the other into a survey. `seen`: the number of events so far; `edges`: of their bans."""

    def __init__(
        self,
        found: Survey,
        events: SortedEvents,
        rows: RowFile,
        zone: ZoneInfo,
        now: float,
        progress: Progress,
        total: int,
    ) -> None:
        self._found = found
        self._events = events
        self._zone = zone
        self._now = now
        self._rows = rows
        self.edges = Edges()
        self._progress = progress
        self._total = total
        self._before = self.seen = 0

    def read(self, file: NamedFile) -> None:
        """Raises OSError if there is no temporary room."""
        if reason := file.reason or self._read(file.path):
            self._found.refused.append(NamedFile(file.path, reason, file.listed))

    def _read(self, path: str) -> str:
        """Return why a file is refused; empty: it is a source."""
        try:
            content = Content(path)
        except SourceRefused as error:
            return str(error)
        except OSError as error:
            return unreadable(error)
        with content:
            try:
                self._found.sources.append(self._count(content, path))
            except SourceRefused as error:
                return str(error)
            self._before += content.done
        return ""

    def _count(self, content: Content, path: str) -> SourceCount:
        add, note = self._events.add, self.edges.add

        def event(one: LogEvent) -> None:
            add(one)
            if one.kind == _BAN:
                note(one.moment, one.jail, one.text)
            self.seen += 1
            if self.seen % _EVERY == 0:
                self._progress("KiB read", (self._before + content.done) >> 10, self._total >> 10)

        def row(one: DatabaseRow) -> None:
            self._rows.add(one)
            note(one.time, one.jail, one.fid)

        source = PastSource(content, path, len(self._found.sources), self._zone, self._now)
        return source.read(event, row)
