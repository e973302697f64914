"""Writes the sorted sets of an embedded ledger. See `sorted_sets`."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from banledger.stores.change import FEED_KEPT
from banledger.stores.fields import MOST_NUMBER
from banledger.stores.sqlite.batch import Batch
from banledger.stores.sqlite.inserts import insert
from banledger.stores.sqlite.marks import drop_marks, mend_marks, put_marks, set_marks
from banledger.stores.sqlite.named_keys import NamedKeys
from banledger.stores.sqlite.sizes import add_to_sizes, forget_sizes
from banledger.stores.sqlite.stored_id import Member, has_mark, ranked

_Counts: TypeAlias = Mapping[str, Mapping[str, int]]
_Scores: TypeAlias = Mapping[tuple[str, Member], float | None]
_Row = TypeVar("_Row", bound=tuple[Any, ...])

_TABLES = ("ranking", "mark")


class ScoreWriter(NamedKeys):
    """Writes scores. Every method is called in a transaction, and every key has its number."""

    def __init__(self, connection: sqlite3.Connection, *others: Any) -> None:
        super().__init__(connection, *others)
        self._met: Counter[int] = Counter()  # members that were there already, by key
        connection.create_function("met", 1, self._meet)

    def _meet(self, number: int) -> int:
        """Count, from SQL, a member that is there already."""
        self._met[number] += 1
        return 0

    def _put_scores(self, batch: Batch) -> None:
        """Write all that a batch scores."""
        self._count(batch.tallies)
        self._move(batch)
        self._rank(batch.rankings)
        self._rerank(batch.ranked)
        self._feed(batch.fed)

    def _move(self, batch: Batch) -> None:
        """Write scores of which the old ones are known."""
        ended = [(key, score, id_) for key, score, id_ in batch.ended if isinstance(id_, bytes) and score is not None]
        drop_marks(self._db, [(self._numbers[key][0], score, id_) for key, score, id_ in ended])
        self._score({(key, one): score for (key, one), score in batch.scores.items() if isinstance(one, str)})
        come = [(key, score, id_) for (key, id_), score in batch.scores.items() if isinstance(id_, bytes)]
        put_marks(self._db, [(self._numbers[key][0], score, id_) for key, score, id_ in come if score is not None])
        forget_sizes(self._db, {self._numbers[key][0] for key, *_ in (*ended, *come)})

    def _set(self, scores: _Scores, write: Callable[..., None] = set_marks) -> None:
        """Write scores, whatever the old ones are; None removes the member. `write`: see `marks`."""
        by_key: dict[str, dict[Member, float | None]] = defaultdict(dict)
        for (key, one), score in scores.items():
            by_key[key][one] = score
        for key, some in by_key.items():
            self._set_of(key, some, write)

    def _set_of(self, key: str, scores: Mapping[Member, float | None], write: Callable[..., None] = set_marks) -> None:
        """The same for one key."""
        if texts := {(key, one): score for one, score in scores.items() if isinstance(one, str)}:
            self._score(texts)
        if marks := {one: score for one, score in scores.items() if isinstance(one, bytes)}:
            write(self._db, number := self._numbers[key][0], marks)
            forget_sizes(self._db, [number])

    def _mend(self, scores: _Scores) -> None:
        """Write scores, most of which may be right."""
        self._set(scores, mend_marks)

    def _rerank(self, deltas: _Counts) -> None:
        """Add to scores. A ranked value may look like an id, for instance the name of a user."""
        ids = [(key, one) for key, found in deltas.items() for one in found if has_mark(one)]
        for key, member in ids:
            have = self.scores([key], [member])[0][0] or 0.0
            self._set({(key, ranked(member)): (have + deltas[key][member]) or None})
        if ids:
            deltas = {key: {one: found[one] for one in found if not has_mark(one)} for key, found in deltas.items()}
        self._count(deltas, "ranking")

    def _rank(self, rankings: Mapping[tuple[str, Member], tuple[str, ...]]) -> None:
        """Give each ranked member the size of its sets, as they are now."""
        sources = list({source for several in rankings.values() for source in several})
        cards = dict(zip(sources, self._sizes(sources), strict=True))
        self._set({place: float(sum(cards[key] for key in several)) or None for place, several in rankings.items()})

    def _feed(self, fed: Mapping[str, Sequence[Member]]) -> None:
        """Move members to the end of feeds. A feed with scores that no engine writes begins again."""
        for key, members in fed.items():
            number = self._numbers[key][0]
            last = max(self._highest(table, number) for table in _TABLES)
            if not 0 <= last < MOST_NUMBER:
                last = 0
                for table in _TABLES:
                    self._db.execute(f"DELETE FROM {table} WHERE key = ?", (number,))
            self._set_of(key, {member: float(score) for score, member in enumerate(members, int(last) + 1)})
            old = int(last) + len(members) - FEED_KEPT
            for table in _TABLES:
                self._db.execute(f"DELETE FROM {table} WHERE key = ? AND score <= ?", (number, old))

    def _highest(self, table: str, number: int) -> float:
        highest = f"SELECT coalesce(max(score), 0) FROM {table} WHERE key = ? AND score < ''"
        return float(self._db.execute(highest, (number,)).fetchone()[0])

    def _count(self, deltas: _Counts, table: str = "tally") -> None:
        """Add to scores of sorted sets, by key and member."""
        rows: list[tuple[int, str, int]] = []
        for number, key in sorted([(self._numbers[key][0], key) for key in deltas]):
            found = deltas[key]
            rows += [(number, member, found[member]) for member in sorted(found) if found[member]]
        self._met.clear()
        conflict = "ON CONFLICT DO UPDATE SET score = score + excluded.score + met(excluded.key)"
        insert(self._db, f"INSERT INTO {table}", rows, conflict)
        grown = Counter([number for number, _, _ in rows])
        grown.subtract(self._met)
        for number, member in [(number, member) for number, member, delta in rows if delta < 0]:
            drop = f"DELETE FROM {table} WHERE key = ? AND member = ? AND score = 0"
            grown[number] -= self._db.execute(drop, (number, member)).rowcount
        add_to_sizes(self._db, grown)

    def _score(self, scores: Mapping[tuple[str, str], float | None], table: str = "ranking") -> None:
        """Give members that have no mark their score; None removes them."""
        rows = [(self._numbers[key][0], member, score) for (key, member), score in scores.items()]
        insert(
            self._db,
            f"INSERT INTO {table}",
            in_order([row for row in rows if row[2] is not None]),
            "ON CONFLICT DO UPDATE SET score = excluded.score WHERE score <> excluded.score",
        )
        self._db.executemany(
            f"DELETE FROM {table} WHERE key = ? AND member = ?",
            [(number, member) for number, member, score in rows if score is None],
        )
        forget_sizes(self._db, {number for number, _, _ in rows})


def in_order(rows: Collection[_Row]) -> list[_Row]:
    """Return rows of (number, member, …) sorted; if a key has packed ids and texts, packed ids last."""
    try:
        return sorted(rows)
    except TypeError:  # bytes and text can't be compared
        return sorted(rows, key=lambda row: (row[0], isinstance(row[1], bytes), *row[1:]))
