"""What hashes imply in one month's slot, collected by key. Check, rebuild and the check of a day share it. Pure."""

from collections import Counter, defaultdict

from banledger.ledger.keys import Keyspace
from banledger.stores.change import Entries, Score


class Implied:
    """What must be in the slot of a month. A key that is not in any of the three must not be there.

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
        """What one more hash implies; the scores among it that are not the slot's."""
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
