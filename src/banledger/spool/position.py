"""Positions: how far each writer's lines are recorded. Pure: no store, no spool.

Theory of operation. A writer numbers its lines. The ledger keeps the highest recorded number of each writer. It is
written after the lines themselves, so a store with a position has all lines up to it. It only grows. The recorder
remembers it too: a store with a lower position *went back*, and the lines in between are lost unless the spool still
holds them.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

UNKNOWN = "unknown"
"""Text of a damaged position: no line of that writer counts as lost. The next batch replaces it."""

KEPT = 8
"""Writers per jail that are followed: the latest."""

WRITER = re.compile(r"[\x21-\x7e]{1,64}")
"""The name of a writer."""

_MOST = 1 << 53
_LATEST = 32_503_680_000  # the year 3000

Writer: TypeAlias = tuple[str, str]
"""Server label, and the writer's name."""


class Position(Struct, frozen=True, gc=False):
    """The position of one writer.

    first  the lowest line number that may be recorded;  last  the highest
    seen   when that line was written (UTC epoch seconds)
    """

    server: str
    writer: str
    jail: str
    first: int
    last: int
    seen: float

    @property
    def key(self) -> Writer:
        """The writer's name."""
        return self.server, self.writer


class Loss(Struct, frozen=True, gc=False):
    """Lines that a store lost: from number `first` to the last of `known`. `since`: time of the line before."""

    known: Position
    first: int
    since: float = 0.0


def to_text(position: Position) -> str:
    """The field's value in the hash of positions. Begins with the number that grows."""
    return f"{position.last} {position.first} {position.seen:.6f} {position.jail}"


def from_text(server: str, writer: str, text: str) -> Position | None:
    """The position of such a field; None if it is invalid."""
    try:
        last, first, seen, jail = text.split(" ", 3)
        made = Position(server, writer, jail, int(first), int(last), float(seen))
    except ValueError:
        return None
    return made if is_possible(made) else None


def is_possible(position: Position) -> bool:
    """Whether a writer may have this position. Others are damaged: no line has such a number, time or writer."""
    numbers = 0 <= position.first <= position.last < _MOST
    return numbers and 0 <= position.seen < _LATEST and WRITER.fullmatch(position.writer) is not None


def losses(known: Iterable[Position], there: Mapping[Writer, Position | None]) -> list[Loss]:
    """What a store lost: `there` are its positions now (None: damaged), `known` the positions it had."""
    found = []
    for position in known:
        had = there.get(position.key)
        if position.key not in there:
            found.append(Loss(position, position.first))
        elif had is not None and had.last < position.last:
            found.append(Loss(position, had.last + 1, had.seen))
    return found


class Positions:
    """The positions of the latest writers, latest last."""

    def __init__(self, known: Iterable[Position] = ()) -> None:
        self._of = {position.key: position for position in known}

    def __iter__(self) -> Iterator[Position]:
        return iter(list(self._of.values()))

    @property
    def servers(self) -> set[str]:
        """Their labels."""
        return {server for server, _ in self._of}

    def raise_to(self, positions: Iterable[Position]) -> None:
        """Merge these; higher positions win."""
        for new in positions:
            old = self._of.pop(new.key, None)
            if old is not None:
                highest = max(old, new, key=lambda position: position.last)
                new = replace(highest, first=min(old.first, new.first))
            self._of[new.key] = new

    def adopt(self, there: Iterable[Position]) -> None:
        """Add a store's positions of unknown writers; these count as the oldest."""
        unknown = sorted((one for one in there if one.key not in self._of), key=lambda one: one.seen)
        self._of = {one.key: one for one in unknown} | self._of

    def drop_old(self) -> list[Position]:
        """Forget all but the latest of each jail; return the forgotten."""
        jails: dict[tuple[str, str], list[Position]] = defaultdict(list)
        for position in self._of.values():
            jails[position.server, position.jail].append(position)
        old = [position for several in jails.values() for position in several[:-KEPT]]
        for position in old:
            del self._of[position.key]
        return old
