"""Rebuild a ledger: derive all entries from the hashes again.

Theory of operation. Nothing is emptied first: missing entries are added, wrong ones corrected, and surplus ones
removed, by `Engine.mend`. So readers are served meanwhile, an interruption leaves the ledger no worse than before, and
a second run continues. Month by month, the entries in the month's slot are compared and repaired, and ids are added to
the sets outside. These ids are counted, and only a set whose size differs from its count is searched for surplus ids.
Memory: the ids of one month, and a counter for each set.

Hashes are repaired before anything is derived from them: damaged ones (see `repair`), and user names of restored bans
that earlier versions recorded as the text of a list (see `users`).

No other process may write to the ledger meanwhile.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from msgspec import Struct

from banledger.errors import StoreError
from banledger.ledger import scan
from banledger.ledger.ban import PENDING, Ban, from_hash, to_hash
from banledger.ledger.dimensions import DAY, INDEXED
from banledger.ledger.found import Found, read_bans
from banledger.ledger.gap import from_hash as gap_from_hash
from banledger.ledger.implied import Implied
from banledger.ledger.keys import Keyspace
from banledger.ledger.merge import with_whole_users
from banledger.ledger.progress import Progress, silent
from banledger.ledger.repair import Repairs
from banledger.ledger.row_days import RowDays
from banledger.ledger.tokens import source_token
from banledger.ledger.tombstone import is_tombstone
from banledger.stores.api import Engine, Hash, Repair
from banledger.stores.change import Entries, Score
from banledger.stores.fields import YEAR_3000, Damaged
from banledger.stores.pages import pages

_AT_ONCE = 10_000
_COPY = "the store is damaged: save the bans that can be read: banledger store copy"


class Rebuilt(Struct, frozen=True):
    """The result of a rebuild, as numbers.

    bans, gaps  hashes that entries were derived from
    unreadable  damaged hashes that could not be repaired and were moved to quarantine
    users       restored bans whose user names were repaired
    repaired    damaged hashes in which a field was dropped, or derived again
    removed     keys of a wrong type, invalid outboxes and invalid lines set aside that were removed
    """

    bans: int
    gaps: int
    unreadable: int
    users: int = 0
    repaired: int = 0
    removed: int = 0


def rebuild(engine: Engine, keys: Keyspace, now: float, progress: Progress = silent) -> Rebuilt:
    """Rebuild all entries (UTC epoch `now`). Raises StoreError; may be repeated after any failure."""
    repairs = Repairs(engine, keys)
    repairs.shapes()
    engine.settle()
    repairs.hashes()
    work = _Rebuild(engine, keys, now, progress)
    work.months()
    for dimension in INDEXED:
        work.dimension(dimension)
    work.rows.mend(engine)
    work.rankings()
    repairs.outboxes()
    return Rebuilt(work.bans, len(work.gaps), repairs.quarantined, work.users, repairs.repaired, repairs.removed)


class _Rebuild:
    """One run. The counters are of entries that follow from the hashes."""

    def __init__(self, engine: Engine, keys: Keyspace, now: float, progress: Progress) -> None:
        self._engine = engine
        self._keys = keys
        self._now = now
        self._progress = progress
        self._sizes: Counter[str] = Counter()  # of sets outside, by key
        self.rows = RowDays(engine, keys)
        self._sources: set[str] = set()
        self._days: Counter[str] = Counter()
        self.gaps: dict[str, float] = {}
        self.bans = self.users = 0

    # Month by month.

    def months(self) -> None:
        """Rebuild the months' slots, and add every id to its sets outside."""
        months = scan.months(self._engine, self._keys)
        real = []
        for done, month in enumerate(months):
            self._progress("months", done, len(months))
            if self._month(month):
                real.append(month)
        self._progress("months", len(months), len(months))
        self._set(self._keys.months, set(real))

    def _month(self, month: str) -> bool:
        """Rebuild one month; return whether it has any hash."""
        there = scan.of_month(self._engine, self._keys, month)
        slot = Implied(self._keys, month)
        for page in pages(self._bans(there["ban"]), _AT_ONCE):
            whole = self._with_whole_users(page)
            self._sources |= {source_token(ban.server, ban.jail) for ban in page}
            self.bans += sum(ban.origin != PENDING for ban in page)
            self._join(slot, [self._keys.entries(ban) for ban in whole])
            for ban in whole if self.rows.kept else ():
                self.rows.add(ban.id, to_hash(ban))
        for id_, fields in scan.hashes(self._engine, there["gap"]):
            self.gaps[id_] = gap_from_hash(fields).seen
        for key in () if self.rows.kept else slot.sets.keys() | set(there["day"]):
            self._set(key, slot.sets[key])
        for key in slot.tallies.keys() | set(there["count"]):
            wrong = _differences(key, slot.tallies[key], dict(self._engine.entries(key)))
            self._mend(wrong, tallies=True)
        for key in (self._keys.pending(month), self._keys.waiting(month)):
            self._scores(key, slot.scores[key])
        return bool(there["ban"] or there["gap"])

    def _bans(self, listed: list[str]) -> Iterator[Ban]:
        for id_, fields in scan.hashes(self._engine, listed):
            if not is_tombstone(fields):
                try:
                    yield from_hash(id_, fields)
                except Damaged as error:  # it was repaired or moved, but the store has it all the same
                    raise StoreError(f"the ban {id_} can't be repaired: {error}", hint=_COPY) from error

    def _with_whole_users(self, bans: list[Ban]) -> list[Ban]:
        """Return the bans with their user names repaired, in their hashes too."""
        whole = [with_whole_users(ban) for ban in bans]
        changed = {self._keys.ban(new.id): new for new, old in zip(whole, bans, strict=True) if new is not old}
        if changed:
            hashes = zip(changed.items(), self._engine.hashes(list(changed)), strict=True)
            self._engine.put({key: _with_users_of(ban, fields) for (key, ban), fields in hashes})
            self.users += len(changed)
        return whole

    def _join(self, slot: Implied, several: list[Entries]) -> None:
        """Add ids to sets outside, and to lists of active bans."""
        joins: list[tuple[str, str]] = []
        scores: list[Score] = []
        for entries in several:
            scores += [score for score in slot.add(entries) if score.score is None or score.score >= self._now]
            for ranking in entries.rankings:
                if ranking.key == self._keys.top(DAY):
                    self._days[ranking.member] += 1
                else:
                    joins.append((ranking.sources[0], entries.member))
        self._sizes.update(key for key, _ in joins)
        self._engine.mend(Repair(joins=joins, scores=scores))

    # Outside the months.

    def dimension(self, dimension: str) -> None:
        """Remove surplus ids from the sets of a dimension, and set its ranking to their sizes."""
        head, top = self._keys.members(dimension, ""), self._keys.top(dimension)
        ranked, done = self._engine.sizes([top])[0], 0
        for page in () if self.rows.kept else pages(self._engine.keys(head + "*")):
            self._progress(dimension, done, ranked)
            done += len(page)
            for key, card in zip(page, self._engine.sizes(page), strict=True):
                if card != self._sizes[key]:
                    self._sift(key)
        sizes = {key.removeprefix(head): size for key, size in self._sizes.items() if size and key.startswith(head)}
        self._scores(top, sizes)

    def _sift(self, key: str) -> None:
        for page in pages(self._engine.members(key), _AT_ONCE):
            stays = [_belongs(self._keys, key, ban) for ban in read_bans(self._engine, self._keys, page)]
            pairs = [(key, id_) for id_ in page]
            self._engine.mend(
                Repair(
                    [pair for pair, stay in zip(pairs, stays, strict=True) if stay],
                    [pair for pair, stay in zip(pairs, stays, strict=True) if not stay],
                )
            )

    def rankings(self) -> None:
        """Rebuild the ranking of days, the lists of active bans, the gaps, the other indexes and the sources."""
        self._scores(self._keys.top(DAY), self._days)
        self._scores(self._keys.gaps, self.gaps)
        for index, key in scan.indexes(self._keys).items():
            listed = dict(self._engine.entries(index))
            there = [name.removeprefix(key("")) for name in self._engine.keys(key("") + "*")]
            moments = {member: score for member, score in listed.items() if 0 <= score < YEAR_3000}
            self._scores(index, {member: moments.get(member, self._now) for member in there})
        found = scan.sources(self._engine, self._keys)
        for tok in found:
            self._active(self._keys.active_of(tok))
        hashed = {tok for tok in found if self._engine.hashes([self._keys.source(tok)])[0]}
        self._set(self._keys.sources, self._sources | hashed)

    def _active(self, key: str) -> None:
        """Remove bans from a list of active bans that are not active, or belong to another source."""
        for page in pages(list(self._engine.entries(key)), _AT_ONCE):
            bans = read_bans(self._engine, self._keys, [id_ for id_, _ in page])
            pairs = zip(page, [_active_score(self._keys, key, ban) for ban in bans], strict=True)
            self._mend([Score(key, id_, score) for (id_, have), score in pairs if score != have])

    # Writes.

    def _set(self, key: str, wanted: set[str]) -> None:
        actual = set(self._engine.members(key))
        if actual != wanted or self._engine.sizes([key])[0] != len(wanted):
            joins = [(key, member) for member in sorted(wanted)]
            self._engine.mend(Repair(joins, [(key, member) for member in sorted(actual - wanted)]))

    def _scores(self, key: str, wanted: Mapping[str, float]) -> None:
        self._mend(_differences(key, wanted, dict(self._engine.entries(key))))

    def _mend(self, scores: list[Score], *, tallies: bool = False) -> None:
        for page in pages(scores, _AT_ONCE):
            self._engine.mend(Repair(tallies=page) if tallies else Repair(scores=page))


def _with_users_of(ban: Ban, fields: Hash) -> Hash:
    """Return the hash with the ban's users; other fields are kept, also those of a newer version."""
    others = {name: value for name, value in fields.items() if name != "users"}
    return others | {name: value for name, value in to_hash(ban).items() if name == "users"}


def _differences(key: str, wanted: Mapping[str, float], actual: Mapping[str, float]) -> list[Score]:
    wrong = [Score(key, name, float(score)) for name, score in wanted.items() if actual.get(name) != score]
    return wrong + [Score(key, name, None) for name in actual if name not in wanted]


def _belongs(keys: Keyspace, key: str, ban: Found) -> bool:
    return isinstance(ban, Ban) and key in keys.entries(ban).sets


def _active_score(keys: Keyspace, key: str, ban: Found) -> float | None:
    """Return the score of an entry of a list of active bans; None: it does not belong there."""
    if not isinstance(ban, Ban):
        return None
    return ban.expires if ban.open and ban.origin != PENDING and keys.active(ban.server, ban.jail) == key else None
