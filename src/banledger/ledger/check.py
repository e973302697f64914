"""Is a ledger whole? Everything but the hashes is derived from them, so it can be derived again and compared.

Theory of operation. What lives in a month's slot is compared month by month. Sets in other slots are compared all at
once: the sum of the fingerprints of (key, member) that the hashes ask for, against that of what is there. Only where
the two differ are the hashes read again, to tell which key it is. So a whole ledger of any size needs memory for
the keys of one month and for the bans in force, and a broken one for its keys, never for its ids.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from math import inf

from msgspec import Struct

from banledger.ledger import scan as contents
from banledger.ledger.aside import line_of
from banledger.ledger.ban import PENDING, Ban, from_hash, is_own
from banledger.ledger.dimensions import DAY
from banledger.ledger.keys import DIMENSIONS, Keyspace
from banledger.ledger.merge import with_whole_users
from banledger.ledger.progress import Progress, silent
from banledger.ledger.reader import gap_from_hash
from banledger.ledger.sound import damage, heads, singles
from banledger.ledger.tokens import is_source_token, source_token
from banledger.stores.api import Reader
from banledger.stores.fields import YEAR_3000, Damaged
from banledger.stores.pages import pages

_MOD = 1 << 64


class Fault(Struct, frozen=True):
    """A key that is not what its hashes say."""

    key: str
    what: str


class StaleHash(Fault, frozen=True):
    """A hash as an earlier version recorded it. Sets and rankings follow it; a faithful copy has it too."""


class _Sketch:
    """A collection as its size and an order-free fingerprint."""

    __slots__ = ("mark", "size")

    def __init__(self) -> None:
        self.size = self.mark = 0

    def add(self, item: object) -> None:
        self.size += 1
        self.mark = (self.mark + hash(item)) % _MOD

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sketch) and (self.size, self.mark) == (other.size, other.mark)


class _Names:
    """How many names, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[str] = []

    def add(self, name: str) -> None:
        self.count += 1
        if len(self._first) < 3:
            self._first.append(name)

    def __str__(self) -> str:
        more = self.count - len(self._first)
        return ", ".join(map(repr, self._first)) + (f" and {more:,} more" if more else "")


class _Differences:
    """What a key lacks, has too much, and scores wrongly."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._names: dict[str, _Names] = defaultdict(_Names)

    def lacks(self, name: str) -> None:
        self._names["lacks"].add(name)

    def dangles(self, name: str) -> None:
        self._names["should not have"].add(name)

    def wrong(self, name: str) -> None:
        self._names["has a wrong score for"].add(name)

    def faults(self) -> Iterator[Fault]:
        for what, names in self._names.items():
            yield Fault(self._key, f"{what} {names}")


class _Outside:
    """What the hashes seen so far ask for outside their slots."""

    def __init__(self, reader: Reader, keys: Keyspace, now: float) -> None:
        self.sets: dict[str, _Sketch] = {dimension: _Sketch() for dimension in DIMENSIONS}
        self.days: Counter[str] = Counter()
        self.gaps: dict[str, float] = {}
        self.sources: set[str] = set()
        self._keys = keys
        self._now = now
        self._active: dict[str, dict[str, float]] = defaultdict(dict)
        self._differences: dict[str, _Differences] = {}
        for tok in contents.sources(reader, keys):
            self._active[keys.active_of(tok)] = dict(contents.entries(reader, keys.active_of(tok)))

    def add(self, ban: Ban) -> None:
        """One more recorded ban."""
        self.days[ban.day] += 1
        self.sources.add(source_token(ban.server, ban.jail))
        for key in self._keys.standing(ban).sets:
            self.sets[_dimension(self._keys, key)].add((key, ban.id))
        if not ban.open:
            return
        key = self._keys.active(ban.server, ban.jail)
        score = self._active[key].pop(ban.id, None)
        if score is None and ban.expires > self._now:  # what ran out may have been taken off the list
            self._difference(key).lacks(ban.id)
        elif score is not None and score != ban.expires:
            self._difference(key).wrong(ban.id)

    def _difference(self, key: str) -> _Differences:
        return self._differences.setdefault(key, _Differences(key))

    def active_faults(self) -> Iterator[Fault]:
        """Of the lists of active bans; all bans were added."""
        for key, left in self._active.items():
            for id_ in left:
                self._difference(key).dangles(id_)
        for differences in self._differences.values():
            yield from differences.faults()


def check(reader: Reader, keys: Keyspace, now: float = inf, progress: Progress = silent) -> Iterator[Fault]:
    """Every fault of the ledger, as they are found. Nothing may write to it meanwhile.

    Bans that run out after `now` (UTC epoch) must be on the list of active ones.
    """
    hidden = contents.misshapen(reader, keys)
    for key, holds in hidden.items():
        yield Fault(key, f"holds a {holds}, which is another kind of thing")
    reader = contents.Without(reader, hidden) if hidden else reader
    yield from _check_hashes(reader, keys)
    outside = _Outside(reader, keys, now)
    listed = set(reader.members(keys.months))
    months = contents.months(reader, keys)
    for done, month in enumerate(months):
        progress("months", done, len(months))
        yield from _check_month(reader, keys, month, outside)
    progress("months", len(months), len(months))
    yield from _compare_set(reader, keys.months, {month for month in listed | set(months) if contents.is_month(month)})
    broken = []
    for dimension in DIMENSIONS:
        actual, ranking = _Sketch(), _Differences(keys.top(dimension))
        yield from _check_sets(reader, keys, dimension, actual, ranking, progress)
        if actual == outside.sets[dimension]:
            yield from ranking.faults()
        else:
            broken.append(dimension)
    yield from _explain(reader, keys, broken, progress)
    yield from _compare(keys.top(DAY), dict(outside.days), dict(contents.entries(reader, keys.top(DAY))))
    yield from outside.active_faults()
    yield from _check_sources(reader, keys, outside)
    yield from _compare(keys.gaps, outside.gaps, dict(contents.entries(reader, keys.gaps)))
    for index, hash_of in contents.indexes(keys).items():
        listed_there = dict(contents.entries(reader, index))
        hashed = {name.removeprefix(hash_of("")) for name in reader.keys(hash_of("") + "*")}
        moments = {name: score for name, score in listed_there.items() if 0 <= score < YEAR_3000}
        yield from _compare(index, {name: moments.get(name, 0.0) for name in hashed}, listed_there)
    yield from _check_sizes(reader, keys)
    if strange := sum(line_of(member) is None for member in reader.members(keys.aside)):
        yield Fault(keys.aside, f"has {strange:,} members that are no lines")


def _check_hashes(reader: Reader, keys: Keyspace) -> Iterator[Fault]:
    """Hashes that are no month's: of networks, cells, sources, look-ups, the ledger."""
    for word, head in heads(keys).items():
        for page in pages(reader.keys(head + "*")):
            for name, fields in zip(page, reader.hashes(page), strict=True):
                if fields:
                    yield from _damaged(name, damage(word, name.removeprefix(head), fields))
    for word, key in (singles(keys) | {"meta": keys.meta}).items():
        fields = reader.hashes([key])[0]
        if fields or word == "meta":
            yield from _damaged(key, damage(word, "", fields))


def _damaged(key: str, error: Damaged | None) -> Iterator[Fault]:
    if error is not None:
        yield Fault(key, f"is damaged: {error}")


def _check_sizes(reader: Reader, keys: Keyspace) -> Iterator[Fault]:
    """Sorted sets outside the months that say that they have more, or fewer, than can be read."""
    tops = [keys.top(dimension) for dimension in (*DIMENSIONS, DAY)]
    active = [keys.active_of(tok) for tok in contents.sources(reader, keys)]
    named = [*tops, *active, keys.gaps, keys.networks, keys.cells]
    for key, card in zip(named, reader.above(named), strict=True):
        yield from _compare_size(key, card, sum(1 for _ in contents.entries(reader, key)))


def _compare_size(key: str, card: int, size: int) -> Iterator[Fault]:
    if card != size:
        yield Fault(key, f"says that it has {card:,} members and has {size:,} that can be read")


def _compare_scores(reader: Reader, key: str, expected: dict[str, float]) -> Iterator[Fault]:
    actual = dict(contents.entries(reader, key))
    faults = list(_compare(key, expected, actual))
    yield from faults or _compare_size(key, reader.above([key])[0], len(actual))


def _compare_set(reader: Reader, key: str, expected: set[str]) -> Iterator[Fault]:
    actual = dict.fromkeys(reader.members(key), 0.0)
    faults = list(_compare(key, dict.fromkeys(expected, 0.0), actual))
    yield from faults or _compare_size(key, reader.cards([key])[0], len(actual))


def _check_sources(reader: Reader, keys: Keyspace, outside: _Outside) -> Iterator[Fault]:
    """The set of sources: those that have bans or a hash must be in it."""
    head = keys.source("")
    hashed = {key.removeprefix(head) for key in reader.keys(head + "*")}
    listed = set(reader.members(keys.sources))
    unknown = {tok for tok in listed - contents.sources(reader, keys) if is_source_token(tok)}  # a crash left them
    wanted = outside.sources | hashed | unknown
    yield from _compare_set(reader, keys.sources, wanted)


def _check_month(reader: Reader, keys: Keyspace, month: str, outside: _Outside) -> Iterator[Fault]:
    there = contents.of_month(reader, keys, month)
    days: dict[str, set[str]] = defaultdict(set)
    tallies: dict[str, Counter[str]] = defaultdict(Counter)
    marks: dict[str, dict[str, float]] = {keys.pending(month): {}, keys.waiting(month): {}}
    for id_, fields in contents.hashes(reader, there["ban"]):
        if error := damage("ban", id_, fields):
            yield from _damaged(keys.ban(id_), error)
            continue
        ban = from_hash(id_, fields)
        for mark in keys.marks(ban):
            marks[mark.key][id_] = mark.score or 0.0
        if ban.origin == PENDING:
            continue
        outside.add(ban)
        if with_whole_users(ban) is not ban:
            yield StaleHash(keys.ban(id_), f"has the text of a list as a user name: {ban.users[0]!r}")
        days[keys.day(month, ban.day)].add(id_)
        for key, member in keys.tallies(ban):
            tallies[key][member] += 1
    for id_, fields in contents.hashes(reader, there["gap"]):
        try:
            outside.gaps[id_] = gap_from_hash(fields).seen
        except Damaged as error:
            yield Fault(keys.gap(id_), f"is damaged: {error}")
    for key in days.keys() | set(there["day"]):
        yield from _compare_set(reader, key, days[key])
    for key in tallies.keys() | set(there["count"]):
        yield from _compare_scores(reader, key, dict(tallies[key].items()))
    for key, wanted in marks.items():
        yield from _compare_scores(reader, key, wanted)
    for key in there["outbox"]:
        wrong = damage("outbox", "", reader.hashes([key])[0])
        left = "holds work that a crash left; the recorder settles it when it starts"
        yield Fault(key, f"is damaged: a field {wrong}" if wrong else left)


def _check_sets(
    reader: Reader, keys: Keyspace, dimension: str, actual: _Sketch, ranking: _Differences, progress: Progress
) -> Iterator[Fault]:
    """A dimension's sets against their own sizes; what they hold goes into `actual`, what is not so into `ranking`."""
    head, top = keys.members(dimension, ""), keys.top(dimension)
    ranked, done = reader.above([top])[0], 0
    for page in pages(reader.keys(head + "*")):
        progress(dimension, done, ranked)
        toks = [key.removeprefix(head) for key in page]
        for key, card, score in zip(page, reader.cards(page), reader.scores([top], toks)[0], strict=True):
            size = _add_all(actual, reader, key)
            if size != card:
                yield Fault(key, f"says that it has {card:,} members and has {size:,}")
            if score != size:
                (ranking.lacks if score is None else ranking.wrong)(key.removeprefix(head))
        done += len(page)
    for some in pages(contents.entries(reader, top)):
        for (tok, _), card in zip(some, reader.cards([head + tok for tok, _ in some]), strict=True):
            if not card:
                ranking.dangles(tok)


def _add_all(sketch: _Sketch, reader: Reader, key: str) -> int:
    size = sketch.size
    for member in reader.members(key):
        sketch.add((key, member))
    return sketch.size - size


def _explain(reader: Reader, keys: Keyspace, dimensions: list[str], progress: Progress) -> Iterator[Fault]:
    """Which sets of these dimensions, and which of their ranks, are not what the hashes say."""
    if not dimensions:
        return
    sets: dict[str, _Sketch] = defaultdict(_Sketch)
    months = contents.months(reader, keys)
    for done, month in enumerate(months):
        progress("looking closer", done, len(months))
        for ban in _bans(reader, contents.of_month(reader, keys, month)["ban"]):
            for key in keys.standing(ban).sets:
                if _dimension(keys, key) in dimensions:
                    sets[key].add(ban.id)
    for dimension in dimensions:
        head = keys.members(dimension, "")
        for key in {key for key in sets if key.startswith(head)} | set(reader.keys(head + "*")):
            actual = _Sketch()
            for member in reader.members(key):
                actual.add(member)
            wanted = sets.get(key, _Sketch())
            if actual != wanted:
                yield Fault(key, f"has {actual.size:,} members, its bans are {wanted.size:,}, or they are others")
            else:
                yield from _compare_size(key, reader.cards([key])[0], actual.size)
        ranked = {key.removeprefix(head): float(sketch.size) for key, sketch in sets.items() if key.startswith(head)}
        yield from _compare(keys.top(dimension), ranked, dict(contents.entries(reader, keys.top(dimension))))


def _bans(reader: Reader, listed: list[str]) -> Iterator[Ban]:
    for id_, fields in contents.hashes(reader, listed):
        try:
            ban = from_hash(id_, fields)
            if is_own(ban):
                yield ban
        except Damaged:
            continue  # said before


def _dimension(keys: Keyspace, key: str) -> str:
    return key[len(keys.prefix) + 1 :].partition(":")[0]


def _compare(key: str, expected: dict[str, float], actual: dict[str, float]) -> Iterator[Fault]:
    if expected == actual:
        return
    differences = _Differences(key)
    for name in sorted(expected.keys() | actual.keys()):
        if name not in actual:
            differences.lacks(name)
        elif name not in expected:
            differences.dangles(name)
        elif expected[name] != actual[name]:
            differences.wrong(name)
    yield from differences.faults()
