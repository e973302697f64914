"""Parse a log's text, block by block, into events. Does no I/O.

Theory of operation. The form of the prefixes is found once, in the first block; then one compiled pattern finds the
lines that matter in a whole block, without looking at the others. Where it finds fewer bans than the block has lines
with that word, the log may change its form there (another version, another log target): the block is read once more
line by line, with every form that it has.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from re import Match

from banledger.importer.log_event import Kind, LogEvent
from banledger.importer.messages import INFINITE, Message, other_message, text_of_bytes, ticket_message
from banledger.importer.prefixes import NO_PREFIX, Prefix, prefixes_of
from banledger.importer.stamps import MOST_AHEAD_S, Stamps

_MOST_NAMES = 100_000
_MOST_FORMS = 12
_FOUND = int(Kind.FOUND)
_BAN_WORD = b" Ban "
_BANS = frozenset((Kind.BAN, Kind.RESTORE, Kind.INCREASE, Kind.REPEAL))


class LogText:
    """Parses the text of one log.

    stamps   converts its times
    now      UTC epoch seconds; lines more than a year ahead are refused
    source   number for the events
    lines    number of lines so far
    refused  lines that look like events but aren't, by reason; `examples`: the first of each
    """

    def __init__(self, stamps: Stamps, now: float, source: int = 0) -> None:
        self._stamps = stamps
        self._latest = now + MOST_AHEAD_S
        self._source = source
        self._forms: list[Prefix] = []
        self._names: dict[bytes, str] = {}
        self.lines = 0
        self.refused: Counter[str] = Counter()
        self.examples: dict[str, bytes] = {}

    @property
    def has_prefix(self) -> bool:
        """Whether any line had a prefix of fail2ban."""
        return bool(self._forms)

    def events(self, blocks: Iterable[bytes]) -> Iterator[LogEvent]:
        """The events of blocks of whole lines, in their order."""
        for block in blocks:
            self.lines += block.count(b"\n") + (not block.endswith(b"\n") and block != b"")
            self._forms = self._forms or prefixes_of(block)
            if self._forms:
                yield from self._of_block(block)

    def message(self, moment: float, text: bytes) -> LogEvent | None:
        """The event of a message of the journal; None: it is of no interest, or refused."""
        match = NO_PREFIX.match(text)
        if match is None:
            return None
        if not 1 <= moment <= self._latest:
            self._refuse("its time is out of range", text)
            return None
        try:
            return self._event(moment, match.groups())
        except ValueError:
            self._refuse("its time is invalid", text)
            return None

    def _of_block(self, block: bytes) -> list[LogEvent]:
        refused = self.refused.copy()
        if len(self._forms) == 1:
            (form,) = self._forms
            events = self._matched(form, form.pattern.finditer(block))
        else:
            events = self._line_by_line(block)
        if sum(event.kind in _BANS for event in events) >= block.count(_BAN_WORD) or len(self._forms) >= _MOST_FORMS:
            return events
        known = {form.pattern for form in self._forms}
        more = [form for form in prefixes_of(block) if form.pattern not in known]
        if not more:
            return events
        self._forms = [*self._forms, *more][:_MOST_FORMS]
        self.refused = refused
        return self._line_by_line(block)

    def _line_by_line(self, block: bytes) -> list[LogEvent]:
        events: list[LogEvent] = []
        for line in block.split(b"\n"):
            for form in self._forms:
                if match := form.pattern.match(line):
                    events += self._matched(form, (match,))
                    break
        return events

    def _matched(self, form: Prefix, matches: Iterable[Match[bytes]]) -> list[LogEvent]:
        clock: Callable[[bytes], float] = getattr(self._stamps, form.clock)
        near, names, latest, source = self._stamps.near, self._names, self._latest, self._source
        events = []
        for match in matches:
            stamp, fraction, *message = match.groups()
            try:
                moment = clock(stamp)
                if fraction:
                    moment += int(fraction) / 10 ** len(fraction)
                if not 1 <= moment <= latest:
                    self._refuse("its time is out of range", match[0])
                    continue
                rest = message[2]
                if message[1] == b"Found" and rest[-22:-19] == b" - " and rest[-15:-14] == b"-":
                    fid = rest[:-22].removesuffix(b", bad")
                    jail, text = names.get(message[0]), names.get(fid)
                    events.append(
                        LogEvent(
                            moment,
                            _FOUND,
                            jail or self._name(message[0]),
                            text or self._name(fid),
                            near(rest[-19:], moment),
                            0,
                            source,
                        )
                    )
                elif event := self._event(moment, message):
                    events.append(event)
            except ValueError:
                self._refuse("its time is invalid", match[0])
        return events

    def _refuse(self, reason: str, line: bytes) -> None:
        self.refused[reason] += 1
        self.examples.setdefault(reason, line)

    def _event(self, moment: float, groups: Iterable[bytes]) -> LogEvent | None:
        """The event of the groups of MESSAGE."""
        jail, verb, rest, already, other = groups
        if verb:
            said = ticket_message(jail, verb, rest)
        elif already:
            said = Message(Kind.ALREADY, jail, already)
        else:
            said = other_message(other)
        date = 0.0
        if said.date:
            date = -1.0 if said.date == INFINITE else self._stamps.near(said.date, self._latest)
        name = self._name
        return LogEvent(moment, int(said.kind), name(said.jail), name(said.text), date, said.number, self._source)

    def _name(self, raw: bytes) -> str:
        """A jail or what it banned as text; the same object for the same name."""
        known = self._names.get(raw)
        if known is None:
            if len(self._names) >= _MOST_NAMES:
                self._names.clear()
            known = self._names[raw] = text_of_bytes(raw)
        return known
