"""Check a ledger: derive all entries from the hashes again, and compare them with the store.

Theory of operation. The entries in a month's slot are compared month by month. Sets in other slots are compared all at
once: the sum of the fingerprints of every (key, member) that the hashes imply, with the sum for the store. Only if the
sums differ are the hashes read again to find the keys. So a ledger of any size without faults needs memory for the keys
of one month and for the bans in force; one with faults also for its keys, but never for its ids.

Sets that an engine derives from rows are not compared: the rows are, with the hashes, by UTC day (`row_days`), and so
are the scores of rankings. At last the store looks for damage in what no key is read from.
"""

from collections import defaultdict
from collections.abc import Iterator
from math import inf

from banledger.ledger import scan
from banledger.ledger.aside import line_of
from banledger.ledger.ban import PENDING, Ban, from_hash
from banledger.ledger.dimensions import DAY, INDEXED
from banledger.ledger.faults import Differences, Fault, Sketch, StaleHash, compare
from banledger.ledger.form_check import base_faults, feed_faults
from banledger.ledger.ids import is_id_of
from banledger.ledger.implied import Implied
from banledger.ledger.keys import Keyspace
from banledger.ledger.merge import with_whole_users
from banledger.ledger.months import is_month
from banledger.ledger.outside import Outside, counted
from banledger.ledger.parsers import damage, heads, singles
from banledger.ledger.progress import Progress, silent
from banledger.ledger.tokens import is_source_token, source_token
from banledger.ledger.tombstone import is_tombstone
from banledger.stores.api import Reader
from banledger.stores.change import Ranking
from banledger.stores.fields import YEAR_3000, Damaged, count_of
from banledger.stores.pages import pages


def check(reader: Reader, keys: Keyspace, now: float = inf, progress: Progress = silent) -> Iterator[Fault]:
    """Return every fault of the ledger as it is found. No other process may write to the ledger meanwhile.

    Bans that run out after `now` (UTC epoch) must be on the list of active bans.
    """
    hidden = scan.misshapen(reader, keys)
    for key, holds in hidden.items():
        yield Fault(key, f"holds a {holds}, which is the wrong type")
    reader = scan.Without(reader, hidden) if hidden else reader
    yield from _check_hashes(reader, keys)
    outside = Outside(reader, keys, now)
    listed = set(reader.members(keys.months))
    months = scan.months(reader, keys)
    for done, month in enumerate(months):
        progress("months", done, len(months))
        yield from _check_month(reader, keys, month, outside)
    progress("months", len(months), len(months))
    yield from _compare_set(reader, keys.months, {month for month in listed | set(months) if is_month(month)})
    if outside.rows.kept:
        yield from outside.rows.faults()
        yield from _check_ranks(reader, keys, outside, progress)
    else:
        yield from _check_dimensions(reader, keys, outside, progress)
    yield from compare(keys.top(DAY), dict(outside.days), dict(reader.entries(keys.top(DAY))))
    yield from outside.active_faults()
    yield from _check_sources(reader, keys, outside)
    yield from compare(keys.gaps, outside.gaps, dict(reader.entries(keys.gaps)))
    for index, hash_of in scan.indexes(keys).items():
        listed_there = dict(reader.entries(index))
        hashed = {name.removeprefix(hash_of("")) for name in reader.keys(hash_of("") + "*")}
        moments = {name: score for name, score in listed_there.items() if 0 <= score < YEAR_3000}
        yield from compare(index, {name: moments.get(name, 0.0) for name in hashed}, listed_there)
    yield from _check_sizes(reader, keys)
    yield from feed_faults(reader, keys)
    if strange := sum(line_of(member) is None for member in reader.members(keys.aside)):
        yield Fault(keys.aside, f"has {strange:,} invalid members")
    yield from [Fault("the store", f"is damaged: {what}") for what in reader.damage()]


def _check_hashes(reader: Reader, keys: Keyspace) -> Iterator[Fault]:
    """Check hashes outside months: networks, cells, sources, labels, positions, leases, the ledger's own."""
    for word, head in heads(keys).items():
        for key, fields in scan.hashes_by_key(reader, reader.keys(head + "*")):
            yield from _damaged(key, damage(word, key.removeprefix(head), fields))
    for word, key in (singles(keys) | {"meta": keys.meta}).items():
        fields = reader.hashes([key])[0]
        if fields or word == "meta":
            yield from _damaged(key, damage(word, "", fields))


def _damaged(key: str, error: Damaged | None) -> Iterator[Fault]:
    if error is not None:
        yield Fault(key, f"is damaged: {error}")


def _check_sizes(reader: Reader, keys: Keyspace) -> Iterator[Fault]:
    """Check the stored sizes of sorted sets outside months."""
    tops = [keys.top(dimension) for dimension in (*INDEXED, DAY)]
    active = [keys.active_of(tok) for tok in scan.sources(reader, keys)]
    large = [*tops, keys.networks, keys.cells]
    for key, card in zip(large, reader.sizes(large), strict=True):
        yield from _compare_size(key, card, sum(1 for _ in reader.entries(key)))
    of_ids = [*active, keys.gaps, keys.feed]
    for key, card in zip(of_ids, reader.sizes(of_ids), strict=True):
        yield from _compare_size(key, card, len(dict(reader.entries(key))))  # an id may have two scores


def _compare_size(key: str, card: int, size: int) -> Iterator[Fault]:
    if card != size:
        yield Fault(key, f"has a stored size of {card:,} members, but {size:,} can be read")


def _compare_scores(reader: Reader, key: str, expected: dict[str, float]) -> Iterator[Fault]:
    yield from _compare_all(reader, key, expected, dict(reader.entries(key)))


def _compare_set(reader: Reader, key: str, expected: set[str]) -> Iterator[Fault]:
    yield from _compare_all(reader, key, dict.fromkeys(expected, 0.0), dict.fromkeys(reader.members(key), 0.0))


def _compare_all(reader: Reader, key: str, expected: dict[str, float], actual: dict[str, float]) -> Iterator[Fault]:
    """Compare the members of a key; if they are right, also their number with the stored size."""
    faults = list(compare(key, expected, actual))
    yield from faults or _compare_size(key, reader.sizes([key])[0], len(actual))


def _check_sources(reader: Reader, keys: Keyspace, outside: Outside) -> Iterator[Fault]:
    """Check the set of sources: all that have bans or a hash must be in it."""
    head = keys.source("")
    hashed = {key.removeprefix(head) for key in reader.keys(head + "*")}
    listed = set(reader.members(keys.sources))
    unknown = {tok for tok in listed - scan.sources(reader, keys) if is_source_token(tok)}  # left by a crash
    wanted = outside.sources | hashed | unknown
    yield from _compare_set(reader, keys.sources, wanted)


def _check_month(reader: Reader, keys: Keyspace, month: str, outside: Outside) -> Iterator[Fault]:
    there = scan.of_month(reader, keys, month)
    slot = Implied(keys, month)
    for id_, fields in scan.hashes(reader, there["ban"]):
        if error := damage("ban", id_, fields):
            yield from _damaged(keys.ban(id_), error)
            continue
        if is_tombstone(fields):
            continue
        ban = from_hash(id_, fields)
        entries = keys.entries(ban)
        outside.add(entries, slot.add(entries))
        outside.rows.add(id_, fields)
        if ban.origin == PENDING:
            continue
        outside.sources.add(source_token(ban.server, ban.jail))
        if with_whole_users(ban) is not ban:
            yield StaleHash(keys.ban(id_), f"has a list stored as one user name: {ban.users[0]!r}")
    for id_, fields in scan.hashes(reader, there["gap"]):
        if error := damage("gap", id_, fields):
            yield from _damaged(keys.gap(id_), error)
        else:
            entries = keys.entries_of(keys.gap(id_), fields)
            outside.add(entries, slot.add(entries))
    for key in () if outside.rows.kept else slot.sets.keys() | set(there["day"]):
        yield from _compare_set(reader, key, slot.sets[key])
    for key in slot.tallies.keys() | set(there["count"]):
        yield from _compare_scores(reader, key, dict(slot.tallies[key].items()))
    for key in (keys.pending(month), keys.waiting(month)):
        yield from _compare_scores(reader, key, slot.scores[key])
    for key in there["base"]:
        yield from base_faults(reader, key)
    for key in there["outbox"]:
        wrong = damage("outbox", "", reader.hashes([key])[0])
        left = "holds work left by a crash; the recorder completes it when it starts"
        yield Fault(key, f"is damaged: a field {wrong}" if wrong else left)


def _check_dimensions(reader: Reader, keys: Keyspace, outside: Outside, progress: Progress) -> Iterator[Fault]:
    """Check the sets and the ranking of each dimension."""
    broken = []
    for dimension in INDEXED:
        actual, ranking = Sketch(), Differences(keys.top(dimension))
        yield from _check_sets(reader, keys, dimension, actual, ranking, progress)
        if actual == outside.sets[ranking.key]:
            yield from ranking.faults()
        else:
            broken.append(dimension)
    yield from _explain(reader, keys, broken, progress)


def _check_ranks(reader: Reader, keys: Keyspace, outside: Outside, progress: Progress) -> Iterator[Fault]:
    """Check the ranking of each dimension, where its sets follow from rows."""
    broken = []
    for dimension in INDEXED:
        actual, top = Sketch(), keys.top(dimension)
        for tok, score in reader.entries(top):
            ranking = Ranking(top, tok, (keys.members(dimension, tok),))
            actual.add(counted(ranking, None), count_of(score) if score == count_of(score) else 0)
        if actual != outside.sets[top]:
            broken.append(dimension)
    yield from _explain(reader, keys, broken, progress, sets_too=False)


def _check_sets(
    reader: Reader, keys: Keyspace, dimension: str, actual: Sketch, ranking: Differences, progress: Progress
) -> Iterator[Fault]:
    """Check a dimension's sets against their stored sizes and ranks.

    Adds their members to `actual`, and wrong ranks to `ranking`.
    """
    head, top = keys.members(dimension, ""), keys.top(dimension)
    ranked, done = reader.sizes([top])[0], 0
    for page in pages(reader.keys(head + "*")):
        progress(dimension, done, ranked)
        toks = [key.removeprefix(head) for key in page]
        for key, card, score in zip(page, reader.sizes(page), reader.scores([top], toks)[0], strict=True):
            size = _add_all(actual, reader, key)
            if size != card:
                yield Fault(key, f"has a stored size of {card:,} members, but has {size:,}")
            if score != size:
                (ranking.lacks if score is None else ranking.wrong)(key.removeprefix(head))
        done += len(page)
    for some in pages(reader.entries(top)):
        for (tok, _), card in zip(some, reader.sizes([head + tok for tok, _ in some]), strict=True):
            if not card:
                ranking.dangles(tok)


def _add_all(sketch: Sketch, reader: Reader, key: str) -> int:
    size = sketch.size
    for member in reader.members(key):
        sketch.add((key, member))
    return sketch.size - size


def _explain(
    reader: Reader, keys: Keyspace, dimensions: list[str], progress: Progress, *, sets_too: bool = True
) -> Iterator[Fault]:
    """Find which sets and ranks of these dimensions differ from the hashes."""
    if not dimensions:
        return
    sets: dict[str, Sketch] = defaultdict(Sketch)
    tops = {keys.top(dimension) for dimension in dimensions}
    months = scan.months(reader, keys)
    for done, month in enumerate(months):
        progress("looking closer", done, len(months))
        for ban in _bans(reader, scan.of_month(reader, keys, month)["ban"]):
            for ranking in keys.entries(ban).rankings:
                if ranking.key in tops:
                    sets[ranking.sources[0]].add(ban.id)
    for dimension in dimensions:
        head = keys.members(dimension, "")
        there = {key for key in sets if key.startswith(head)} | set(reader.keys(head + "*")) if sets_too else ()
        for key in there:
            actual = Sketch()
            for member in reader.members(key):
                actual.add(member)
            wanted = sets.get(key, Sketch())
            if actual != wanted:
                yield Fault(key, f"has other members than its bans ({actual.size:,} members, {wanted.size:,} bans)")
            else:
                yield from _compare_size(key, reader.sizes([key])[0], actual.size)
        ranked = {key.removeprefix(head): float(sketch.size) for key, sketch in sets.items() if key.startswith(head)}
        yield from compare(keys.top(dimension), ranked, dict(reader.entries(keys.top(dimension))))


def _bans(reader: Reader, listed: list[str]) -> Iterator[Ban]:
    for id_, fields in scan.hashes(reader, listed):
        try:
            ban = from_hash(id_, fields)
            if is_id_of(ban.id, ban.subject):
                yield ban
        except Damaged:
            continue  # a tombstone, or reported before
