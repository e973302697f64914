"""The embedded engine: a batch is one transaction, so nothing is ever left half done."""

import logging
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from banledger.stores.api import Advance, Applied, Conflict, Hash, Repair, Result, Server
from banledger.stores.change import Change, Score
from banledger.stores.packs.pack import DamagedPack
from banledger.stores.selection import Projection
from banledger.stores.sqlite.batch import Batch, row_id
from banledger.stores.sqlite.file import (
    HASH,
    RANKING,
    SET,
    TALLY,
    connect,
    is_there,
    open_for_writing,
    translated,
)
from banledger.stores.sqlite.lock import take
from banledger.stores.sqlite.marks import TWICE
from banledger.stores.sqlite.rows import compact_if_due
from banledger.stores.sqlite.scoring import ScoreWriter, in_order
from banledger.stores.sqlite.stored_id import IS_TEXT, MARKED, OURS, RANKED, Member, item_key, ranked, stored

_APPLIED = Applied()
_log = logging.getLogger("banledger")
_encode = msgspec.json.encode


def open_writer(path: Path, projection: Projection | None = None) -> "SqliteEngine":
    """The ledger at `path`, to write; made if it does not exist. `projection`: the rows that it keeps.

    Raises LedgerLocked if another process writes to it, NotALedger, StoreUnavailable.
    """
    is_there(path)
    sqlite3.register_adapter(bytes, bytes)  # without one, sqlite3 makes and drops an exception for each bytes it binds
    lock = take(path)
    opened: list[sqlite3.Connection] = []
    try:
        with translated(path):
            opened.append(writer := open_for_writing(path, lock))
            opened.append(keeper := connect(path, "ro"))
            keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()  # it has no lock before
        return SqliteEngine(writer, keeper, path, lock, projection)
    except BaseException:
        for connection in opened:
            connection.close()
        lock.close()
        raise


class SqliteEngine(ScoreWriter):
    """See `api.Engine`. The only writer of its file."""

    shared = False
    replay_s = 0.0

    def server(self) -> Server:
        """See Engine.server. There is none."""
        return Server()

    def settle(self) -> int:
        """See Engine.settle. A transaction leaves nothing undone."""
        return 0

    def purge(self, *, rewrite: bool) -> bool:
        """See Engine.purge: packs with rows that were removed, one at a time, and in the end the file as a whole."""
        with self._transaction():
            if self._drop_removed():
                return True
        if rewrite:
            self._rewrite()
        return False

    def _drop_removed(self) -> bool:
        """Write a pack again that has rows that were removed; return whether there was one."""
        try:
            return self._rows is not None and self._rows.drop_removed()
        except DamagedPack as error:
            _log.warning("%s: a damaged pack of rows keeps what was deleted: run banledger store rebuild", error)
            return False

    def sweep(self) -> int:
        """See Engine.sweep. Also the empty member of a set, which no reader shows. Makes indexes again.

        Not items that no key names: such a row may be all that is left of a ban.
        """
        is_text = f"(member >= x'' OR {IS_TEXT.format(column='member')})"
        rubbish = {
            "member": f"NOT {is_text} OR NOT {OURS} OR member = ''",
            "tally": f"NOT {is_text} OR member >= x'' OR score >= ''",
            "ranking": f"NOT {is_text} OR NOT ({RANKED}) OR score >= ''",
            "mark": f"NOT ({MARKED}) OR score >= '' OR {TWICE}",
        }
        with self._transaction():
            self._db.execute("REINDEX")
            gone = sum(self._db.execute(f"DELETE FROM {table} WHERE {row}").rowcount for table, row in rubbish.items())
            gone += self._db.execute(
                f"DELETE FROM key WHERE name >= x'' OR NOT {IS_TEXT.format(column='name')}"
            ).rowcount
            self._db.execute("UPDATE key SET card = 0 WHERE kind IN ('tally', 'ranking') AND card <> 0")
            gone += self._rows.sweep() if self._rows else 0
            self._numbers.clear()
        return gone

    def apply(self, changes: Iterable[Change], advances: Sequence[Advance] = ()) -> list[Result]:
        """See Engine.apply. All changes that do not conflict are one transaction."""
        if not (changes := list(changes)) and not advances:
            return []
        with self._transaction():
            current = self.hashes([change.key for change in changes])
            pairs = list(zip(changes, current, strict=True))
            accepted = [pair for pair in pairs if _holds(pair[0].guard, pair[1])]
            outcomes: list[Result] = [_APPLIED] * len(pairs)
            if len(accepted) < len(pairs):
                outcomes = [_APPLIED if _holds(change.guard, have) else Conflict(have) for change, have in pairs]
            if accepted:
                self._write(accepted)
            if len(accepted) == len(changes):
                self._put_advances(advances)
        compact_if_due(self._rows, self._transaction)
        return outcomes

    def derives(self, key: str) -> bool:
        """See Engine.derives."""
        return self._projection is not None and row_id(self._projection, key) is not None

    def mend(self, repair: Repair) -> None:
        """See Engine.mend. One transaction; the sizes of its sets are counted, not trusted."""
        joins, leaves = self._stored(repair.joins), self._stored(repair.leaves)
        kinds = {key: SET for key, _ in (*joins, *leaves)}
        kinds.update((score.key, TALLY) for score in repair.tallies)
        kinds.update((score.key, RANKING) for score in repair.scores)
        with self._transaction():
            self._name(kinds)
            self._db.executemany("INSERT OR IGNORE INTO member VALUES (?, ?)", self._numbered(joins))
            self._db.executemany("DELETE FROM member WHERE key = ? AND member = ?", self._numbered(leaves))
            self._recount(self._numbers[key][0] for key, kind in kinds.items() if kind == SET)
            self._score({(one.key, one.member): one.score for one in repair.tallies}, "tally")
            self._mend({(one.key, ranked(one.member)): one.score for one in repair.scores})
            self._project(dict(zip(repair.rows, self.hashes(repair.rows), strict=True)))
        compact_if_due(self._rows, self._transaction)

    def _stored(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, Member]]:
        """Return the pairs of sets that are stored, as they are."""
        derived = self._derived.find if self._derived else lambda _: None
        return [(key, stored(member)) for key, member in pairs if not derived(key)]

    def _project(self, hashes: Mapping[str, Hash]) -> None:
        """Write the rows of these hashes."""
        if self._rows and self._projection:
            rows = {row_id(self._projection, key): self._projection.cells(fields) for key, fields in hashes.items()}
            self._rows.put({id_: cells for id_, cells in rows.items() if id_})

    def put(self, hashes: Mapping[str, Hash], scores: Sequence[Score] = ()) -> None:
        """See Engine.put. One transaction."""
        with self._transaction():
            self._name({key: HASH for key in hashes if not item_key(key)} | {one.key: RANKING for one in scores})
            self._remove_names([key for key in hashes if item_key(key)])
            self._put_hashes([(key, fields) for key, fields in hashes.items() if fields])
            self._drop_hashes([key for key, fields in hashes.items() if not fields])
            self._mend({(one.key, ranked(one.member)): one.score for one in scores})
            self._project(hashes)
        compact_if_due(self._rows, self._transaction)

    def _put_advances(self, advances: Sequence[Advance]) -> None:
        for one in advances:
            have = self.hashes([one.key])[0]
            kept = {name: value for name, value in have.items() if name not in one.gone}
            raised = {name: new for name, new in one.raised.items() if _number(new) > _number(have.get(name, ""))}
            if (fields := kept | raised) == have:
                continue
            self._name({} if item_key(one.key) else {one.key: HASH})
            if fields:
                self._put_hashes([(one.key, fields)])
            else:
                self._drop_hashes([one.key])

    def _write(self, accepted: list[tuple[Change, Hash]]) -> None:
        """Everything that the changes hold, coalesced so that each row is written once."""
        batch = Batch(accepted, self._projection)
        self._name(batch.kinds(), batch.fresh)
        self._put_hashes(batch.hashes)
        self._join(batch.joins)
        self._leave(batch.leaves)
        self._put_scores(batch)
        self._drop_hashes(batch.removed)
        if self._rows:
            self._rows.put(batch.rows)

    def _put_hashes(self, hashes: list[tuple[str, Hash]]) -> None:
        named = self._items.put(self._db, hashes)
        for key, _ in hashes:
            if key in self._numbers and item_key(key):
                del self._numbers[key]  # if it becomes a set again, its item must go
        self._db.executemany(
            "INSERT OR REPLACE INTO hash (key, fields) VALUES (?, ?)",
            [(self._numbers[key][0], _encode(fields)) for key, fields in named],
        )

    def _drop_hashes(self, keys: list[str]) -> None:
        self._items.drop(self._db, keys)
        numbers = [(self._numbers.pop(key)[0],) for key in keys if not item_key(key)]
        self._db.executemany("DELETE FROM hash WHERE key = ?", numbers)
        self._db.executemany("DELETE FROM key WHERE id = ?", numbers)

    def _join(self, pairs: list[tuple[str, Member]]) -> None:
        self._resize("INSERT OR IGNORE INTO member VALUES (?, ?)", pairs, 1)

    def _leave(self, pairs: list[tuple[str, Member]]) -> None:
        self._resize("DELETE FROM member WHERE key = ? AND member = ?", pairs, -1)

    def _resize(self, statement: str, pairs: list[tuple[str, Member]], step: int) -> None:
        """Run the statement for every (key, member), and keep the size of each set."""
        rows = self._numbered(pairs)
        done = self._db.executemany(statement, rows).rowcount if rows else 0
        sizes = Counter(number for number, _ in rows)
        if done == len(rows):
            changes = [(step * size, number) for number, size in sizes.items()]
            self._db.executemany("UPDATE key SET card = card + ? WHERE id = ?", changes)
        else:  # some were there, or gone, before: count
            self._recount(sizes)

    def _numbered(self, pairs: Sequence[tuple[str, Member]]) -> list[tuple[int, Member]]:
        return in_order({(self._numbers[key][0], member) for key, member in pairs})

    def _recount(self, numbers: Iterable[int]) -> None:
        recount = "UPDATE key SET card = (SELECT count(*) FROM member WHERE key = ?1) WHERE id = ?1"
        self._db.executemany(recount, [(number,) for number in numbers])


def _number(value: str) -> int:
    """The whole number that a value begins with; -1: none."""
    head = value.partition(" ")[0]
    return int(head) if head.isascii() and head.isdecimal() and len(head) <= 20 else -1


def _holds(guard: dict[str, str | None] | None, have: Hash) -> bool:
    if guard is None:
        return not have
    return bool(have) and all(have.get(name) == value for name, value in guard.items())
