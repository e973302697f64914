"""For each token of one column, count the different tokens of another, in bounded memory. Pure. See `tally`."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import compress

from banledger.stores.packs import ipv4
from banledger.stores.packs.column import ColumnCells, Counts
from banledger.stores.packs.masks import Mask
from banledger.stores.packs.tally import Room, TokenCounts, in_parts

_OVERHEAD = 32  # addresses that the memory of an empty group would hold
_AT_ONCE = 262_144  # addresses in a set
_RUN = 16_384


class GroupedAddresses:
    """IPv4 addresses by group, as many groups as fit. `complete`: see `tally.TokenCounts`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._low, self._high = "", ""  # high: empty if open
        self._groups: dict[str, array[int]] = {}
        self._held = 0
        self.complete = False

    def add(self, group: str, addresses: Iterable[int]) -> None:
        """Add addresses to a group."""
        if self.complete or group < self._low or (self._high and group >= self._high):
            return
        if group not in self._groups:
            self._groups[group] = array("I")
            self._held += _OVERHEAD
        found = self._groups[group]
        self._held -= len(found)
        found.extend(addresses)
        self._held += len(found)
        if self._held > self._most:
            self._drop()

    def _drop(self) -> None:
        """Leave the upper half of the groups for another pass."""
        for group in sorted(self._groups, reverse=True)[:-1]:
            if self._held <= self._most // 2:
                break
            self._held -= len(self._groups.pop(group)) + _OVERHEAD
            self._high = group

    def take(self) -> dict[str, int]:
        """Return the number of different addresses by group, and begin with the next groups."""
        groups, self._groups, self._held = self._groups, {}, 0
        self._low, self._high = self._high, ""
        self.complete = not self._low
        return {group: count for group in list(groups) if (count := _different(groups.pop(group)))}


def _different(numbers: "array[int]") -> int:
    """Return how many different numbers there are."""
    if len(numbers) <= _AT_ONCE:
        return len(set(numbers))
    runs = [array("I", sorted(numbers[place : place + _RUN])) for place in range(0, len(numbers), _RUN)]
    return sum([len(set(part)) for part in in_parts(runs)])


class Distinct:
    """For each token of one column the number of different tokens of another."""

    def __init__(self, room: Room) -> None:
        self._found: dict[str, int] = Counter()
        self._addresses = GroupedAddresses(room.addresses)
        self._networks: TokenCounts[tuple[str, int]] = TokenCounts(room.pairs)
        self._texts: TokenCounts[tuple[str, str]] = TokenCounts(room.pairs)

    def add(self, column: ColumnCells, other: ColumnCells, mask: Mask) -> None:
        """Add rows that pass."""
        groups = column.groups(mask)
        if groups is None:
            self._add_each(column.cells(), other.values(), mask)
            return
        for group, rows in groups:
            if group:
                self._add_group(group, other.counts(rows))

    def _add_group(self, group: str, counts: Counts) -> None:
        self._addresses.add(group, counts.addresses)
        self._networks.add([((group, number), 1) for number in set(counts.networks)])
        self._texts.add([((group, text), 1) for text in {*counts.texts, *dict(counts.counted)}])

    def _add_each(self, column: list[str], other: list[int | str], mask: Mask) -> None:
        """Add rows of many groups."""
        addresses: dict[str, list[int]] = defaultdict(list)
        networks, texts = [], []
        for group, cell in zip(compress(column, mask), compress(other, mask), strict=True):
            if not group or cell == "":
                continue
            if isinstance(cell, str):
                texts.append(((group, cell), 1))
            elif cell < ipv4.NETWORKS:
                addresses[group].append(cell)
            else:
                networks.append(((group, cell - ipv4.NETWORKS), 1))
        for group, numbers in addresses.items():
            self._addresses.add(group, numbers)
        self._networks.add(networks)
        self._texts.add(texts)

    def end_pass(self) -> bool:
        """See Tally.end_pass."""
        for group, count in self._addresses.take().items():
            self._found[group] += count
        for pairs in (self._networks.take(), self._texts.take()):
            for group, _ in pairs:
                self._found[group] += 1
        return self._addresses.complete and self._networks.complete and self._texts.complete

    def found(self) -> dict[str, int]:
        """Return what was counted."""
        return dict(self._found)
