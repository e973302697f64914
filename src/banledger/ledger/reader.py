"""Read a ledger: questions about bans, over any engine."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from banledger.errors import LedgerMissing, LedgerNewer, LedgerOlder, NotALedger, SettingsError
from banledger.ledger.ban import Ban
from banledger.ledger.dimensions import DAY, INDEXED
from banledger.ledger.found import Found, read_bans
from banledger.ledger.gap import Gap
from banledger.ledger.gap import from_hash as gap_from_hash
from banledger.ledger.heartbeat import Heartbeat
from banledger.ledger.heartbeats import read_heartbeats
from banledger.ledger.ids import newest_first
from banledger.ledger.keys import LAYOUT, Keyspace
from banledger.ledger.networks import NetworksReader
from banledger.ledger.source import STOPPED, Source
from banledger.ledger.source import parsed as parsed_source
from banledger.stores import fields as read
from banledger.stores.api import Reader
from banledger.stores.fields import Damaged

_AT_ONCE = 500
_MOST_AT_ONCE = 32_000
_IDENTITY = re.compile("[0-9a-f]{16}")
_NOTED = 100  # damaged keys


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone with that IANA name. Raises SettingsError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(
            f"unknown time zone: {name}",
            hint="set timezone to an IANA name such as Europe/Berlin or UTC",
        ) from error


def remains(engine: Reader, keys: Keyspace) -> bool:
    """Whether a ledger without `meta` has other keys."""
    return any([*engine.sizes([keys.months, *map(keys.top, INDEXED)])])


class LedgerReader:
    """Answers questions about a ledger. Raises LedgerMissing, LedgerOlder, LedgerNewer or NotALedger when created.

    `oldest`: the oldest layout that is accepted. Older ones than this version's can only be copied.

    zone          its time zone; UTC if this machine does not know it
    damaged_keys  damaged hashes that were left out of answers, with the reason
    unknown_zone  the name of its time zone if this machine does not know it; otherwise empty. The days of recorded bans
                  are in the ledger and stay right; dates and times computed from `zone` are UTC
    """

    def __init__(self, engine: Reader, keyspace: Keyspace, oldest: int = LAYOUT) -> None:
        self._reader = engine
        self.keys = keyspace
        self.damaged_keys: dict[str, str] = {}
        meta = engine.hashes([keyspace.meta])[0]
        if not meta and remains(engine, keyspace):
            raise NotALedger(
                f"the ledger with the prefix {keyspace.prefix} has lost {keyspace.meta}, though other keys are left:"
                " the store evicted it, or another program deleted it",
                hint="see docs/stores.md, 'When keys are gone'",
            )
        if not meta:
            raise LedgerMissing(
                f"there is no ledger with the prefix {keyspace.prefix} yet",
                hint="check store and prefix; the service creates a ledger (sudo banledger setup, or banledger record)",
            )
        self._check(meta, oldest)
        self.unknown_zone = ""
        try:
            self.zone = zone_of(meta["timezone"])
        except SettingsError:
            self.zone, self.unknown_zone = zone_of("UTC"), meta["timezone"]

    @cached_property
    def networks(self) -> NetworksReader:
        """The networks and cells."""
        return NetworksReader(self._reader, self.keys)

    def _check(self, meta: dict[str, str], oldest: int = LAYOUT) -> None:
        try:
            layout, _ = read.whole(meta, "layout"), read.required(meta, "timezone")
        except read.Damaged as error:
            raise NotALedger(f"{self.keys.meta} is not banledger's: {error}", hint="choose another prefix") from error
        if layout < oldest:
            raise LedgerOlder(
                f"the ledger has layout {layout}, this banledger works with {LAYOUT}",
                hint="stop the recorder, copy the ledger (banledger store copy FROM TO), and go on with the copy",
            )
        if layout > LAYOUT:
            raise LedgerNewer(
                f"the ledger has layout {layout}, this banledger knows {LAYOUT}",
                hint="upgrade banledger, or restore a backup from before the upgrade: banledger store restore FILE",
            )

    def close(self) -> None:
        """Close the store."""
        self._reader.close()

    def store(self) -> Reader:
        """Return the engine, to read keys directly."""
        return self._reader

    @property
    def merge_limit(self) -> int:
        """See Reader.merge_limit."""
        return self._reader.merge_limit

    def bans(self, ids: Sequence[str]) -> list[Ban | None]:
        """Return the ban of each id; None: absent, forgotten, or its hash is damaged (see `damaged_keys`)."""
        return [ban if isinstance(ban, Ban) else None for ban in self.bans_or_damage(ids)]

    def bans_or_damage(self, ids: Sequence[str]) -> list[Found]:
        """Return what is recorded of each id. See `Found`."""
        found = read_bans(self._reader, self.keys, ids)
        for id_, ban in zip(ids, found, strict=True):
            if isinstance(ban, Damaged):
                self._note(self.keys.ban(id_), ban)
        return found

    def _note(self, key: str, error: Damaged) -> None:
        if len(self.damaged_keys) < _NOTED:
            self.damaged_keys[key] = str(error)

    def ids(self, dimension: str, tok: str) -> Iterator[str]:
        """Return the ids of all bans with that value (a token) of a dimension, in no order."""
        return self._reader.members(self.keys.members(dimension, tok))

    def ids_of_day(self, day: str) -> list[str]:
        """Return the ids of a local day's bans (YYYY-MM-DD), newest first."""
        return newest_first([id_ for key in self.keys.days(day) for id_ in self._reader.members(key)])

    def sizes(self, dimension: str, toks: Sequence[str]) -> list[int]:
        """Return how many bans each value of a dimension has, all time."""
        return self._reader.sizes([self.keys.members(dimension, tok) for tok in toks])

    def days(self) -> dict[str, int]:
        """Return the number of bans of each local day with bans, oldest first."""
        return {day: count for day, count in sorted(self.ranked(DAY)) if read.day_number(day) is not None}

    def ranked(self, dimension: str) -> Iterator[tuple[str, int]]:
        """Return the values (tokens) of a dimension with their all-time number of bans, most first, in pages.

        For those with most bans: the deeper a page, the longer it takes. `values` reads all of them faster.
        """
        start, count = 0, _AT_ONCE
        while page := self._reader.ranking(self.keys.top(dimension), start, count):
            yield from [(tok, bans) for tok, score in page if (bans := read.count_of(score)) > 0]
            start, count = start + len(page), min(2 * count, _MOST_AT_ONCE)  # a page may cost a look at all members

    def values(self, dimension: str) -> Iterator[tuple[str, int]]:
        """Return the values (tokens) of a dimension with their all-time number of bans, in no order, in pages."""
        for tok, score in self._reader.entries(self.keys.top(dimension)):
            if (bans := read.count_of(score)) > 0:
                yield tok, bans

    def distinct(self, dimension: str) -> int:
        """Return how many values a dimension has, all time."""
        return self._reader.sizes([self.keys.top(dimension)])[0]

    def tally(self, dimension: str, days: Iterable[str]) -> dict[str, int]:
        """Return bans by value (token) of a dimension, also `hour` and pairs, on these local days together."""
        return self._reader.tally([key for day in days for key in self.keys.counts(day, dimension)])

    def ever_by_source(self) -> dict[str, int]:
        """Return how many bans each source (`server|jail`) ever had, forgotten ones too: numbers that never fall."""
        months = list(self._reader.members(self.keys.months))
        tallies = [key for day in self.days() for key in self.keys.counts(day, "server+jail")]
        return self._reader.tally([*tallies, *map(self.keys.base, months)])

    def tally_of(self, dimension: str, toks: Sequence[str], days: Sequence[str]) -> list[list[int]]:
        """Return, for each day, the number of bans of each of these values."""
        keys = [self.keys.counts(day, dimension) for day in days]
        scores = iter(self._reader.scores([key for several in keys for key in several], toks))
        return [_added([next(scores) for _ in several]) for several in keys]

    def distinct_on(self, dimension: str, days: Sequence[str]) -> list[int]:
        """Return how many values a dimension has on each of these local days."""
        keys = [self.keys.counts(day, dimension) for day in days]
        sizes = iter(self._reader.sizes([key for several in keys for key in several]))
        each_day = [[next(sizes) for _ in several] for several in keys]
        # At a month's edge a day may have two tallies, and a value may be in both.
        return [
            len(self.tally(dimension, [day])) if len(several) > 1 and all(several) else sum(several)
            for day, several in zip(days, each_day, strict=True)
        ]

    def leaders(self, dimension: str, day: str, count: int) -> list[str]:
        """Return the values (tokens) with most bans on a local day: `count`, at a month's edge up to twice that."""
        pages = [self._reader.ranking(key, 0, count) for key in self.keys.counts(day, dimension)]
        return [tok for page in pages for tok, _ in page]

    def at_least(self, dimension: str, bans: int) -> int:
        """Return how many values of a dimension have at least `bans` bans, all time."""
        return self._reader.sizes([self.keys.top(dimension)], bans)[0]

    def banned_now(self, now: float) -> int:
        """Return how many bans are in force. Bans of stopped sources are not."""
        running = [tok for tok, source in self._sources_by_token.items() if source.state != STOPPED]
        return sum(self._reader.sizes([self.keys.active_of(tok) for tok in running], now))

    @property
    def sources(self) -> list[Source]:
        """All known sources, with or without bans."""
        return list(self._sources_by_token.values())

    @property
    def stopped(self) -> dict[tuple[str, str], float]:
        """The stopped sources (server, jail), and when they stopped (UTC epoch seconds)."""
        sources = self._sources_by_token.values()
        return {(source.server, source.jail): source.since for source in sources if source.state == STOPPED}

    @cached_property
    def _sources_by_token(self) -> dict[str, Source]:
        """All sources. Read once."""
        listed = sorted(self._reader.members(self.keys.sources))
        hashes = self._reader.hashes([self.keys.source(tok) for tok in listed])
        return {tok: self._source(tok, fields) for tok, fields in zip(listed, hashes, strict=True)}

    def _source(self, tok: str, fields: dict[str, str]) -> Source:
        name = fields.get("server", ""), fields.get("jail", "")
        try:
            return parsed_source(fields, name)
        except Damaged as error:
            self._note(self.keys.source(tok), error)
            return Source(*name)

    def waiting(self) -> int:
        """Return how many bans wait for whois."""
        return sum(self._reader.sizes([self.keys.waiting(month) for month in self._reader.members(self.keys.months)]))

    def newest_waiting(self, start: int, count: int) -> list[str]:
        """Return a page of the ids of bans that wait for whois, newest first."""
        ids: list[str] = []
        waiting = [self.keys.waiting(month) for month in sorted(self._reader.members(self.keys.months), reverse=True)]
        for key, size in zip(waiting, self._reader.sizes(waiting), strict=True):
            if start < size and len(ids) < count:
                ids += [id_ for id_, _ in self._reader.ranking(key, start, count - len(ids))]
            start = max(0, start - size)
        return ids

    def gaps(self) -> list[Gap]:
        """Return the gaps, newest first."""
        ids = [id_ for id_, _ in self._reader.ranking(self.keys.gaps, 0, 10_000)]
        keys = [self.keys.gap(id_) for id_ in ids]
        return [
            gap for key, fields in zip(keys, self._reader.hashes(keys), strict=True) if (gap := self._gap(key, fields))
        ]

    def heartbeats(self) -> list[Heartbeat]:
        """Return what each recorder says about itself, in no order."""
        beats, damage = read_heartbeats(self._reader, self.keys)
        if damage:
            self._note(self.keys.heartbeats, damage)
        return beats

    def _gap(self, key: str, fields: dict[str, str]) -> Gap | None:
        try:
            return gap_from_hash(fields) if fields else None
        except Damaged as error:
            self._note(key, error)
            return None


def _added(rows: Sequence[Sequence[float | None]]) -> list[int]:
    if len(rows) == 1:
        return [read.count_of(score or 0) for score in rows[0]]
    return [sum(read.count_of(score or 0) for score in column) for column in zip(*rows, strict=True)]


def parsed_meta(fields: dict[str, str]) -> None:
    """Check the ledger's own hash. Raises `fields.Damaged`."""
    if fields:
        read.whole(fields, "layout")
    if fields and not _IDENTITY.fullmatch(read.required(fields, "ledger")):
        raise Damaged("ledger", "is not 16 hexadecimal digits")
    read.word(fields, "made_by")
    for name in fields:
        if name.startswith("server:"):
            read.word({name[:80]: fields[name]}, name[:80])
    try:
        zone_of(read.required(fields, "timezone")) if fields else None
    except SettingsError:
        raise Damaged("timezone", "is unknown on this machine") from None
