"""An engine in memory that works in single steps, as one over a cluster must.

The model that other engines are compared with, and the place to crash between any two steps: each step is
something that a cluster does at once (a script in one slot, one command elsewhere).
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import count
from math import inf
from time import time

from banledger.stores.api import Advance, Applied, Conflict, Hash, Repair, Result, Scored, Server, StoreDetails
from banledger.stores.change import FEED_KEPT, Change, Entries, Ranking, Score, difference
from banledger.stores.fields import MOST_NUMBER, UNREADABLE, count_of
from banledger.stores.selection import Cells, Selected, Selection


class Store:
    """What survives the death of an engine."""

    def __init__(self) -> None:
        self.hashes: dict[str, Hash] = {}
        self.sets: dict[str, set[str]] = {}
        self.sorted: dict[str, dict[str, float]] = {}
        self.outbox: dict[str, tuple[str, tuple[Entries, ...]]] = {}
        self.tokens = count()


class ReferenceEngine:
    """See `stores.api.Engine`. Several may share a store."""

    shared = False
    replay_s = 0.0
    merge_limit = 20_000

    def __init__(self, store: Store, entries_of: Callable[[str, Hash], Entries]) -> None:
        self.store = store
        self._entries_of = entries_of

    # What an engine does, step by step.

    def steps(self, changes: Iterable[Change], outcomes: list[Result]) -> Iterator[None]:
        """Apply the changes; yields before every step."""
        for change in changes:
            yield
            (have,) = self.hashes([change.key])
            if not _holds(change.guard, have) or (not change.keeps and self._is_busy(change.key)):
                outcomes.append(Conflict(dict(have)))
                continue
            if token := self._inside(change, have):
                yield from self._follow(token)
            outcomes.append(Applied())

    def _is_busy(self, key: str) -> bool:
        """Whether there is unfinished work about the hash: what must follow could not be told without its fields."""
        return any(about == key for about, _ in self.store.outbox.values())

    def _inside(self, change: Change, have: Hash) -> str:
        """One script in one slot. The field of the outbox that it leaves; none where nothing lies outside."""
        store = self.store
        if change.fields is None:
            del store.hashes[change.key]
        else:
            kept = {k: v for k, v in have.items() if k not in change.drop} if change.keeps else {}
            store.hashes[change.key] = kept | change.fields
        wanted = difference(change.before, change.after)
        head = change.key.partition("}")[0] + "}"
        for key in wanted.joins:
            if key.startswith(head):
                self._put(key, wanted.member, True)
        for key in wanted.leaves:
            if key.startswith(head):
                self._put(key, wanted.member, False)
        for score in wanted.scores:
            if score.key.startswith(head):
                self._score(score.key, score.member, score.score)
        for delta, (key, name) in [*((1, place) for place in wanted.more), *((-1, place) for place in wanted.fewer)]:
            assert key.startswith(head)
            self._score(key, name, (store.sorted.get(key, {}).get(name, 0.0) + delta) or None)
        touched = [*wanted.joins, *wanted.leaves, *[score.key for score in wanted.scores]]
        touched += [ranking.key for ranking in wanted.rankings] + [wanted.feed] * bool(wanted.feed)
        if all(key.startswith(head) for key in touched):
            return ""
        token = str(next(store.tokens))
        store.outbox[token] = (change.key, (change.before, change.after))
        return token

    def _follow(self, token: str) -> Iterator[None]:
        """Make what stands outside true for the hash as it is now, until it did not change meanwhile."""
        key, once = self.store.outbox[token]
        feeds = {entries.feed for entries in once if entries.feed}
        head = key.partition("}")[0] + "}"
        while True:
            yield
            fields = dict(self.store.hashes.get(key, {}))
            now = self._entries_of(key, fields)
            once = (*once, now)
            sets = {name for entries in once for name in entries.sets if not name.startswith(head)}
            for name in sorted(sets):
                yield
                self._put(name, now.member, name in now.sets)
            for ranking in sorted({ranking for entries in once for ranking in entries.rankings}, key=repr):
                yield from self._rank(ranking)
            scores = {(score.key, score.member): score.score for score in now.scores}
            places = {(score.key, score.member) for entries in once for score in entries.scores}
            for place in sorted(place for place in places if not place[0].startswith(head)):
                yield
                self._score(*place, scores.get(place))
            yield
            for feed in feeds:
                self._feed(feed, now.member)
            yield
            if fields == self.store.hashes.get(key, {}):
                break
        yield
        self.store.outbox.pop(token, None)

    def _rank(self, ranking: Ranking) -> Iterator[None]:
        while True:
            yield
            size = sum(self.sizes(ranking.sources))
            yield
            self._score(ranking.key, ranking.member, float(size) or None)
            yield
            if size == sum(self.sizes(ranking.sources)):
                return

    def _feed(self, key: str, member: str) -> None:
        """One script: move the member to the end, and remove what is too old."""
        feed = self.store.sorted.setdefault(key, {})
        last = max(feed.values(), default=0.0)
        feed[member] = last + 1 if 0 <= last < MOST_NUMBER else 1.0
        oldest = feed[member] - FEED_KEPT
        self.store.sorted[key] = {name: score for name, score in feed.items() if oldest < score <= feed[member]}

    def _put(self, key: str, member: str, present: bool) -> None:
        members = self.store.sets.setdefault(key, set())
        members.add(member) if present else members.discard(member)
        if not members:
            del self.store.sets[key]

    def _score(self, key: str, member: str, score: float | None) -> None:
        scores = self.store.sorted.setdefault(key, {})
        if score is None:
            scores.pop(member, None)
        else:
            scores[member] = float(score)
        if not scores:
            del self.store.sorted[key]

    # The contract.

    def apply(self, changes: Iterable[Change], advances: Sequence[Advance] = ()) -> list[Result]:
        outcomes: list[Result] = []
        for _ in self.steps(changes, outcomes):
            pass
        if all(isinstance(outcome, Applied) for outcome in outcomes):
            for one in advances:
                self._advance(one)
        return outcomes

    def _advance(self, one: Advance) -> None:
        have = self.store.hashes.pop(one.key, {})
        for name, value in one.raised.items():
            if _number(value) > _number(have.get(name, "")):
                have[name] = value
        if left := {name: value for name, value in have.items() if name not in one.gone}:
            self.store.hashes[one.key] = left

    def derives(self, _key: str) -> bool:
        return False

    def server(self) -> Server:
        return Server()

    def purge(self, *, rewrite: bool) -> bool:
        return False

    def settle(self) -> int:
        left = list(self.store.outbox)
        for token in left:
            for _ in self._follow(token):
                pass
        return len(left)

    def mend(self, repair: Repair) -> None:
        for key, member in repair.joins:
            self._put(key, member, True)
        for key, member in repair.leaves:
            self._put(key, member, False)
        for score in (*repair.tallies, *repair.scores):
            self._score(score.key, score.member, score.score)

    def put(self, hashes: Mapping[str, Hash], scores: Sequence[Score] = ()) -> None:
        for key, fields in hashes.items():
            self.store.sets.pop(key, None)
            self.store.sorted.pop(key, None)
            self.store.hashes[key] = dict(fields)
            if not fields:
                del self.store.hashes[key]
        if scores:
            self.mend(Repair(scores=scores))

    def lowest(self, key: str, until: float, count: int, above: float = -inf) -> list[Scored]:
        scores = sorted((score, member) for member, score in self.store.sorted.get(key, {}).items())
        return [(member, score) for score, member in scores if (above == -inf or score > above) and score <= until][
            :count
        ]

    def hashes(self, keys: Sequence[str]) -> list[Hash]:
        odd = {UNREADABLE: "holds no hash"}
        kinds = self.kinds(keys)
        return [
            dict(self.store.hashes.get(key, odd if kind != "none" else {}))
            for key, kind in zip(keys, kinds, strict=True)
        ]

    def fields(self, keys: Sequence[str], names: Sequence[str]) -> Iterator[list[str | None]]:
        return ([fields.get(name) for name in names] for fields in self.hashes(keys))

    def select(self, _selection: Selection) -> Selected | None:
        return None

    def rows(self) -> Iterator[tuple[str, Cells]] | None:
        return None

    def members(self, key: str) -> Iterator[str]:
        return iter(sorted(self.store.sets.get(key, ())))

    def sizes(self, keys: Sequence[str], least: float = -inf) -> list[int]:
        scores = [self.store.sorted.get(key, {}).values() for key in keys]
        sets = [self.store.sets.get(key, ()) for key in keys]
        return [len(one) + sum(score >= least for score in two) for one, two in zip(sets, scores, strict=True)]

    def tally(self, keys: Sequence[str]) -> dict[str, int]:
        total: dict[str, int] = {}
        for key in keys:
            for member, score in self.store.sorted.get(key, {}).items():
                total[member] = total.get(member, 0) + count_of(score)
        return total

    def scores(self, keys: Sequence[str], members: Sequence[str]) -> list[list[float | None]]:
        return [[self.store.sorted.get(key, {}).get(member) for member in members] for key in keys]

    def ranking(self, key: str, start: int, count: int) -> list[Scored]:
        scores = self.store.sorted.get(key, {})
        ordered = sorted(scores.items(), key=lambda pair: (pair[1], pair[0].encode()), reverse=True)
        return ordered[start : start + count]

    def entries(self, key: str) -> Iterator[Scored]:
        return iter(list(self.store.sorted.get(key, {}).items()))

    def details(self) -> StoreDetails:
        return StoreDetails("memory", "reference", 0, of_server=False, clock=time())

    def damage(self) -> Iterator[str]:
        return iter(())

    def kinds(self, keys: Sequence[str]) -> list[str]:
        store = self.store
        holds: dict[str, Container[str]] = {"hash": store.hashes, "set": store.sets, "zset": store.sorted}
        return [next((kind for kind, there in holds.items() if key in there), "none") for key in keys]

    def sweep(self) -> int:
        return 0

    def keys(self, pattern: str) -> Iterator[str]:
        store = self.store
        return (key for key in [*store.hashes, *store.sets, *store.sorted] if fnmatchcase(key, pattern))

    def close(self) -> None:
        pass


def _holds(guard: dict[str, str | None] | None, have: Hash) -> bool:
    if guard is None:
        return not have
    return bool(have) and all(have.get(name) == value for name, value in guard.items())


def _number(value: str) -> int:
    """The whole number that a value begins with; -1: none."""
    head = value.partition(" ")[0]
    return int(head) if head.isascii() and head.isdecimal() and len(head) <= 20 else -1
