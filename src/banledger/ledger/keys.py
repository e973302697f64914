"""Every key of a ledger, and what a ban becomes under them. Pure: no store, no clock.

Theory of operation. A ban is one hash; all else is derived from it and can be made anew. What changes together
lives in one slot: the keys of a month bear the month as hash tag (`{2611}`), so a cluster keeps them on one node
and a `Change` is atomic there, conditional on the hash (`guard`). Sets by address, jail, country … live in other
slots. They follow the hash: adding an id twice is harmless, and a ranking is set to the size of its set, never
counted up. Outside text in a key is a *token*: percent-encoded, bounded, reversible as far as it was not cut.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from msgspec import Struct

from banledger.ledger import dimensions
from banledger.ledger.ban import GUARDED as _GUARDED
from banledger.ledger.ban import PENDING, STANDING_FIELDS, Ban, from_hash, to_hash
from banledger.ledger.dimensions import DAY
from banledger.ledger.ids import ban_id
from banledger.ledger.tokens import source_token, token
from banledger.spool.events import GapLine
from banledger.stores import fields as read
from banledger.stores.change import Change, Mark, Ranking, Standing

LAYOUT = 2
"""The version of this layout, in the ledger's `meta` hash."""

PENDING_KEPT_S = 7 * 86_400
"""How long an amendment waits for its ban, seconds."""

# (what it holds, token of a ban): what has a set, a ranking and a tally a day; and what has a tally only.
_DIMENSIONS = {row.name: (row.holds, row.token) for row in dimensions.TABLE.values() if row.indexed}
_TALLIES = {row.name: (row.holds, row.token) for row in dimensions.TABLE.values() if row.tallied and not row.indexed}

_GETTERS = tuple((name, get) for name, (_, get) in _DIMENSIONS.items() if get)
_MORE = tuple((name, get) for name, (_, get) in _TALLIES.items() if get)
_FEW = frozenset(row.name for row in dimensions.TABLE.values() if row.few)

DIMENSIONS = dimensions.INDEXED
"""What has a set, an all-time ranking and a tally a day."""


class Keyspace:
    """The keys under one prefix. Threads may share it."""

    standing_fields = STANDING_FIELDS

    def __init__(self, prefix: str = "bans") -> None:
        self.prefix = prefix
        self.meta = f"{prefix}:meta"
        self.months = f"{prefix}:months"
        self.sources = f"{prefix}:sources"
        self.gaps = f"{prefix}:gaps"
        self.networks = f"{prefix}:whois"
        self.cells = f"{prefix}:cells"
        self.lookups = f"{prefix}:lookups"
        self.aside = f"{prefix}:aside"
        self.rebuild = f"{prefix}:rebuild"
        self.recorders = f"{prefix}:recorders"
        self._top = {name: f"{prefix}:top:{name}" for name in (*DIMENSIONS, DAY)}
        self.active = lru_cache(maxsize=1024)(self._make_active)
        self._ranking = lru_cache(maxsize=8192)(self._make_ranking)
        self._counts_of = lru_cache(maxsize=512)(self._make_counts_of)
        self._day_ranking = lru_cache(maxsize=4096)(self._make_day_ranking)

    def ban(self, id_: str) -> str:
        """The hash of a ban."""
        return f"{self.prefix}:{{{id_[:4]}}}:ban:{id_}"

    def gap(self, id_: str) -> str:
        """The hash of a gap."""
        return f"{self.prefix}:{{{id_[:4]}}}:gap:{id_}"

    def day(self, month: str, day: str) -> str:
        """The set of a local day's bans whose UTC month is `month` (YYMM)."""
        return f"{self.prefix}:{{{month}}}:day:{day}"

    def days(self, day: str) -> tuple[str, ...]:
        """All sets of one local day: it may reach into the UTC month before or after."""
        return tuple(self.day(month, day) for month in months_of(day))

    def count(self, month: str, day: str, dimension: str) -> str:
        """The tally of a local day by a dimension, for bans whose UTC month is `month`."""
        return f"{self.prefix}:{{{month}}}:count:{day}:{dimension}"

    def tallies_of(self, month: str, day: str) -> list[str]:
        """Every tally of a local day, for bans whose UTC month is `month`."""
        return list(self._counts_of(month, day).values())

    def counts(self, day: str, dimension: str) -> tuple[str, ...]:
        """All tallies of one local day by a dimension."""
        return tuple(self.count(month, day, dimension) for month in months_of(day))

    def pending(self, month: str) -> str:
        """Amendments of that month that wait for their ban, by the time they expire."""
        return f"{self.prefix}:{{{month}}}:pending"

    def waiting(self, month: str) -> str:
        """Bans of that month that wait for whois, by their time."""
        return f"{self.prefix}:{{{month}}}:waiting"

    def quarantine(self, key: str) -> str:
        """Where a rebuild puts a hash of which nobody can tell which ban it was."""
        return f"{self.prefix}:quarantine:{key.removeprefix(self.prefix + ':')}"

    def network(self, cidr: str) -> str:
        """What a registry said of a network."""
        return f"{self.prefix}:whois:{cidr}"

    def cell(self, cidr: str) -> str:
        """What came of asking about a cell."""
        return f"{self.prefix}:cell:{cidr}"

    def outbox(self, month: str) -> str:
        """What is still to be done outside that month's slot, on stores where that is a separate step."""
        return f"{self.prefix}:{{{month}}}:outbox"

    def members(self, dimension: str, tok: str) -> str:
        """The set of bans by one value of a dimension."""
        return f"{self.prefix}:{dimension}:{tok}"

    def top(self, dimension: str) -> str:
        """The all-time ranking of a dimension's values (tokens) by number of bans."""
        return self._top[dimension]

    def source(self, tok: str) -> str:
        """What is known of one jail of one server, by its token. See `source_token`."""
        return f"{self.prefix}:source:{tok}"

    def label(self, tok: str) -> str:
        """The lease on a server label, by its token: which recorder records its bans."""
        return f"{self.prefix}:label:{tok}"

    def position(self, server: str) -> str:
        """How far the lines of a server's writers are recorded. See `position`."""
        return f"{self.prefix}:position:{token(server)}"

    def active_of(self, tok: str) -> str:
        """The bans of a source that were not lifted, by the time they run out."""
        return f"{self.prefix}:active:{tok}"

    def _make_active(self, server: str, jail: str) -> str:
        return self.active_of(source_token(server, jail))

    def _make_ranking(self, dimension: str, tok: str) -> Ranking:
        return Ranking(self._top[dimension], tok, (f"{self.prefix}:{dimension}:{tok}",))

    def _make_counts_of(self, month: str, day: str) -> dict[str, str]:
        return {name: self.count(month, day, name) for name in (*_DIMENSIONS, *_TALLIES)}

    def _make_day_ranking(self, day: str) -> Ranking:
        return Ranking(self.top(DAY), day, self.days(day))

    def standing(self, ban: Ban) -> Standing:
        """Where the ban's id stands outside its slot."""
        return self._standing(ban, _places(ban))

    def _standing(self, ban: Ban, places: list[tuple[str, str]]) -> Standing:
        if ban.origin == PENDING:
            return Standing(ban.id)
        rankings = [self._ranking(*place) if place[0] in _FEW else self._make_ranking(*place) for place in places]
        return Standing(
            ban.id,
            tuple([ranking.sources[0] for ranking in rankings]),
            (*rankings, self._day_ranking(ban.day)),
            (Mark(self.active(ban.server, ban.jail), ban.id, ban.expires if ban.open else None),),
        )

    def tallies(self, ban: Ban) -> list[tuple[str, str]]:
        """The tallies that count the ban: (key, member)."""
        return self._tallies(ban, _places(ban))

    def _tallies(self, ban: Ban, places: list[tuple[str, str]]) -> list[tuple[str, str]]:
        keys = self._counts_of(ban.id[:4], ban.day)
        counted = [(keys[name], tok) for name, tok in places]
        if ban.origin != PENDING:
            counted += [(keys[name], tok) for name, get in _MORE if (tok := get(ban))]
        return counted

    def change(self, have: Ban | None, ban: Ban) -> Change:
        """From what the store has (or nothing) to `ban`."""
        month = ban.id[:4]
        fields = to_hash(ban)
        places = _places(ban)
        if have is None:
            return Change(
                slot=month,
                key=self.ban(ban.id),
                guard=None,
                fields=fields,
                joins=self._day_sets(ban),
                marks=self._marks(None, ban),
                tallies=tuple([(key, tok, 1) for key, tok in self._tallies(ban, places)]),
                after=self._standing(ban, places),
            )
        had = to_hash(have)
        return Change(
            slot=month,
            key=self.ban(ban.id),
            guard={name: had.get(name) for name in _GUARDED},
            fields={name: value for name, value in fields.items() if had.get(name) != value},
            drop=tuple(name for name in had if name not in fields),
            joins=() if have.origin != PENDING else self._day_sets(ban),
            marks=self._marks(have, ban),
            tallies=_difference(self.tallies(have), self._tallies(ban, places)),
            before=self.standing(have),
            after=self._standing(ban, places),
        )

    def removal(self, ban: Ban) -> Change:
        """Take a ban out of the ledger."""
        return Change(
            slot=ban.id[:4],
            key=self.ban(ban.id),
            guard={name: to_hash(ban).get(name) for name in _GUARDED},
            fields={},
            remove=True,
            leaves=self._day_sets(ban),
            marks=tuple(Mark(mark.key, mark.member, None) for mark in self.marks(ban)),
            tallies=_difference(self.tallies(ban), []),
            before=self.standing(ban),
            after=Standing(ban.id),
            gone={name: value for name, value in to_hash(ban).items() if name != "matches"},
        )

    def gap_change(self, line: GapLine) -> Change:
        """The record of events that a writer lost. Recorded once, however often the line is read."""
        about = f"{line.seen:.6f}/{line.seq}/{line.bans}/{line.others}"
        id_ = ban_id(line.server, line.jail, about, int(line.seen))
        fields = {
            "server": line.server,
            "jail": line.jail,
            "since": f"{line.since:.6f}",
            "seen": f"{line.seen:.6f}",
            "bans": str(line.bans),
            "others": str(line.others),
            "reason": line.reason,
        }
        return Change(
            slot=id_[:4],
            key=self.gap(id_),
            guard=None,
            fields=fields,
            after=self._gap_standing(id_, fields),
        )

    def assertion(self, ban: Ban) -> Change:
        """A change that leaves the ban as it is, and puts it again wherever it must stand."""
        had = to_hash(ban)
        return Change(
            slot=ban.id[:4],
            key=self.ban(ban.id),
            guard={name: had.get(name) for name in _GUARDED},
            fields={},
            joins=self._day_sets(ban),
            marks=self.marks(ban),
            before=Standing(ban.id),
            after=self.standing(ban),
        )

    def gap_assertion(self, key: str, fields: dict[str, str]) -> Change:
        """The same of a gap."""
        id_ = key.rpartition(":")[2]
        return Change(
            slot=id_[:4], key=key, guard={"seen": fields["seen"]}, fields={}, after=self._gap_standing(id_, fields)
        )

    def standing_of(self, key: str, fields: Mapping[str, str]) -> Standing:
        """What must stand outside for the hash at `key` as it is now; for one that is gone, nothing."""
        id_ = key.rpartition(":")[2]
        if not fields:
            return Standing(id_)
        if key == self.gap(id_):
            return self._gap_standing(id_, fields)
        # Fields of an older state may stand beside the present `expires`, which follows from one of them.
        return self.standing(from_hash(id_, {name: text for name, text in fields.items() if name != "expires"}))

    def _gap_standing(self, id_: str, fields: Mapping[str, str]) -> Standing:
        return Standing(id_, marks=(Mark(self.gaps, id_, read.moment(fields, "seen")),))

    def _day_sets(self, ban: Ban) -> tuple[str, ...]:
        return () if ban.origin == PENDING else (self.day(ban.id[:4], ban.day),)

    def marks(self, ban: Ban) -> tuple[Mark, ...]:
        """What the ban waits for: entries of sorted sets in its slot."""
        if ban.origin == PENDING:
            return (Mark(self.pending(ban.id[:4]), ban.id, ban.seen + PENDING_KEPT_S),)
        return (Mark(self.waiting(ban.id[:4]), ban.id, float(ban.time)),) if ban.waits else ()

    def _marks(self, have: Ban | None, ban: Ban) -> tuple[Mark, ...]:
        new = self.marks(ban)
        if have is None:
            return new
        gone = self.marks(have)
        kept = [mark.key for mark in new]
        return (*new, *(Mark(mark.key, mark.member, None) for mark in gone if mark.key not in kept))


def _places(ban: Ban) -> list[tuple[str, str]]:
    """(dimension, token) of every set that the ban's id belongs to."""
    if ban.origin == PENDING:
        return []
    places = [(name, tok) for name, get in _GETTERS if (tok := get(ban))]
    places += [("user", token(name)) for name in ban.users]
    return places


def _difference(old: list[tuple[str, str]], new: list[tuple[str, str]]) -> tuple[tuple[str, str, int], ...]:
    gone, come = set(old), set(new)
    return (
        *((key, member, -1) for key, member in old if (key, member) not in come),
        *((key, member, 1) for key, member in new if (key, member) not in gone),
    )


@lru_cache(maxsize=4096)
def months_of(day: str) -> tuple[str, ...]:
    """The UTC months (YYMM) that bans of a local day (YYYY-MM-DD) may have: one, at a month's edge two."""
    year, month, date = int(day[:4]), int(day[5:7]), int(day[8:])
    own = (f"{year % 100:02d}{month:02d}",)
    if date == 1:
        return (_month(year, month - 1), *own)
    if date >= 28:
        return (*own, _month(year, month + 1))
    return own


def _month(year: int, month: int) -> str:
    if month == 0:
        year, month = year - 1, 12
    elif month == 13:
        year, month = year + 1, 1
    return f"{year % 100:02d}{month:02d}"


META_FIELDS = {
    "layout": "version of the keyspace; an older banledger refuses a newer one",
    "timezone": "IANA name of the zone that days and hours are local to; fixed when the ledger is made",
    "ledger": "16 hexadecimal digits, drawn when the ledger is made, that tell it from others; a copy has the same",
    "made_by": "the version that made it; absent in a copy that no recorder has written to",
    "server:<label>": "on a Redis or Valkey: the machine whose bans bear that label (`machine`, or a hash of its "
    "machine-id, or `nameless`); the label is percent-encoded as in keys",
}
"""The fields of the ledger's own hash."""


GAP_FIELDS = {
    "server": "label of the server",
    "jail": "jail of the line that told of it",
    "since": "when the writer could last write, UTC epoch seconds",
    "seen": "when it could again, UTC epoch seconds",
    "bans": "bans that were lost",
    "others": "other events that were lost",
    "reason": "why",
}
"""Every field of a gap's hash and what it holds."""


class KindOfKey(Struct, frozen=True):
    """A kind of key: its first words (`ban`, `top` …) and what it holds, in Redis's words."""

    word: str
    holds: str


def kinds_of_keys(prefix: str = "bans") -> Callable[[str], KindOfKey | None]:
    """A function that tells the kind of a key; None: none that this version knows."""
    rows = describe(prefix)
    kinds = [KindOfKey(_word(key, prefix), holds.replace("sorted set", "zset")) for key, holds, _ in rows]
    patterns = re.compile("|".join(f"({_pattern(key)})" for key, _, _ in rows), re.DOTALL)

    def kind(key: str) -> KindOfKey | None:
        found = patterns.fullmatch(key)
        return kinds[found.lastindex - 1] if found and found.lastindex else None

    return kind


def _word(key: str, prefix: str) -> str:
    return key.removeprefix(f"{prefix}:").removeprefix("{YYMM}:").partition(":<")[0]


def _pattern(key: str) -> str:
    """A row of the table as a regular expression."""
    parts = re.split(r"(<[^>]*>(?:\|<[^>]*>)?|YYMM)", key)
    return "".join(
        "[0-9]{4}" if part == "YYMM" else ".+" if part.startswith("<") else re.escape(part) for part in parts
    )


def describe(prefix: str = "bans") -> list[tuple[str, str, str]]:
    """(key, type, what it holds) of every kind of key: the table of `docs/keyspace.md`."""
    month = f"{prefix}:{{YYMM}}"
    return [
        (f"{month}:ban:<id>", "hash", "one ban"),
        (f"{month}:day:<YYYY-MM-DD>", "set", "ids of the local day's bans in that UTC month"),
        *(
            (f"{month}:count:<YYYY-MM-DD>:{name}", "sorted set", f"bans of the local day by {what}")
            for name, (what, _) in (_DIMENSIONS | _TALLIES).items()
        ),
        (f"{month}:pending", "sorted set", "ids of amendments that wait for their ban, by the time they are forgotten"),
        (f"{month}:waiting", "sorted set", "ids of bans that wait for whois, by their time"),
        (f"{month}:outbox", "hash", "what is still to be done outside the month (empty but for moments, or a crash)"),
        (f"{month}:gap:<id>", "hash", "events that a writer lost: server, jail, since, seen, bans, others, reason"),
        *((f"{prefix}:{name}:<value>", "set", f"ids by {what}") for name, (what, _) in _DIMENSIONS.items()),
        *(
            (f"{prefix}:top:{name}", "sorted set", f"all-time number of bans by {what}")
            for name, what in ({name: what for name, (what, _) in _DIMENSIONS.items()} | {DAY: "local day"}).items()
        ),
        (f"{prefix}:sources", "set", "every source, a jail of a server: `server|jail`"),
        (
            f"{prefix}:source:<server>|<jail>",
            "hash",
            "what is known of a source: state (`running`, `stopped`, `left`), since, version (fail2ban's) …",
        ),
        (
            f"{prefix}:active:<server>|<jail>",
            "sorted set",
            "ids of a source's bans that were not lifted, by the time they run out (`inf`: never)",
        ),
        (f"{prefix}:gaps", "sorted set", "ids of gaps, by the time they ended"),
        (f"{prefix}:whois:<cidr>", "hash", "what a registry said of a network"),
        (f"{prefix}:whois", "sorted set", "networks with a record, by when it was put here"),
        (
            f"{prefix}:cell:<cidr>",
            "hash",
            "what came of asking about a cell: asked, result, network, asn, until …",
        ),
        (f"{prefix}:cells", "sorted set", "cells that were asked about, by when that was put here"),
        (
            f"{prefix}:lookups",
            "hash",
            "who asks the registries (holder, until), and which want to be left alone",
        ),
        (
            f"{prefix}:label:<server>",
            "hash",
            "on a Redis or Valkey: which recorder has the label (nonce, recorder, last), which wants it (rival)",
        ),
        (f"{prefix}:aside", "set", "lines (JSON) about bans whose hash is damaged; recorded when that is mended"),
        (
            f"{prefix}:quarantine:<key>",
            "hash",
            "a damaged hash that a rebuild took away, under its key without the prefix",
        ),
        (
            f"{prefix}:position:<server>",
            "hash",
            "how far the lines of each writer are recorded: its highest and lowest line number, when, and its jail",
        ),
        (f"{prefix}:rebuild", "hash", "on a Redis or Valkey: which `store rebuild` is at work (holder, until)"),
        (
            f"{prefix}:recorders",
            "hash",
            "on a Redis or Valkey: the recorders that are alive, and which rebuild they wait for",
        ),
        (f"{prefix}:months", "set", "the months (YYMM) that have keys"),
        (f"{prefix}:meta", "hash", "what the ledger is: its layout, time zone …"),
    ]
