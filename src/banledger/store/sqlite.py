"""The embedded engine: one SQLite file, its tables shaped as the store's hashes, sets and sorted sets.

Theory of operation. `key` names every key once and knows the size of its set; the other tables refer to it by number.
A batch is one transaction, so nothing is ever left half done and `settle` has nothing to settle. `tally` holds the
sorted sets that are only added up, `ranking` those that are read by rank and so have an index by score.

SQLite before 3.51.3 can corrupt a WAL file when two connections write or checkpoint at once. So there is one writer,
under a lock on a file beside the ledger; readers open `mode=ro`, which is refused a checkpoint. The writer's last
act is to let a read-only connection outlive it: so `-wal` and `-shm` stay, and a reader that may not create them
can always open the ledger.
"""

import fcntl
import os
import sqlite3
import stat
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import msgspec

from banledger.errors import (
    LedgerLocked,
    LedgerMissing,
    LedgerNewer,
    NotALedger,
    StoreError,
    StoreUnavailable,
)
from banledger.keyspace import Change
from banledger.store.engine import Applied, Conflict, Hash, Outcome, Repair, Scored

_SCHEMA = """
CREATE TABLE key (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, card INTEGER NOT NULL);
CREATE TABLE hash (key INTEGER PRIMARY KEY, fields BLOB NOT NULL);
CREATE TABLE member (key INTEGER, member TEXT, PRIMARY KEY (key, member)) WITHOUT ROWID;
CREATE TABLE tally (key INTEGER, member TEXT, score INTEGER NOT NULL, PRIMARY KEY (key, member)) WITHOUT ROWID;
CREATE TABLE ranking (key INTEGER, member TEXT, score REAL NOT NULL, PRIMARY KEY (key, member)) WITHOUT ROWID;
CREATE INDEX ranking_by_score ON ranking (key, score, member);
"""

# `card` is the size of a set, 1 for a hash; sorted sets are counted when somebody asks.
_EXISTS = (
    "CASE kind WHEN 'tally' THEN EXISTS (SELECT 1 FROM tally WHERE tally.key = key.id)"
    " WHEN 'ranking' THEN EXISTS (SELECT 1 FROM ranking WHERE ranking.key = key.id) ELSE card > 0 END"
)
_CARD = (
    "CASE kind WHEN 'tally' THEN (SELECT count(*) FROM tally WHERE tally.key = key.id)"
    " WHEN 'ranking' THEN (SELECT count(*) FROM ranking WHERE ranking.key = key.id) ELSE card END"
)

_APPLICATION_ID = 0x62616E73  # "bans", in the header of the file (PRAGMA application_id)
_FILE_LAYOUT = 1  # PRAGMA user_version
_PAGE = 1000
_CACHE_KIB = 8 * 1024
_CHECKPOINT_PAGES = 4000
_NUMBERS_KEPT = 16_384

_WHO_MAY = "check its owner and mode; members of its group may read it"

HASH, SET, TALLY, RANKING = "hash", "set", "tally", "ranking"
_TABLE_OF = {SET: "member", TALLY: "tally", RANKING: "ranking"}
_REDIS_KIND = {HASH: "hash", SET: "set", TALLY: "zset", RANKING: "zset"}

_Place = TypeVar("_Place", int, str)

_hash_decoder = msgspec.json.Decoder(Hash)
_encode = msgspec.json.encode


def open_reader(path: Path) -> "SqliteReader":
    """The ledger at `path`, to read. Raises LedgerMissing, NotALedger, StoreUnavailable."""
    if not _is_there(path):
        raise LedgerMissing(
            f"there is no ledger at {path}",
            hint="start the recorder (banledger record), or name another with --store or BANLEDGER_STORE",
        )
    with _translated(path):
        connection = _connect(f"file:{quote(str(path.absolute()))}?mode=ro")
        try:
            _check_header(connection, path)
        except BaseException:
            connection.close()
            raise
    return SqliteReader(connection, path)


def open_writer(path: Path) -> "SqliteEngine":
    """The ledger at `path`, to write; made if it does not exist.

    Raises LedgerLocked if another process writes to it, NotALedger, StoreUnavailable.
    """
    _is_there(path)
    lock = _open_or_make(_lock_beside(path), path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise LedgerLocked(
            f"another recorder writes to {path}", hint="systemctl status banledger; stop it first"
        ) from error
    try:
        with _translated(path):
            return SqliteEngine(_open_for_writing(path), path, lock)
    except BaseException:
        os.close(lock)
        raise


def _is_there(path: Path) -> bool:
    """Whether there is a file. Raises NotALedger for a directory, StoreUnavailable where we may not look."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StoreUnavailable(f"can't open {path}: {error.strerror}", hint=_WHO_MAY) from error
    if stat.S_ISDIR(mode):
        raise NotALedger(f"{path} is a directory, not a ledger", hint="give the path of a file")
    return True


def _file_at(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _lock_beside(path: Path) -> Path:
    """One lock a file, by whichever name or link it is opened."""
    real = Path(os.path.realpath(path))
    return real.with_name(real.name + ".lock")


def _open_or_make(file: Path, ledger: Path) -> int:
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise StoreUnavailable(
            f"can't write {file.name} for {ledger}: {error.strerror}", hint="check the folder and who owns it"
        ) from error


def _open_for_writing(path: Path) -> sqlite3.Connection:
    if not path.exists():
        os.close(_open_or_make(path, path))
    connection = _connect(f"file:{quote(str(path.absolute()))}?mode=rw")
    try:
        _check_header(connection, path, may_be_empty=True)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID};"
                f" PRAGMA user_version = {_FILE_LAYOUT}; COMMIT;"
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5, cached_statements=64)


def _check_header(connection: sqlite3.Connection, path: Path, *, may_be_empty: bool = False) -> None:
    connection.execute("BEGIN")
    made_by, layout, tables = (
        connection.execute(question).fetchone()[0]
        for question in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    connection.execute("COMMIT")
    if made_by == 0 and layout == 0 and tables == 0:
        if may_be_empty:
            return
        raise LedgerMissing(f"the ledger at {path} is empty", hint="start the recorder: banledger record")
    if made_by != _APPLICATION_ID:
        raise NotALedger(f"{path} is a database, but not banledger's", hint="choose another path for the ledger")
    if layout > _FILE_LAYOUT:
        raise LedgerNewer(f"{path} was made by a newer banledger (file layout {layout})", hint="upgrade banledger")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error, path) from error
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, why: object) -> NotALedger:
    return NotALedger(
        f"{path} is no ledger, or damaged: {why}",
        hint="is the path right? If it is a ledger's, restore a copy; a new ledger gets what is banned now",
    )


def _beyond(last: _Place, now: _Place, path: Path) -> _Place:
    """Where the next page begins. In a damaged file the order may be lost, and pages would never end."""
    if now <= last:
        raise _damaged(path, "its order is lost")
    return now


def _translate(error: sqlite3.Error, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreUnavailable(f"the disk that holds {path} is full", hint="make room; bans wait in the spool")
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return _damaged(path, error)
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY):
        return StoreUnavailable(f"can't open {path}: {error}", hint=_WHO_MAY)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR):
        return StoreUnavailable(f"can't use {path} now: {error}", hint="check the disk; it is tried again")
    return StoreError(f"{path}: {error}", hint="the file may be damaged: restore a copy")


class SqliteReader:
    """See `engine.Reader`."""

    adds_up = 200_000

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path

    def close(self) -> None:
        """See Reader.close."""
        self._db.close()

    def hashes(self, keys: Sequence[str]) -> list[Hash]:
        """See Reader.hashes."""
        found: dict[str, bytes] = {}
        with _translated(self.path):
            for page in _pages(keys):
                found.update(
                    self._db.execute(
                        "SELECT name, fields FROM json_each(?) JOIN key ON name = value JOIN hash ON hash.key = key.id",
                        (_encode(page),),
                    )
                )
            return [_hash_decoder.decode(found[key]) if key in found else {} for key in keys]

    def members(self, key: str) -> Iterator[str]:
        """See Reader.members."""
        last = ""
        with _translated(self.path):
            while page := self._db.execute(
                "SELECT member FROM member WHERE key = (SELECT id FROM key WHERE name = ?) AND member > ?"
                " ORDER BY member LIMIT ?",
                (key, last, _PAGE),
            ).fetchall():
                yield from (member for (member,) in page)
                last = _beyond(last, page[-1][0], self.path)

    def cards(self, keys: Sequence[str]) -> list[int]:
        """See Reader.cards."""
        found: dict[str, int] = {}
        with _translated(self.path):
            for page in _pages(keys):
                found.update(
                    self._db.execute(
                        f"SELECT name, {_CARD} FROM json_each(?) JOIN key ON name = value",
                        (_encode(page),),
                    )
                )
        return [found.get(key, 0) for key in keys]

    def tally(self, keys: Sequence[str]) -> dict[str, int]:
        """See Reader.tally. Members come as one text a key, and most count 1: those get no row and no look each."""
        total: Counter[str] = Counter()
        listed = (_encode(list(keys)),)
        with _translated(self.path):
            for (members,) in self._db.execute(
                "SELECT (SELECT group_concat(member, '\n') FROM tally WHERE tally.key = key.id)"
                " FROM json_each(?) JOIN key ON name = value",
                listed,
            ):
                total.update(members.split("\n") if members is not None else ())
            for member, more in self._db.execute(
                "SELECT member, score - 1 FROM json_each(?) JOIN key ON name = value JOIN tally ON tally.key = key.id"
                " WHERE score <> 1",
                listed,
            ):
                total[member] += more
        return total

    def scores(self, keys: Sequence[str], members: Sequence[str]) -> list[list[float | None]]:
        """See Reader.scores."""
        wanted = _encode(list(members))
        with _translated(self.path):
            return [
                [
                    score
                    for (score,) in self._db.execute(
                        f"SELECT score FROM json_each(?) LEFT JOIN {table} ON {table}.key = ? AND member = value"
                        " ORDER BY json_each.key",
                        (wanted, number),
                    )
                ]
                for number, table in map(self._sorted_set, keys)
            ]

    def _sorted_set(self, key: str) -> tuple[int, str]:
        row = self._db.execute("SELECT id, kind FROM key WHERE name = ?", (key,)).fetchone()
        if row is None or row[1] not in (TALLY, RANKING):
            return -1, "ranking"
        return row[0], _TABLE_OF[row[1]]

    def ranking(self, key: str, start: int, count: int) -> list[Scored]:
        """See Reader.ranking."""
        with _translated(self.path):
            number, table = self._sorted_set(key)
            return self._db.execute(
                f"SELECT member, score FROM {table} WHERE key = ? ORDER BY score DESC, member DESC LIMIT ? OFFSET ?",
                (number, count, start),
            ).fetchall()

    def above(self, key: str, least: float) -> int:
        """See Reader.above."""
        with _translated(self.path):
            number, table = self._sorted_set(key)
            row = self._db.execute(f"SELECT count(*) FROM {table} WHERE key = ? AND score >= ?", (number, least))
            return int(row.fetchone()[0])

    def kind(self, key: str) -> str:
        """See Reader.kind."""
        with _translated(self.path):
            row = self._db.execute(f"SELECT kind FROM key WHERE name = ? AND {_EXISTS}", (key,)).fetchone()
        return _REDIS_KIND[row[0]] if row else "none"

    def keys(self, pattern: str) -> Iterator[str]:
        """See Reader.keys."""
        last = 0
        with _translated(self.path):
            while page := self._db.execute(
                f"SELECT id, name FROM key WHERE name GLOB ? AND id > ? AND {_EXISTS} ORDER BY id LIMIT ?",
                (pattern, last, _PAGE),
            ).fetchall():
                yield from (name for _, name in page)
                last = _beyond(last, page[-1][0], self.path)


class SqliteEngine(SqliteReader):
    """See `engine.Engine`. The only writer of its file."""

    shared = False
    replay_s = 0.0

    def __init__(self, connection: sqlite3.Connection, path: Path, lock: int) -> None:
        super().__init__(connection, path)
        self._lock = lock
        self._numbers: dict[str, int] = {}
        self._file = _file_at(path)

    def close(self) -> None:
        """See Reader.close. Leaves `-wal` and `-shm` behind for readers that can't make them."""
        if self._lock < 0:
            return
        with suppress(sqlite3.Error), closing(_connect(f"file:{quote(str(self.path.absolute()))}?mode=ro")) as keeper:
            keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")  # so that the file alone is a good copy
            self._db.close()
        self._db.close()
        os.close(self._lock)
        self._lock = -1

    def cautions(self) -> list[str]:
        """See Engine.cautions."""
        return []

    def settle(self) -> int:
        """See Engine.settle. A transaction leaves nothing undone."""
        return 0

    def apply(self, changes: Iterable[Change]) -> list[Outcome]:
        """See Engine.apply. All changes that do not conflict are one transaction."""
        if not (changes := list(changes)):
            return []
        with self._transaction():
            current = self.hashes([change.key for change in changes])
            outcomes: list[Outcome] = []
            accepted: list[tuple[Change, Hash]] = []
            for change, have in zip(changes, current, strict=True):
                if _holds(change.guard, have):
                    accepted.append((change, have))
                    outcomes.append(Applied())
                else:
                    outcomes.append(Conflict(have))
            if accepted:
                self._write(accepted)
        return outcomes

    def mend(self, repair: Repair) -> None:
        """See Engine.mend. One transaction; the sizes of its sets are counted, not trusted."""
        kinds = {key: SET for key, _ in (*repair.joins, *repair.leaves)}
        kinds.update((mark.key, TALLY) for mark in repair.tallies)
        kinds.update((mark.key, RANKING) for mark in repair.marks)
        with self._transaction():
            self._name(kinds)
            self._db.executemany("INSERT OR IGNORE INTO member VALUES (?, ?)", self._numbered(repair.joins))
            self._db.executemany("DELETE FROM member WHERE key = ? AND member = ?", self._numbered(repair.leaves))
            self._recount(self._numbers[key] for key, kind in kinds.items() if kind == SET)
            self._score({(mark.key, mark.member): mark.score for mark in repair.tallies}, "tally")
            self._score({(mark.key, mark.member): mark.score for mark in repair.marks})

    def enlist(self, key: str, members: Sequence[str]) -> None:
        """See Engine.enlist."""
        with self._transaction():
            self._name({key: SET})
            self._join([(key, member) for member in members])

    def claim(self, key: str, fields: Hash) -> Hash:
        """See Engine.claim."""
        with self._transaction():
            whole = fields | self.hashes([key])[0]
            self._name({key: HASH})
            self._put_hashes([(key, whole)])
        return whole

    def assign(self, key: str, fields: Hash) -> None:
        """See Engine.assign."""
        with self._transaction():
            self._name({key: HASH})
            self._put_hashes([(key, self.hashes([key])[0] | fields)])

    def replace(self, hashes: Mapping[str, Hash]) -> None:
        """See Engine.replace."""
        with self._transaction():
            self._name(dict.fromkeys(hashes, HASH))
            self._put_hashes([(key, fields) for key, fields in hashes.items() if fields])
            self._drop_hashes([key for key, fields in hashes.items() if not fields])

    def lease(self, key: str, holder: str, now: float, until: float) -> bool:
        """See Engine.lease."""
        with self._transaction():
            have = self.hashes([key])[0]
            if have.get("holder", holder) != holder and now < float(have["until"]):
                return False
            self._name({key: HASH})
            self._put_hashes([(key, have | {"holder": holder, "until": repr(until)})])
        return True

    def due(self, key: str, until: float, count: int) -> list[str]:
        """See Engine.due."""
        with _translated(self.path):
            number, table = self._sorted_set(key)
            rows = self._db.execute(
                f"SELECT member FROM {table} WHERE key = ? AND score <= ? ORDER BY score, member LIMIT ?",
                (number, until, count),
            )
            return [member for (member,) in rows]

    def expire(self, key: str, until: float) -> int:
        """See Engine.expire."""
        with self._transaction():
            number, table = self._sorted_set(key)
            return self._db.execute(f"DELETE FROM {table} WHERE key = ? AND score < ?", (number, until)).rowcount

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if _file_at(self.path) != self._file:
            raise StoreUnavailable(
                f"the ledger at {self.path} was moved or deleted", hint="a new one is made; or put it back"
            )
        with _translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._numbers.clear()
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _write(self, accepted: list[tuple[Change, Hash]]) -> None:
        """Everything that the changes hold, coalesced so that each row is written once."""
        batch = _Batch(accepted)
        self._name(batch.kinds(), batch.fresh)
        self._put_hashes(batch.hashes)
        self._join(batch.joins)
        self._leave(batch.leaves)
        self._count(batch.tallies)
        self._score(batch.scores)
        self._rank(batch.rankings)
        self._drop_hashes(batch.removed)

    def _name(self, kinds: dict[str, str], fresh: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        """Give every key its number. `fresh` ones are known to have none yet."""
        if len(self._numbers) > _NUMBERS_KEPT:
            self._numbers.clear()
        unknown = [key for key in kinds if key not in self._numbers]
        for page in _pages([key for key in unknown if key not in fresh], 5000):
            found = self._db.execute("SELECT name, key.id FROM json_each(?) JOIN key ON name = value", (_encode(page),))
            self._numbers.update(found)
        unknown = [key for key in unknown if key not in self._numbers]
        if unknown:
            (last,) = self._db.execute("SELECT coalesce(max(id), 0) FROM key").fetchone()
            self._numbers.update(zip(unknown, range(last + 1, last + 1 + len(unknown)), strict=True))
            self._db.executemany(
                "INSERT INTO key VALUES (?, ?, ?, ?)",
                [(self._numbers[key], key, kinds[key], kinds[key] == HASH) for key in unknown],
            )

    def _put_hashes(self, hashes: list[tuple[str, Hash]]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO hash (key, fields) VALUES (?, ?)",
            [(self._numbers[key], _encode(fields)) for key, fields in hashes],
        )

    def _drop_hashes(self, keys: list[str]) -> None:
        numbers = [(self._numbers.pop(key),) for key in keys]
        self._db.executemany("DELETE FROM hash WHERE key = ?", numbers)
        self._db.executemany("DELETE FROM key WHERE id = ?", numbers)

    def _join(self, pairs: list[tuple[str, str]]) -> None:
        self._resize("INSERT OR IGNORE INTO member VALUES (?, ?)", pairs, 1)

    def _leave(self, pairs: list[tuple[str, str]]) -> None:
        self._resize("DELETE FROM member WHERE key = ? AND member = ?", pairs, -1)

    def _resize(self, statement: str, pairs: list[tuple[str, str]], step: int) -> None:
        """Run the statement for every (key, member), and keep the size of each set."""
        rows = self._numbered(pairs)
        done = self._db.executemany(statement, rows).rowcount if rows else 0
        sizes = Counter(number for number, _ in rows)
        if done == len(rows):
            changes = [(step * size, number) for number, size in sizes.items()]
            self._db.executemany("UPDATE key SET card = card + ? WHERE id = ?", changes)
        else:  # some were there, or gone, before: count
            self._recount(sizes)

    def _numbered(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[int, str]]:
        return sorted({(self._numbers[key], member) for key, member in pairs})

    def _recount(self, numbers: Iterable[int]) -> None:
        recount = "UPDATE key SET card = (SELECT count(*) FROM member WHERE key = ?1) WHERE id = ?1"
        self._db.executemany(recount, [(number,) for number in numbers])

    def _count(self, deltas: dict[tuple[str, str], int]) -> None:
        rows = sorted((self._numbers[key], member, delta) for (key, member), delta in deltas.items() if delta)
        self._db.executemany(
            "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET score = score + excluded.score", rows
        )
        fewer = [(number, member) for number, member, delta in rows if delta < 0]
        self._db.executemany("DELETE FROM tally WHERE key = ? AND member = ? AND score = 0", fewer)

    def _rank(self, rankings: dict[tuple[str, str], tuple[str, ...]]) -> None:
        """Give each ranked member the size of its sets, as they are now."""
        sources = list({source for several in rankings.values() for source in several})
        cards: dict[str, int] = {}
        for page in _pages(sources, 5000):
            cards.update(
                self._db.execute("SELECT name, card FROM json_each(?) JOIN key ON name = value", (_encode(page),))
            )
        self._score(
            {place: float(sum(cards.get(key, 0) for key in several)) or None for place, several in rankings.items()}
        )

    def _score(self, scores: dict[tuple[str, str], float | None], table: str = "ranking") -> None:
        """Give members of sorted sets their score; None removes them."""
        rows = [(self._numbers[key], member, score) for (key, member), score in scores.items()]
        self._db.executemany(
            f"INSERT INTO {table} VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET score = excluded.score WHERE score <> excluded.score",
            sorted((number, member, score) for number, member, score in rows if score is not None),
        )
        self._db.executemany(
            f"DELETE FROM {table} WHERE key = ? AND member = ?",
            [(number, member) for number, member, score in rows if score is None],
        )


class _Batch:
    """What several changes write, each row once."""

    def __init__(self, accepted: list[tuple[Change, Hash]]) -> None:
        self.hashes: list[tuple[str, Hash]] = []
        self.fresh: set[str] = set()
        self.removed: list[str] = []
        self.joins: list[tuple[str, str]] = []
        self.leaves: list[tuple[str, str]] = []
        self.tallies: dict[tuple[str, str], int] = defaultdict(int)
        self.scores: dict[tuple[str, str], float | None] = {}
        self.rankings: dict[tuple[str, str], tuple[str, ...]] = {}
        for change, have in accepted:
            self._add(change, have)

    def _add(self, change: Change, have: Hash) -> None:
        if change.remove:
            self.removed.append(change.key)
        elif have:
            kept = {name: value for name, value in have.items() if name not in change.drop}
            self.hashes.append((change.key, kept | change.fields))
        else:
            self.fresh.add(change.key)
            self.hashes.append((change.key, change.fields))
        for key, member, delta in change.tallies:
            self.tallies[key, member] += delta
        before, after = change.before, change.after
        id_ = after.member or before.member
        if before.sets != after.sets or change.joins or change.leaves:
            self.joins += [(key, id_) for key in (*change.joins, *after.sets) if key not in before.sets]
            self.leaves += [(key, id_) for key in (*change.leaves, *before.sets) if key not in after.sets]
            for ranking in (*before.rankings, *after.rankings):
                self.rankings[ranking.key, ranking.member] = ranking.sources
        for mark in before.marks:
            self.scores[mark.key, mark.member] = None
        for mark in (*change.marks, *after.marks):
            self.scores[mark.key, mark.member] = mark.score

    def kinds(self) -> dict[str, str]:
        """Every key that the batch touches and what it holds."""
        kinds = dict.fromkeys(self.removed, HASH)
        kinds.update((key, HASH) for key, _ in self.hashes)
        kinds.update((key, SET) for key, _ in (*self.joins, *self.leaves))
        kinds.update((key, TALLY) for key, _ in self.tallies)
        kinds.update((key, RANKING) for key, _ in (*self.scores, *self.rankings))
        return kinds


def _holds(guard: dict[str, str | None] | None, have: Hash) -> bool:
    if guard is None:
        return not have
    return bool(have) and all(have.get(name) == value for name, value in guard.items())


def _pages(items: Sequence[str], size: int = 1000) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
