"""Positions: how far the lines of each writer are recorded. Pure: no store, no spool.

Theory of operation. A writer numbers its lines. The ledger keeps the highest number that it was given of each writer.
It is put there after what the lines said, so a store that has a position has everything up to it. It only grows. The
recorder remembers it too: a store with a lower one *went back*, and the lines between the two are lost unless the
spool still holds them.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

UNKNOWN = "unknown"
"""The text of a position that was damaged: nothing of that writer is taken for lost. The next batch replaces it."""

KEPT = 8
"""Writers of one jail that are followed; the latest."""

WRITER = re.compile(r"[\x21-\x7e]{1,64}")
"""The name of a writer."""

_MOST = 1 << 53
_LATEST = 32_503_680_000  # the year 3000

Writer: TypeAlias = tuple[str, str]
"""Server label, and the writer's name."""


class Position(Struct, frozen=True, gc=False):
    """One writer's.

    first  the lowest line number that the ledger may have been given;  last  the highest
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
        """Whose it is."""
        return self.server, self.writer


class Loss(Struct, frozen=True, gc=False):
    """Lines that a store lost: from number `first` to the last of `known`. `since`: the moment of the line before."""

    known: Position
    first: int
    since: float = 0.0


def to_text(position: Position) -> str:
    """The value of a field of the position's hash. Begins with the number that grows."""
    return f"{position.last} {position.first} {position.seen:.6f} {position.jail}"


def from_text(server: str, writer: str, text: str) -> Position | None:
    """The position of such a field; None if it makes no sense."""
    try:
        last, first, seen, jail = text.split(" ", 3)
        made = Position(server, writer, jail, int(first), int(last), float(seen))
    except ValueError:
        return None
    return made if 0 <= made.first <= made.last < _MOST and 0 <= made.seen < _LATEST else None


def losses(known: Iterable[Position], there: Mapping[Writer, Position | None]) -> list[Loss]:
    """What a store lost that has the positions `there` (None: damaged), and had those that are `known`."""
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
        """Take these in, as far as they are higher."""
        for new in positions:
            old = self._of.pop(new.key, None)
            if old is not None:
                highest = max(old, new, key=lambda position: position.last)
                new = replace(highest, first=min(old.first, new.first))
            self._of[new.key] = new

    def adopt(self, there: Iterable[Position]) -> None:
        """Take in what a store has of writers that are not known here; these are the oldest."""
        unknown = sorted((one for one in there if one.key not in self._of), key=lambda one: one.seen)
        self._of = {one.key: one for one in unknown} | self._of

    def drop_old(self) -> list[Position]:
        """Forget all but the latest of each jail; which they were."""
        jails: dict[tuple[str, str], list[Position]] = defaultdict(list)
        for position in self._of.values():
            jails[position.server, position.jail].append(position)
        old = [position for several in jails.values() for position in several[:-KEPT]]
        for position in old:
            del self._of[position.key]
        return old
