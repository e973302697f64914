"""What a log said about a ban whose ticket it does not name, as a ban's record keeps it. Pure."""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from banledger.spool.events import TICKETS_END, BanLine
from banledger.stores import fields as read
from banledger.stores.fields import Damaged

MOST_FACTS = 32
"""Facts that one record keeps: the earliest. One ban has one for each log that tells of it."""

_MOST_LENGTH = 1 << 14


class LogFact(Struct, frozen=True, gc=False, order=True, array_like=True):
    """One Ban line of a log, and what other lines say of that ban. 0: unknown.

    logged    when the Ban line was logged, UTC epoch seconds
    found     the ticket's second by the line of the last failure
    unbanned  when the ban was lifted
    bantime   seconds, negative: for ever
    first     the second of the first of the failures, if it is another than `found`
    """

    logged: float
    found: int = 0
    unbanned: float = 0.0
    bantime: int = 0
    bancount: int = 0
    failures: int = 0
    first: int = 0

    @property
    def second(self) -> int:
        """The ticket's second, as far as it is known."""
        return self.found or int(self.logged)

    def join(self, other: "LogFact") -> "LogFact":
        """Join what two imports say of one line: that with more of the logs has a later failure, an earlier unban."""
        found = max(self.found, other.found)
        first = min(filter(None, (self.first or self.found, other.first or other.found)), default=0)
        return LogFact(
            self.logged,
            found,
            min(self.unbanned or other.unbanned, other.unbanned or self.unbanned),
            *max((self.bancount, self.bantime), (other.bancount, other.bantime))[::-1],
            max(self.failures, other.failures),
            first if first < found else 0,
        )


Facts = tuple[LogFact, ...]
"""Facts in the order of their lines, each line once."""

_facts = msgspec.json.Decoder(Facts)


def by_line(facts: Iterable[LogFact]) -> list[LogFact]:
    """Return one fact for each line, in their order."""
    found: dict[float, LogFact] = {}
    for fact in facts:
        known = found.get(fact.logged)
        found[fact.logged] = fact if known is None else known.join(fact)
    return sorted(found.values())


def joined(facts: Iterable[LogFact]) -> Facts:
    """Return the facts as a record keeps them."""
    return tuple(by_line(facts)[:MOST_FACTS])


def fact_of(line: BanLine) -> LogFact:
    """Return the fact in a line that an import made of logs."""
    return LogFact(
        float(round(line.logged, 6)),
        line.found,
        float(round(line.unbanned, 6)),
        max(-1, line.bantime),
        line.bancount,
        line.failures,
        line.first if line.first < line.found else 0,
    )


def text_of_facts(facts: Facts) -> str:
    """Return the facts as a record's text: a JSON array of arrays, each without its `first` if there is none."""
    return msgspec.json.encode([fact if fact.first else astuple(fact)[:-1] for fact in facts]).decode()


def read_facts(fields: Mapping[str, str], name: str) -> Facts:
    """Read a record's facts; absent: none. Raises Damaged."""
    found = read.text(fields, name, _MOST_LENGTH)
    try:
        facts = _facts.decode(found) if found is not None else ()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Damaged(name, "is not a JSON array of facts") from None
    written = text_of_facts(facts) if facts else found
    if not all(map(_is_plausible, facts)) or joined(facts) != facts or written != found:
        raise Damaged(name, "has a fact that no import makes")
    return facts


def _is_plausible(fact: LogFact) -> bool:
    return (
        1 <= fact.logged < TICKETS_END
        and 0 <= fact.found < TICKETS_END
        and 0 <= fact.unbanned < read.YEAR_3000
        and -1 <= fact.bantime <= read.MOST_NUMBER
        and 0 <= fact.bancount <= read.MOST_NUMBER
        and 0 <= fact.failures <= read.MOST_NUMBER
        and (not fact.first or 0 < fact.first < fact.found)
    )
