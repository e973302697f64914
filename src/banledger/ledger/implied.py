"""The entries of hashes in one month's slot, collected by key. Used by check, rebuild and day check. Pure."""

from collections import Counter, defaultdict

from banledger.ledger.keys import Keyspace
from banledger.stores.change import Entries, Score


class Implied:
    """The entries that must be in the slot of a month. Keys in none of the three must not exist.

    sets     members by key
    scores   scores by key and member
    tallies  counts by key and member
    """

    def __init__(self, keys: Keyspace, month: str) -> None:
        self._head = keys.slot(month)
        self.sets: dict[str, set[str]] = defaultdict(set)
        self.scores: dict[str, dict[str, float]] = defaultdict(dict)
        self.tallies: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, entries: Entries) -> tuple[Score, ...]:
        """Add the entries of one hash; return its scores that lie outside the slot."""
        for key in entries.sets:
            if key.startswith(self._head):
                self.sets[key].add(entries.member)
        for key, member in entries.tallies:
            self.tallies[key][member] += 1
        outside = []
        for score in entries.scores:
            if score.score is not None and score.key.startswith(self._head):
                self.scores[score.key][score.member] = score.score
            else:
                outside.append(score)
        return tuple(outside)
