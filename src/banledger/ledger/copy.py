"""Copy a ledger to another store or prefix, on any engines.

Theory of operation. Only hashes are copied (`_WHAT`); entries are derived from them as in recording, so a copy has no
faults even if its source has some. The change feed is not copied, and nothing is added to it: nobody follows a copy.
Hashes that the copy lacks are written, and hashes that differ are replaced, not merged: both sides are results of
merging already. Amendments that the source has removed are removed. A *ban* that only the copy has is removed only on
request (`prune`), because it would be lost.

The source may have an older layout: the hashes that are copied have been the same since `OLDEST`. The copy has this
version's layout.

No other process may write to the copy. Its `meta` lacks `made_by` until a recorder opens it; after that it is a ledger
of its own, and refused as a target. To continue an interrupted copy, copy again: equal hashes are skipped.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from banledger.errors import StoreError, StoreUnavailable
from banledger.ledger import scan
from banledger.ledger.ban import PENDING, Ban
from banledger.ledger.check import check
from banledger.ledger.dimensions import INDEXED
from banledger.ledger.faults import Sketch, StaleHash
from banledger.ledger.found import read_ban
from banledger.ledger.keys import LAYOUT, Keyspace, whole_guard
from banledger.ledger.progress import Progress, silent
from banledger.ledger.swap import assign
from banledger.stores.api import Applied, Engine, Hash, Reader, Repair
from banledger.stores.change import Change, Score
from banledger.stores.fields import Damaged
from banledger.stores.pages import pages

_ROUNDS = 5
_AT_ONCE = 2000
_OWN = "made_by"  # the field of meta that a recorder gives to what it opens
_SAME = ("ledger", "layout", "timezone")


class Copied(Struct, frozen=True):
    """Numbers of hashes: written, replaced, equal already, removed, and left out because they are damaged."""

    new: int = 0
    changed: int = 0
    same: int = 0
    removed: int = 0
    unreadable: int = 0


class CopyEnd(Struct, frozen=True):
    """One side of a copy."""

    engine: Reader
    keys: Keyspace


class Target(Struct, frozen=True):
    """The side of a copy that is written to."""

    engine: Engine
    keys: Keyspace


def _ban_change(keys: Keyspace, id_: str, old: Hash, new: Hash) -> Change | None:
    """Return the change from hash `old` to `new`, with fields unknown here; empty `new`: remove it."""
    have, ban = _ban_of(id_, old), _ban_of(id_, new)
    if have and ban:
        change = replace(
            keys.change(have, ban),
            fields={name: value for name, value in new.items() if old.get(name) != value},
            drop=tuple(name for name in old if name not in new),
        )
    else:  # one of them is absent, or a tombstone
        key = keys.ban(id_)
        guard: dict[str, str | None] | None = whole_guard(have) if have else {**old} if old else None
        before, after = keys.entries_of(key, old), keys.entries_of(key, new)
        change = Change(key, guard, new or None, before=before, after=after, whole=bool(old and new))
    return replace(change, before=replace(change.before, feed=""), after=replace(change.after, feed=""))


def _ban_of(id_: str, fields: Hash) -> Ban | None:
    """Return the ban of a hash; None: absent, or a tombstone. Raises `fields.Damaged`."""
    found = read_ban(id_, fields)
    if isinstance(found, Damaged):
        raise found
    return found if isinstance(found, Ban) else None


def _gap_change(keys: Keyspace, id_: str, old: Hash, new: Hash) -> Change | None:
    """Gaps never change."""
    if old or not new:
        return None
    key = keys.gap(id_)
    return Change(key, None, new, after=keys.entries_of(key, new))


# The kinds of hashes that are copied, by the word in their keys, and the change from the copy's hash to the source's.
_WHAT: dict[str, Callable[[Keyspace, str, Hash, Hash], Change | None]] = {"ban": _ban_change, "gap": _gap_change}


def copy(source: CopyEnd, target: Target, *, prune: bool = False, progress: Progress = silent) -> Copied:
    """Bring `target` to the state of `source`. `prune`: also remove bans that only the target has.

    Raises StoreError if the target is not a copy of the source (see the module).
    """
    _claim(source, target)
    target.engine.settle()
    counts: Counter[str] = Counter()
    months = scan.months(source.engine, source.keys)
    for done, month in enumerate(months):
        progress("copying months", done, len(months))
        target.engine.mend(Repair(joins=[(target.keys.months, month)]))
        _copy_month(source, target, month, counts)
    progress("copying months", len(months), len(months))
    _copy_networks(source, target)
    _copy_sources(source, target)
    for month in scan.months(target.engine, target.keys):
        _remove_from_month(source, target, month, counts, prune=prune)
    return Copied(**counts)


def _claim(source: CopyEnd, target: Target) -> None:
    meta = source.engine.hashes([source.keys.meta])[0] | {"layout": str(LAYOUT)}
    have = target.engine.hashes([target.keys.meta])[0]
    if _OWN in have:
        raise StoreError(
            "the target is not a copy: a recorder has written to it",
            hint="copy to another place or prefix, or remove it first if it is not needed",
        )
    if have and (differing := [name for name in _SAME if have.get(name) != meta.get(name)]):
        raise StoreError(
            f"the target is a copy of another ledger: different {', '.join(differing)}",
            hint="copy to another place or prefix",
        )
    assign(target.engine, target.keys.meta, {name: value for name, value in meta.items() if name != _OWN})


def _copy_month(source: CopyEnd, target: Target, month: str, counts: Counter[str]) -> None:
    listed = scan.of_month(source.engine, source.keys, month)
    for what in _WHAT:
        for page in pages(scan.hashes(source.engine, listed[what]), _AT_ONCE):
            _write(target, what, dict(page), counts)
    _copy_base(source, target, month)


def _copy_base(source: CopyEnd, target: Target, month: str) -> None:
    """Copy the numbers of forgotten bans. Not counted. Tombstones were copied as hashes, which counts nothing."""
    key = target.keys.base(month)
    wanted, there = source.engine.tally([source.keys.base(month)]), target.engine.tally([key])
    scores = [Score(key, tok, float(bans)) for tok, bans in wanted.items() if bans != there.get(tok)]
    target.engine.mend(Repair(tallies=scores + [Score(key, tok, None) for tok in there if tok not in wanted]))


def _copy_networks(source: CopyEnd, target: Target) -> None:
    """Copy networks and cells. Not counted: they are a cache, and are looked up again if missing."""
    theirs = scan.indexes(target.keys).items()
    for (index, key), (their_index, their_key) in zip(scan.indexes(source.keys).items(), theirs, strict=True):
        for page in pages(source.engine.entries(index)):
            hashes = source.engine.hashes([key(cidr) for cidr, _ in page])
            have = target.engine.hashes([their_key(cidr) for cidr, _ in page])
            pairs = zip(page, hashes, have, strict=True)
            target.engine.put({their_key(cidr): new for (cidr, _), new, old in pairs if new != old})
            target.engine.mend(Repair(scores=[Score(their_index, cidr, score) for cidr, score in page]))


def _copy_sources(source: CopyEnd, target: Target) -> None:
    """Copy sources, also those of bans that no hash of a source tells, and what was imported of them. Not counted."""
    target.engine.put({target.keys.imported: source.engine.hashes([source.keys.imported])[0]})
    listed = set(source.engine.members(source.keys.sources))
    listed |= {tok for tok, _ in target.engine.entries(target.keys.top("server+jail"))}
    for page in pages(sorted(listed | scan.sources(source.engine, source.keys))):
        hashes = source.engine.hashes([source.keys.source(tok) for tok in page])
        target.engine.mend(Repair(joins=[(target.keys.sources, tok) for tok in page]))
        target.engine.put({target.keys.source(tok): new for tok, new in zip(page, hashes, strict=True)})


def _write(target: Target, what: str, wanted: dict[str, Hash], counts: Counter[str]) -> None:
    """Make the copy's hashes equal to `wanted` (empty: remove); try again if they changed meanwhile."""
    for _ in range(_ROUNDS):
        ids = list(wanted)
        have = target.engine.hashes([_key(target.keys, what, id_) for id_ in ids])
        changes: dict[str, tuple[str, Change]] = {}
        for id_, old in zip(ids, have, strict=True):
            done, change = _plan(target.keys, what, id_, old, wanted[id_])
            if change is None:
                counts[done] += 1
                del wanted[id_]
            else:
                changes[id_] = done, change
        outcomes = target.engine.apply([change for _, change in changes.values()]) if changes else []
        for (id_, (done, _)), outcome in zip(changes.items(), outcomes, strict=True):
            if isinstance(outcome, Applied):
                counts[done] += 1
                del wanted[id_]
        if not wanted:
            return
    raise StoreUnavailable("another process writes to the target", hint="stop it and copy again")


def _plan(keys: Keyspace, what: str, id_: str, old: Hash, new: Hash) -> tuple[str, Change | None]:
    """Return the counter of `Copied` for a hash, and the change to make (None: none)."""
    if old == new:
        return "same", None
    try:
        change = _WHAT[what](keys, id_, old, new)
    except (ValueError, KeyError):
        return "unreadable", None
    return ("same" if change is None else "new" if not old else "changed" if new else "removed"), change


def _remove_from_month(source: CopyEnd, target: Target, month: str, counts: Counter[str], *, prune: bool) -> None:
    listed = scan.of_month(target.engine, target.keys, month)["ban"]
    for page in pages(scan.hashes(target.engine, listed)):
        there = source.engine.hashes([source.keys.ban(id_) for id_, _ in page])
        gone = [id_ for (id_, old), new in zip(page, there, strict=True) if not new and (prune or _waits(old))]
        if gone:
            _write(target, "ban", {id_: {} for id_ in gone}, counts)


def _waits(fields: Hash) -> bool:
    return fields.get("origin") == PENDING


def _key(keys: Keyspace, what: str, id_: str) -> str:
    return f"{keys.slot(id_[:4])}{what}:{id_}"


# Verification.


def verify(source: CopyEnd, target: Target, progress: Progress = silent) -> Iterator[str]:
    """Return the differences between copy and source as text: hashes by month, values by dimension, faults of the copy.

    Writes to the source meanwhile show up as differences.
    """
    months = sorted({*scan.months(source.engine, source.keys), *scan.months(target.engine, target.keys)})
    for done, month in enumerate(months):
        progress("comparing months", done, len(months))
        mine = scan.of_month(source.engine, source.keys, month)
        theirs = scan.of_month(target.engine, target.keys, month)
        for what in _WHAT:
            one, other = _sketch(source.engine, mine[what]), _sketch(target.engine, theirs[what])
            if one.size != other.size:
                yield f"{month}: {one.size:,} {what}s in the source, {other.size:,} in the copy"
            elif one != other:
                yield f"{month}: a {what} of the copy differs from the source"
        if source.engine.tally([source.keys.base(month)]) != target.engine.tally([target.keys.base(month)]):
            yield f"{month}: the copy has other numbers of forgotten bans"
    older = source.engine.hashes([source.keys.meta])[0].get("layout") != str(LAYOUT)
    for dimension in INDEXED:
        one_size = source.engine.sizes([source.keys.top(dimension)])[0]
        other_size = target.engine.sizes([target.keys.top(dimension)])[0]
        if one_size != other_size and (one_size or not older):  # which may lack a dimension
            yield f"{dimension}: {one_size:,} values in the source, {other_size:,} in the copy"
    for fault in check(target.engine, target.keys, progress=progress):
        if not isinstance(fault, StaleHash):
            yield f"{fault.key} {fault.what}"


def _sketch(reader: Reader, listed: list[str]) -> Sketch:
    sketch = Sketch()
    for id_, fields in scan.hashes(reader, listed):
        sketch.add((id_, frozenset(fields.items())))
    return sketch
