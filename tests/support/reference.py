"""An engine in memory that works in single steps, as one over a cluster must.

The model that other engines are compared with, and the place to crash between any two steps: each step is
something that a cluster does at once (a script in one slot, one command elsewhere).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import count
from math import inf

from banledger.stores.api import Advance, Applied, Conflict, Hash, Held, Outcome, Repair, Scored
from banledger.stores.change import Change, Ranking, Standing
from banledger.stores.fields import UNREADABLE, count_of


class Store:
    """What survives the death of an engine."""

    def __init__(self) -> None:
        self.hashes: dict[str, Hash] = {}
        self.sets: dict[str, set[str]] = {}
        self.sorted: dict[str, dict[str, float]] = {}
        self.outbox: dict[str, tuple[str, frozenset[str], frozenset[Ranking], frozenset[tuple[str, str]]]] = {}
        self.tokens = count()


class ReferenceEngine:
    """See `store.engine.Engine`. Several may share a store."""

    shared = False
    replay_s = 0.0
    merge_limit = 20_000

    def __init__(self, store: Store, standing_of: Callable[[str, Hash], Standing]) -> None:
        self.store = store
        self._standing_of = standing_of

    # What an engine does, step by step.

    def steps(self, changes: Iterable[Change], outcomes: list[Outcome]) -> Iterator[None]:
        """Apply the changes; yields before every step."""
        for change in changes:
            yield
            (have,) = self.hashes([change.key])
            if not _holds(change.guard, have):
                outcomes.append(Conflict(dict(have)))
                continue
            token = self._inside(change, have)
            yield from self._follow(token)
            outcomes.append(Applied())

    def _inside(self, change: Change, have: Hash) -> str:
        """One script in one slot."""
        store = self.store
        if change.remove:
            del store.hashes[change.key]
        else:
            store.hashes[change.key] = {k: v for k, v in have.items() if k not in change.drop} | change.fields
        member = change.after.member or change.before.member
        for key in change.joins:
            self._put(key, member, True)
        for key in change.leaves:
            self._put(key, member, False)
        for mark in change.marks:
            self._score(mark.key, mark.member, mark.score)
        for key, name, delta in change.tallies:
            self._score(key, name, (self.store.sorted.get(key, {}).get(name, 0.0) + delta) or None)
        both = (change.before, change.after)
        token = str(next(store.tokens))
        store.outbox[token] = (
            change.key,
            frozenset(key for standing in both for key in standing.sets),
            frozenset(ranking for standing in both for ranking in standing.rankings),
            frozenset((mark.key, mark.member) for standing in both for mark in standing.marks),
        )
        return token

    def _follow(self, token: str) -> Iterator[None]:
        """Make what stands outside true for the hash as it is now, until it did not change meanwhile."""
        key, sets, rankings, marks = self.store.outbox[token]
        while True:
            yield
            fields = dict(self.store.hashes.get(key, {}))
            standing = self._standing_of(key, fields)
            sets |= set(standing.sets)
            rankings |= set(standing.rankings)
            marks |= {(mark.key, mark.member) for mark in standing.marks}
            for name in sorted(sets):
                yield
                self._put(name, standing.member, name in standing.sets)
            for ranking in sorted(rankings, key=repr):
                yield from self._rank(ranking)
            scores = {(mark.key, mark.member): mark.score for mark in standing.marks}
            for place in sorted(marks):
                yield
                self._score(*place, scores.get(place))
            yield
            if fields == self.store.hashes.get(key, {}):
                break
        yield
        self.store.outbox.pop(token, None)

    def _rank(self, ranking: Ranking) -> Iterator[None]:
        while True:
            yield
            size = sum(self.cards(ranking.sources))
            yield
            self._score(ranking.key, ranking.member, float(size) or None)
            yield
            if size == sum(self.cards(ranking.sources)):
                return

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

    def apply(self, changes: Iterable[Change], advances: Sequence[Advance] = ()) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for _ in self.steps(changes, outcomes):
            pass
        if outcomes and all(isinstance(outcome, Applied) for outcome in outcomes):
            self.advance(advances)
        return outcomes

    def incarnation(self) -> str:
        return ""

    def advance(self, advances: Sequence[Advance]) -> None:
        for one in advances:
            have = self.store.hashes.pop(one.key, {})
            for name, value in one.raised.items():
                if _number(value) > _number(have.get(name, "")):
                    have[name] = value
            if left := {name: value for name, value in have.items() if name not in one.gone}:
                self.store.hashes[one.key] = left

    def cautions(self) -> list[str]:
        return []

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
        for mark in (*repair.tallies, *repair.marks):
            self._score(mark.key, mark.member, mark.score)

    def enlist(self, key: str, members: Sequence[str]) -> None:
        for member in members:
            self._put(key, member, True)

    def claim(self, key: str, fields: Hash) -> Hash:
        self.store.hashes[key] = fields | self.store.hashes.get(key, {})
        return dict(self.store.hashes[key])

    def assign(self, key: str, fields: Hash) -> None:
        self.store.hashes[key] = self.store.hashes.get(key, {}) | fields

    def replace(self, hashes: Mapping[str, Hash]) -> None:
        for key, fields in hashes.items():
            self.store.sets.pop(key, None)
            self.store.sorted.pop(key, None)
            self.store.hashes[key] = dict(fields)
            if not fields:
                del self.store.hashes[key]

    def lease(self, key: str, wanted: Held, seen: Held) -> Held:
        have = self.store.hashes.setdefault(key, {})
        held = Held(have.get("holder", ""), have.get("until", ""))
        if not held.yields_to(wanted, seen):
            return held
        have |= {"holder": wanted.holder, "until": wanted.until}
        return wanted

    def exchange(self, key: str, field: str, among: Sequence[str], fields: Hash, otherwise: Hash) -> Hash:
        before = dict(self.store.hashes.get(key, {}))
        if change := fields if before.get(field, "") in among else otherwise:
            self.store.hashes[key] = before | change
        return before

    def due(self, key: str, until: float, count: int) -> list[str]:
        scores = self.store.sorted.get(key, {})
        return [member for score, member in sorted((s, m) for m, s in scores.items()) if score <= until][:count]

    def hashes(self, keys: Sequence[str]) -> list[Hash]:
        odd = {UNREADABLE: "holds no hash"}
        return [dict(self.store.hashes.get(key, odd if self.kind(key) != "none" else {})) for key in keys]

    def members(self, key: str) -> Iterator[str]:
        return iter(sorted(self.store.sets.get(key, ())))

    def cards(self, keys: Sequence[str]) -> list[int]:
        return [len(self.store.sets.get(key, ())) for key in keys]

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

    def above(self, keys: Sequence[str], least: float = -inf) -> list[int]:
        return [sum(score >= least for score in self.store.sorted.get(key, {}).values()) for key in keys]

    def kind(self, key: str) -> str:
        store = self.store
        return (
            "hash" if key in store.hashes else "set" if key in store.sets else "zset" if key in store.sorted else "none"
        )

    def kinds(self, keys: Sequence[str]) -> list[str]:
        return [self.kind(key) for key in keys]

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
    return int(head) if head.isascii() and head.isdecimal() else -1
