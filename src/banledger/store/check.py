"""Is a ledger whole? Everything but the hashes is derived from them, so it can be derived again and compared.

One month at a time for what lives in a month's slot; sets in other slots by size and a fingerprint of their
members, so that a large ledger needs memory for its keys and not for its ids.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from banledger.keyspace import DAY, DIMENSIONS, Keyspace, Mark
from banledger.record import PENDING, Ban, from_hash
from banledger.store.engine import Reader

_AT_ONCE = 500
_MOD = 1 << 64


class Fault(Struct, frozen=True):
    """A key that is not what its hashes say."""

    key: str
    what: str


class _Sketch:
    """A set as its size and an order-free fingerprint of its members."""

    __slots__ = ("mark", "size")

    def __init__(self) -> None:
        self.size = self.mark = 0

    def add(self, member: str) -> None:
        self.size += 1
        self.mark = (self.mark + hash(member)) % _MOD

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sketch) and (self.size, self.mark) == (other.size, other.mark)


def check(reader: Reader, keys: Keyspace) -> Iterator[Fault]:
    """Every fault of the ledger, as they are found. Nothing may write to it meanwhile."""
    sets: dict[str, _Sketch] = defaultdict(_Sketch)
    scored: dict[str, dict[str, float]] = {keys.active: {}, keys.gaps: {}}
    for month in sorted(reader.members(keys.months)):
        yield from _check_month(reader, keys, month, sets, scored)
        for id_, fields in _hashes(reader, f"{keys.prefix}:{{{month}}}:gap:*"):
            _place(scored, keys.standing_of(keys.gap(id_), fields).marks)
    for dimension in (*DIMENSIONS, DAY):
        yield from _check_dimension(reader, keys, dimension, sets)
    for key, expected in scored.items():
        actual = _scores(reader, key)
        if key == keys.active:  # what ran out may have been taken off the list
            actual = expected | actual
        yield from _compare(key, expected, actual)


def _check_month(
    reader: Reader,
    keys: Keyspace,
    month: str,
    sets: dict[str, _Sketch],
    scored: dict[str, dict[str, float]],
) -> Iterator[Fault]:
    days: dict[str, set[str]] = defaultdict(set)
    tallies: dict[str, Counter[str]] = defaultdict(Counter)
    pending: dict[str, float] = {}
    for id_, fields in _hashes(reader, f"{keys.prefix}:{{{month}}}:ban:*"):
        try:
            ban = from_hash(id_, fields)
        except (ValueError, KeyError) as error:
            yield Fault(keys.ban(id_), f"is no ban: {error!r}")
            continue
        if ban.origin == PENDING:
            pending[id_] = 0.0
            continue
        _expect(keys, ban, sets, scored)
        days[keys.day(month, ban.day)].add(id_)
        for key, member in keys.tallies(ban):
            tallies[key][member] += 1
    head = f"{keys.prefix}:{{{month}}}:"
    for key in days.keys() | set(reader.keys(head + "day:*")):
        yield from _compare(key, dict.fromkeys(days[key], 0.0), dict.fromkeys(reader.members(key), 0.0))
    for key in tallies.keys() | set(reader.keys(head + "count:*")):
        yield from _compare(key, dict(tallies[key]), dict(reader.tally([key])))
    waiting = dict.fromkeys(_scores(reader, keys.pending(month)), 0.0)
    yield from _compare(keys.pending(month), pending, waiting)
    for key in reader.keys(head + "outbox*"):
        yield Fault(key, "holds work that a crash left; the recorder settles it when it starts")


def _expect(keys: Keyspace, ban: Ban, sets: dict[str, _Sketch], scored: dict[str, dict[str, float]]) -> None:
    standing = keys.standing(ban)
    for key in standing.sets:
        sets[key].add(ban.id)
    sets[keys.members(DAY, ban.day)].add(ban.id)  # no key of the store: what the ranking of days adds up to
    _place(scored, standing.marks)


def _place(scored: dict[str, dict[str, float]], marks: tuple[Mark, ...]) -> None:
    for mark in marks:
        if mark.score is not None:
            scored[mark.key][mark.member] = mark.score


def _check_dimension(reader: Reader, keys: Keyspace, dimension: str, sets: dict[str, _Sketch]) -> Iterator[Fault]:
    head = keys.members(dimension, "")
    expected = {key for key in sets if key.startswith(head)}
    if dimension != DAY:
        for key in expected | set(reader.keys(head + "*")):
            actual = _Sketch()
            for member in reader.members(key):
                actual.add(member)
            if actual != sets.get(key, _Sketch()):
                wanted = sets[key].size if key in sets else 0
                yield Fault(key, f"has {actual.size} members, its bans are {wanted}, or they are others")
    ranked = {key.removeprefix(head): float(sets[key].size) for key in expected}
    yield from _compare(keys.top(dimension), ranked, _scores(reader, keys.top(dimension)))


def _compare(key: str, expected: dict[str, float], actual: dict[str, float]) -> Iterator[Fault]:
    if expected == actual:
        return
    missing = expected.keys() - actual.keys()
    dangling = actual.keys() - expected.keys()
    wrong = [name for name in expected.keys() & actual.keys() if expected[name] != actual[name]]
    for names, what in ((missing, "lacks"), (dangling, "should not have"), (wrong, "has a wrong score for")):
        if names:
            some = ", ".join(repr(name) for name in sorted(names)[:3])
            yield Fault(key, f"{what} {some}" + (f" and {len(names) - 3} more" if len(names) > 3 else ""))


def _hashes(reader: Reader, pattern: str) -> Iterator[tuple[str, dict[str, str]]]:
    keys = iter(list(reader.keys(pattern)))
    while page := list(islice(keys, _AT_ONCE)):
        for key, fields in zip(page, reader.hashes(page), strict=True):
            yield key.rpartition(":")[2], fields


def _scores(reader: Reader, key: str) -> dict[str, float]:
    found: dict[str, float] = {}
    while page := reader.ranking(key, len(found), 10_000):
        found.update(page)
    return found
