"""The keys of a ledger, and the entries of a ban under them. Pure: no store, no clock.

Theory of operation. A ban is one hash; all other entries are derived from it and can be derived again. Keys that change
together are in one slot: the keys of a month contain the month as hash tag (`{2611}`), so a cluster keeps them on one
node, and a `Change` is atomic there, conditional on the hash (`guard`). Sets by address, jail, country … are in other
slots, and are written after the hash: adding an id twice is harmless, and a ranking is set to the size of its set,
never incremented. `entries` returns all entries of a ban, in its slot and outside. Outside text in a key is a *token*:
percent-encoded, bounded, and reversible unless it was cut.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeAlias

from banledger.ledger import dimensions
from banledger.ledger.ban import GUARDED, PENDING, STANDING_FIELDS, Ban, from_hash, to_hash
from banledger.ledger.dimensions import DAY, INDEXED
from banledger.ledger.gap import Gap
from banledger.ledger.gap import to_hash as to_gap_hash
from banledger.ledger.ids import ban_id
from banledger.ledger.months import months_of
from banledger.ledger.projection import BanProjection
from banledger.ledger.tokens import source_token, token
from banledger.ledger.tombstone import is_tombstone
from banledger.spool.events import GapLine
from banledger.stores import fields as read
from banledger.stores.change import NOTHING, Change, Entries, Ranking, Score

_Tokens: TypeAlias = tuple[list[tuple[str, str]], list[tuple[str, str]]]

LAYOUT = 3
"""The version of this layout, in the ledger's `meta` hash."""

OLDEST = 1
"""The oldest layout that can be copied: what a copy reads has been the same since."""

PENDING_KEPT_S = 7 * 86_400
"""How long an amendment waits for its ban, seconds."""

_ROWS = tuple(dimensions.TABLE.values())
_TALLIED = tuple(row.name for row in _ROWS if row.tallied)
_INDEXES = tuple((row.name, row.token) for row in _ROWS if row.indexed and row.token)
_SEVERAL = tuple(row for row in _ROWS if row.indexed and not row.token)
_MORE = tuple((row.name, row.token) for row in _ROWS if row.tallied and not row.indexed and row.token)
_UNGUARDED = frozenset(("matches", "expires"))  # no entries follow from `matches`; `expires` may be missing
_FEW = frozenset(row.name for row in _ROWS if row.few)


class Keyspace:
    """The keys under one prefix. Threads may share it."""

    standing_fields = (*STANDING_FIELDS, "expires")

    def __init__(self, prefix: str = "bans") -> None:
        self.prefix = prefix
        self.projection = BanProjection(prefix)
        self.meta = f"{prefix}:meta"
        self.months = f"{prefix}:months"
        self.sources = f"{prefix}:sources"
        self.gaps = f"{prefix}:gaps"
        self.feed = f"{prefix}:feed"
        self.networks = f"{prefix}:whois"
        self.cells = f"{prefix}:cells"
        self.lookups = f"{prefix}:lookups"
        self.aside = f"{prefix}:aside"
        self.imported = f"{prefix}:imported"
        self.rebuild = f"{prefix}:rebuild"
        self.recorders = f"{prefix}:recorders"
        self.heartbeats = f"{prefix}:heartbeats"
        self.forget = f"{prefix}:forget"
        self.forgetter = f"{prefix}:forgetter"
        self._top = {name: f"{prefix}:top:{name}" for name in (*INDEXED, DAY)}
        self.active = lru_cache(maxsize=1024)(self._make_active)
        self._ranking = lru_cache(maxsize=8192)(self._make_ranking)
        self._counts_of = lru_cache(maxsize=512)(self._make_counts_of)
        self._day_ranking = lru_cache(maxsize=4096)(self._make_day_ranking)

    def slot(self, month: str) -> str:
        """The prefix of the keys of a month (YYMM)."""
        return f"{self.prefix}:{{{month}}}:"

    def ban(self, id_: str) -> str:
        """The hash of a ban."""
        return f"{self.prefix}:{{{id_[:4]}}}:ban:{id_}"

    def gap(self, id_: str) -> str:
        """The hash of a gap."""
        return f"{self.prefix}:{{{id_[:4]}}}:gap:{id_}"

    def day(self, month: str, day: str) -> str:
        """The set of a local day's bans in the UTC month `month` (YYMM)."""
        return f"{self.prefix}:{{{month}}}:day:{day}"

    def days(self, day: str) -> tuple[str, ...]:
        """All sets of a local day: at a month's edge it is in two UTC months."""
        return tuple(self.day(month, day) for month in months_of(day))

    def count(self, month: str, day: str, dimension: str) -> str:
        """The tally of a local day by a dimension, for bans in the UTC month `month`."""
        return f"{self.prefix}:{{{month}}}:count:{day}:{dimension}"

    def tallies_of(self, month: str, day: str) -> list[str]:
        """All tallies of a local day, for bans in the UTC month `month`."""
        return list(self._counts_of(month, day).values())

    def counts(self, day: str, dimension: str) -> tuple[str, ...]:
        """All tallies of a local day by a dimension."""
        return tuple(self.count(month, day, dimension) for month in months_of(day))

    def pending(self, month: str) -> str:
        """Amendments of that month that wait for their ban, scored by the time they are removed."""
        return f"{self.prefix}:{{{month}}}:pending"

    def base(self, month: str) -> str:
        """The tally of that month's forgotten bans by source, so that totals of all time never fall."""
        return f"{self.prefix}:{{{month}}}:base"

    def waiting(self, month: str) -> str:
        """Bans of that month that wait for whois, scored by their time."""
        return f"{self.prefix}:{{{month}}}:waiting"

    def quarantine(self, key: str) -> str:
        """The key to which a rebuild moves a hash whose ban is unknown."""
        return f"{self.prefix}:quarantine:{key.removeprefix(self.prefix + ':')}"

    def network(self, cidr: str) -> str:
        """The hash of a network."""
        return f"{self.prefix}:whois:{cidr}"

    def cell(self, cidr: str) -> str:
        """The hash of a cell."""
        return f"{self.prefix}:cell:{cidr}"

    def outbox(self, month: str) -> str:
        """The work still to be done outside that month's slot, on stores that do it in a separate step."""
        return f"{self.prefix}:{{{month}}}:outbox"

    def members(self, dimension: str, tok: str) -> str:
        """The set of bans by one value of a dimension."""
        return f"{self.prefix}:{dimension}:{tok}"

    def top(self, dimension: str) -> str:
        """The all-time ranking of a dimension's values (tokens) by number of bans."""
        return self._top[dimension]

    def source(self, tok: str) -> str:
        """The hash of a source, by its token. See `source_token`."""
        return f"{self.prefix}:source:{tok}"

    def label(self, tok: str) -> str:
        """The lease on a server label, by the label's token."""
        return f"{self.prefix}:label:{tok}"

    def position(self, server: str) -> str:
        """The positions of a server's writers. See `positions`."""
        return f"{self.prefix}:position:{token(server)}"

    def imports(self, server: str) -> str:
        """The counts of a server's imports. See `import_count`."""
        return f"{self.prefix}:imports:{token(server)}"

    def active_of(self, tok: str) -> str:
        """The bans of a source that were not lifted, scored by the time they run out."""
        return f"{self.prefix}:active:{tok}"

    def _make_active(self, server: str, jail: str) -> str:
        return self.active_of(source_token(server, jail))

    def _make_ranking(self, dimension: str, tok: str) -> Ranking:
        return Ranking(self._top[dimension], tok, (f"{self.prefix}:{dimension}:{tok}",))

    def _make_counts_of(self, month: str, day: str) -> dict[str, str]:
        return {name: self.count(month, day, name) for name in _TALLIED}

    def _make_day_ranking(self, day: str) -> Ranking:
        return Ranking(self.top(DAY), day, self.days(day))

    def entries(self, ban: Ban) -> Entries:
        """Return all entries of the ban."""
        return self._entries(ban, _tokens(ban))

    def _entries(self, ban: Ban, tokens: _Tokens) -> Entries:
        if ban.origin == PENDING:
            return Entries(ban.id, scores=self._scores(ban))
        indexed, counted = tokens
        rankings = [self._ranking(*place) if place[0] in _FEW else self._make_ranking(*place) for place in indexed]
        keys = self._counts_of(ban.id[:4], ban.day)
        return Entries(
            ban.id,
            (self.day(ban.id[:4], ban.day), *[ranking.sources[0] for ranking in rankings]),
            self._scores(ban),
            tuple([(keys[name], tok) for name, tok in indexed] + [(keys[name], tok) for name, tok in counted]),
            (*rankings, self._day_ranking(ban.day)),
            self.feed,
        )

    def _beside_row(self, ban: Ban) -> Entries:
        """Return those entries of the ban that do not follow from its row."""
        return Entries(ban.id, (), self._scores(ban), (), (), "" if ban.origin == PENDING else self.feed)

    def _scores(self, ban: Ban) -> tuple[Score, ...]:
        """Return the entries of the lists of pending, active and waiting bans."""
        if ban.origin == PENDING:
            return (Score(self.pending(ban.id[:4]), ban.id, ban.seen + PENDING_KEPT_S),)
        active = (Score(self.active(ban.server, ban.jail), ban.id, ban.expires),) if ban.open else ()
        return (*active, Score(self.waiting(ban.id[:4]), ban.id, float(ban.time))) if ban.waits else active

    def entries_of(self, key: str, fields: Mapping[str, str]) -> Entries:
        """Return all entries of the hash at `key`, given its `fields`; empty if it is gone. Raises `fields.Damaged`."""
        id_ = key.rpartition(":")[2]
        if not fields or is_tombstone(fields):
            return Entries(id_)
        return self._gap_entries(id_, fields) if key == self.gap(id_) else self.entries(from_hash(id_, fields))

    def _gap_entries(self, id_: str, fields: Mapping[str, str]) -> Entries:
        return Entries(id_, scores=(Score(self.gaps, id_, read.moment(fields, "seen")),))

    def change(self, have: Ban | None, ban: Ban, derives: Callable[[str], bool] | None = None) -> Change:
        """Return the change from the store's record (None: absent) to `ban`.

        `derives`: the method of the engine; the change names only what it needs. None: everything.
        """
        key, fields = self.ban(ban.id), to_hash(ban)
        derived = derives is not None and derives(key)
        if have is None:
            return Change(key, None, fields, (), NOTHING, self._beside_row(ban) if derived else self.entries(ban))
        had = to_hash(have)
        before, after = (self._beside_row(have), self._beside_row(ban)) if derived else self._both(have, ban)
        return Change(
            key,
            _guard(had),
            # `expires` is always written: a hash that was repaired may lack it
            {name: value for name, value in fields.items() if had.get(name) != value or name == "expires"},
            tuple([name for name in had if name not in fields]),
            before,
            after,
        )

    def _both(self, have: Ban, ban: Ban) -> tuple[Entries, Entries]:
        """Return the entries of two states of a ban."""
        tokens, now = _tokens(have), _tokens(ban)
        before = self._entries(have, tokens)
        if now != tokens:
            return before, self._entries(ban, now)
        # most changes move nothing
        return before, Entries(ban.id, before.sets, self._scores(ban), before.tallies, before.rankings, before.feed)

    def removal(self, ban: Ban) -> Change:
        """Return the change that removes a ban."""
        return Change(self.ban(ban.id), whole_guard(ban), None, before=self.entries(ban), after=Entries(ban.id))

    def assertion(self, ban: Ban) -> Change:
        """Return a change that leaves the ban as it is, and writes its entries again, except tallies."""
        entries = self.entries(ban)
        before = Entries(ban.id, tallies=entries.tallies)
        return Change(self.ban(ban.id), _guard(to_hash(ban)), {}, before=before, after=entries)

    def gap_change(self, line: GapLine) -> Change:
        """Return the change that records a gap. A line that is read again gives the same change."""
        about = f"{line.seen:.6f}/{line.seq}/{line.bans}/{line.others}"
        id_ = ban_id(line.server, line.jail, about, int(line.seen))
        fields = to_gap_hash(Gap(line.server, line.jail, line.since, line.seen, line.bans, line.others, line.reason))
        return Change(self.gap(id_), None, fields, after=self._gap_entries(id_, fields))

    def gap_assertion(self, key: str, fields: Mapping[str, str]) -> Change:
        """See `assertion`, for a gap."""
        return Change(key, {"seen": fields["seen"]}, {}, after=self.entries_of(key, fields))


def _tokens(ban: Ban) -> _Tokens:
    """Return the (dimension, token) pairs that a ban is indexed by, and those that it is only counted by."""
    if ban.origin == PENDING:
        return [], []
    indexed = [(name, tok) for name, get in _INDEXES if (tok := get(ban))]
    indexed += [(row.name, tok) for row in _SEVERAL for tok in row.tokens(ban)]
    return indexed, [(name, tok) for name, get in _MORE if (tok := get(ban))]


def whole_guard(ban: Ban) -> dict[str, str | None]:
    """Return the values of all fields that decide the ban's entries."""
    had = to_hash(ban)
    return _guard(had) | {name: value for name, value in had.items() if name not in _UNGUARDED}


def _guard(had: Mapping[str, str]) -> dict[str, str | None]:
    return {name: had.get(name) for name in GUARDED}
