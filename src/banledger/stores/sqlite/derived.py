"""Sets that are not stored, because rows say what they hold. See `selection.DerivedSet`."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from banledger.stores.api import Scored
from banledger.stores.fields import count_of
from banledger.stores.selection import DerivedSet, Family, Projection, Selected, Selection
from banledger.stores.sqlite.glob import literal_head


class DerivedFrom(Protocol):
    """What derived sets are read from. See `api.Reader`."""

    def select(self, selection: Selection) -> Selected | None: ...
    def scores(self, keys: Sequence[str], members: Sequence[str]) -> list[list[float | None]]: ...
    def entries(self, key: str) -> Iterator[Scored]: ...


class DerivedSets:
    """The derived sets of a ledger."""

    def __init__(self, source: DerivedFrom, projection: Projection) -> None:
        self._source = source
        self._families = projection.families
        self.find: Callable[[str], DerivedSet | None] = projection.set_of

    def members(self, found: DerivedSet) -> Iterator[str]:
        """Return the ids in a set, in no order."""
        selected = self._source.select(found.selection)
        return selected.newest() if selected else iter(())

    def sizes(self, keys: Sequence[str]) -> dict[str, int]:
        """Return the number of ids in each of the keys that is a derived set. Each ranking is asked once."""
        derived = {key: found for key in keys if (found := self.find(key))}
        members: dict[str, list[str]] = defaultdict(list)
        for ranking, member in filter(None, [found.ranked for found in derived.values()]):
            members[ranking].append(member)
        scores = {
            (ranking, member): score
            for ranking, some in members.items()
            for member, score in zip(some, self._source.scores([ranking], some)[0], strict=True)
        }
        return {
            key: max(0, count_of(scores[found.ranked] or 0)) if found.ranked else self._counted(found)
            for key, found in derived.items()
        }

    def _counted(self, found: DerivedSet) -> int:
        selected = self._source.select(found.selection)
        return selected.rank({}).total if selected else 0

    def keys(self, pattern: str) -> Iterator[str]:
        """Return the names of all sets whose names may match a glob pattern."""
        literal = literal_head(pattern)
        for family in self._families:
            if not (family.head.startswith(literal) or literal.startswith(family.head)):
                continue
            for member, _ in self._source.entries(family.ranking):
                yield from self._of_member(family, member, literal)

    def _of_member(self, family: Family, member: str, literal: str) -> list[str]:
        """Return which of the sets of a ranked member exist: one does, and of several those that have members."""
        keys = family.keys(member)
        likely = [key for key in keys if key.startswith(literal)]
        return likely if len(keys) == 1 else [key for key, size in self.sizes(likely).items() if size]
