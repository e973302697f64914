"""What a batch of changes becomes in the embedded ledger's tables. Pure: no database."""

from collections import defaultdict

from banledger.stores.api import Hash
from banledger.stores.change import Change
from banledger.stores.sqlite.file import HASH, RANKING, SET, TALLY


class Batch:
    """What several changes write, each row once."""

    def __init__(self, accepted: list[tuple[Change, Hash]]) -> None:
        self.hashes: list[tuple[str, Hash]] = []
        self.fresh: set[str] = set()
        self.removed: list[str] = []
        self.joins: list[tuple[str, str]] = []
        self.leaves: list[tuple[str, str]] = []
        self.tallies: dict[tuple[str, str], int] = defaultdict(int)
        self.scores: dict[tuple[str, str], float | None] = {}
        self.rankings: dict[tuple[str, str], tuple[str, ...]] = {}
        for change, have in accepted:
            self._add(change, have)

    def _add(self, change: Change, have: Hash) -> None:
        if change.remove:
            self.removed.append(change.key)
        elif have:
            kept = {name: value for name, value in have.items() if name not in change.drop}
            self.hashes.append((change.key, kept | change.fields))
        else:
            self.fresh.add(change.key)
            self.hashes.append((change.key, change.fields))
        for key, member, delta in change.tallies:
            self.tallies[key, member] += delta
        before, after = change.before, change.after
        id_ = after.member or before.member
        if before.sets != after.sets or change.joins or change.leaves:
            self.joins += [(key, id_) for key in (*change.joins, *after.sets) if key not in before.sets]
            self.leaves += [(key, id_) for key in (*change.leaves, *before.sets) if key not in after.sets]
            for ranking in (*before.rankings, *after.rankings):
                self.rankings[ranking.key, ranking.member] = ranking.sources
        for mark in before.marks:
            self.scores[mark.key, mark.member] = None
        for mark in (*change.marks, *after.marks):
            self.scores[mark.key, mark.member] = mark.score

    def kinds(self) -> dict[str, str]:
        """Every key that the batch touches and what it holds."""
        kinds = dict.fromkeys(self.removed, HASH)
        kinds.update((key, HASH) for key, _ in self.hashes)
        kinds.update((key, SET) for key, _ in (*self.joins, *self.leaves))
        kinds.update((key, TALLY) for key, _ in self.tallies)
        kinds.update((key, RANKING) for key, _ in (*self.scores, *self.rankings))
        return kinds
