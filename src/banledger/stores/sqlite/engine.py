"""The embedded engine: a batch is one transaction, so nothing is ever left half done."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from banledger.stores.api import Advance, Applied, Conflict, Hash, Repair, Result, Server
from banledger.stores.change import FEED_KEPT, Change
from banledger.stores.fields import MOST_NUMBER
from banledger.stores.pages import pages
from banledger.stores.sqlite.batch import Batch
from banledger.stores.sqlite.file import (
    HASH,
    RANKING,
    SET,
    TALLY,
    as_json,
    connect,
    is_there,
    open_for_writing,
    translated,
)
from banledger.stores.sqlite.lock import take
from banledger.stores.sqlite.transactions import Transactions

_NUMBERS_KEPT = 16_384
_NO_NUMBER = (0, "")
_NUMBERS = 1 << 62  # no writer gets that far; numbers above are somebody's rubbish, and may have no successor
_encode = msgspec.json.encode


def open_writer(path: Path) -> "SqliteEngine":
    """The ledger at `path`, to write; made if it does not exist.

    Raises LedgerLocked if another process writes to it, NotALedger, StoreUnavailable.
    """
    is_there(path)
    lock = take(path)
    opened: list[sqlite3.Connection] = []
    try:
        with translated(path):
            opened.append(writer := open_for_writing(path, lock))
            opened.append(keeper := connect(path, "ro"))
            keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()  # it has no lock before
        return SqliteEngine(writer, keeper, path, lock)
    except BaseException:
        for connection in opened:
            connection.close()
        lock.close()
        raise


class SqliteEngine(Transactions):
    """See `api.Engine`. The only writer of its file."""

    shared = False
    replay_s = 0.0

    def server(self) -> Server:
        """See Engine.server. There is none."""
        return Server()

    def settle(self) -> int:
        """See Engine.settle. A transaction leaves nothing undone."""
        return 0

    def sweep(self) -> int:
        """See Engine.sweep. Also the empty member of a set, which no reader shows."""
        rubbish = {
            "member": "member >= x'' OR member = ''",
            "tally": "member >= x'' OR score >= ''",
            "ranking": "member >= x'' OR score >= ''",
        }
        with self._transaction():
            gone = sum(self._db.execute(f"DELETE FROM {table} WHERE {row}").rowcount for table, row in rubbish.items())
            gone += self._db.execute("DELETE FROM key WHERE name >= x''").rowcount
            self._numbers.clear()
        return gone

    def apply(self, changes: Iterable[Change], advances: Sequence[Advance] = ()) -> list[Result]:
        """See Engine.apply. All changes that do not conflict are one transaction."""
        if not (changes := list(changes)) and not advances:
            return []
        with self._transaction():
            current = self.hashes([change.key for change in changes])
            outcomes: list[Result] = []
            accepted: list[tuple[Change, Hash]] = []
            for change, have in zip(changes, current, strict=True):
                if _holds(change.guard, have):
                    accepted.append((change, have))
                    outcomes.append(Applied())
                else:
                    outcomes.append(Conflict(have))
            if accepted:
                self._write(accepted)
            if len(accepted) == len(changes):
                self._put_advances(advances)
        return outcomes

    def mend(self, repair: Repair) -> None:
        """See Engine.mend. One transaction; the sizes of its sets are counted, not trusted."""
        kinds = {key: SET for key, _ in (*repair.joins, *repair.leaves)}
        kinds.update((score.key, TALLY) for score in repair.tallies)
        kinds.update((score.key, RANKING) for score in repair.scores)
        with self._transaction():
            self._name(kinds)
            self._db.executemany("INSERT OR IGNORE INTO member VALUES (?, ?)", self._numbered(repair.joins))
            self._db.executemany("DELETE FROM member WHERE key = ? AND member = ?", self._numbered(repair.leaves))
            self._recount(self._numbers[key][0] for key, kind in kinds.items() if kind == SET)
            self._score({(one.key, one.member): one.score for one in repair.tallies}, "tally")
            self._score({(one.key, one.member): one.score for one in repair.scores})

    def put(self, hashes: Mapping[str, Hash]) -> None:
        """See Engine.put."""
        with self._transaction():
            self._name(dict.fromkeys(hashes, HASH))
            self._put_hashes([(key, fields) for key, fields in hashes.items() if fields])
            self._drop_hashes([key for key, fields in hashes.items() if not fields])

    def _put_advances(self, advances: Sequence[Advance]) -> None:
        for one in advances:
            have = self.hashes([one.key])[0]
            kept = {name: value for name, value in have.items() if name not in one.gone}
            raised = {name: new for name, new in one.raised.items() if _number(new) > _number(have.get(name, ""))}
            if (fields := kept | raised) == have:
                continue
            self._name({one.key: HASH})
            if fields:
                self._put_hashes([(one.key, fields)])
            else:
                self._drop_hashes([one.key])

    def _write(self, accepted: list[tuple[Change, Hash]]) -> None:
        """Everything that the changes hold, coalesced so that each row is written once."""
        batch = Batch(accepted)
        self._name(batch.kinds(), batch.fresh)
        self._put_hashes(batch.hashes)
        self._join(batch.joins)
        self._leave(batch.leaves)
        self._count(batch.tallies)
        self._score(batch.scores)
        self._rank(batch.rankings)
        self._feed(batch.fed)
        self._drop_hashes(batch.removed)

    def _name(self, kinds: dict[str, str], fresh: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        """Give every key its number, and make it of that kind. `fresh` ones are known to have no number yet."""
        if len(self._numbers) > _NUMBERS_KEPT:
            self._numbers.clear()
        unknown = self._unknown(kinds)
        for page in pages([key for key in unknown if key not in fresh], 5000):
            found = self._db.execute(
                "SELECT name, key.id, kind FROM json_each(?) JOIN key ON name = value", (as_json(page),)
            )
            for name, number, kind in found.fetchall():
                self._numbers[name] = number, kinds[name]
                if kind != kinds[name]:
                    self._turn_into(number, kinds[name])
        if unknown := self._unknown({key: kinds[key] for key in unknown}):
            (last,) = self._db.execute(f"SELECT coalesce(max(id), 0) FROM key WHERE id < {_NUMBERS}").fetchone()
            self._numbers.update((key, (number, kinds[key])) for number, key in enumerate(unknown, last + 1))
            self._db.executemany(
                "INSERT INTO key VALUES (?, ?, ?, ?) ON CONFLICT (name)"
                " DO UPDATE SET id = excluded.id, kind = excluded.kind, card = excluded.card",  # somebody's rubbish
                [(self._numbers[key][0], key, kinds[key], kinds[key] == HASH) for key in unknown],
            )

    def _unknown(self, kinds: dict[str, str]) -> list[str]:
        """The keys whose number is not known, or that were of another kind when it was."""
        known = self._numbers.get
        return [key for key, kind in kinds.items() if known(key, _NO_NUMBER)[1] != kind]

    def _turn_into(self, number: int, kind: str) -> None:
        """A key that somebody made something else: what it held is of no use."""
        for table in ("hash", "member", "tally", "ranking"):
            self._db.execute(f"DELETE FROM {table} WHERE key = ?", (number,))
        self._db.execute("UPDATE key SET kind = ?, card = ? WHERE id = ?", (kind, kind == HASH, number))

    def _put_hashes(self, hashes: list[tuple[str, Hash]]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO hash (key, fields) VALUES (?, ?)",
            [(self._numbers[key][0], _encode(fields)) for key, fields in hashes],
        )

    def _drop_hashes(self, keys: list[str]) -> None:
        numbers = [(self._numbers.pop(key)[0],) for key in keys]
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
        return sorted({(self._numbers[key][0], member) for key, member in pairs})

    def _recount(self, numbers: Iterable[int]) -> None:
        recount = "UPDATE key SET card = (SELECT count(*) FROM member WHERE key = ?1) WHERE id = ?1"
        self._db.executemany(recount, [(number,) for number in numbers])

    def _count(self, deltas: dict[tuple[str, str], int]) -> None:
        rows = sorted((self._numbers[key][0], member, delta) for (key, member), delta in deltas.items() if delta)
        self._db.executemany(
            "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET score = score + excluded.score", rows
        )
        fewer = [(number, member) for number, member, delta in rows if delta < 0]
        self._db.executemany("DELETE FROM tally WHERE key = ? AND member = ? AND score = 0", fewer)

    def _rank(self, rankings: dict[tuple[str, str], tuple[str, ...]]) -> None:
        """Give each ranked member the size of its sets, as they are now."""
        sources = list({source for several in rankings.values() for source in several})
        cards = dict(zip(sources, self._sizes(sources), strict=True))
        self._score({place: float(sum(cards[key] for key in several)) or None for place, several in rankings.items()})

    def _feed(self, fed: dict[str, list[str]]) -> None:
        """Move members to the end of feeds. A feed with scores that no engine writes begins again."""
        for key, members in fed.items():
            number = self._numbers[key][0]
            highest = "SELECT coalesce(max(score), 0) FROM ranking WHERE key = ? AND score < ''"
            (last,) = self._db.execute(highest, (number,)).fetchone()
            if not 0 <= last < MOST_NUMBER:
                self._db.execute("DELETE FROM ranking WHERE key = ?", (number,))
                last = 0
            first = int(last) + 1
            self._db.executemany(
                "INSERT INTO ranking VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET score = excluded.score",
                [(number, member, score) for score, member in enumerate(members, first)],
            )
            oldest = first + len(members) - FEED_KEPT
            self._db.execute("DELETE FROM ranking WHERE key = ? AND score < ?", (number, oldest))

    def _score(self, scores: dict[tuple[str, str], float | None], table: str = "ranking") -> None:
        """Give members of sorted sets their score; None removes them."""
        rows = [(self._numbers[key][0], member, score) for (key, member), score in scores.items()]
        self._db.executemany(
            f"INSERT INTO {table} VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET score = excluded.score WHERE score <> excluded.score",
            sorted((number, member, score) for number, member, score in rows if score is not None),
        )
        self._db.executemany(
            f"DELETE FROM {table} WHERE key = ? AND member = ?",
            [(number, member) for number, member, score in rows if score is None],
        )


def _number(value: str) -> int:
    """The whole number that a value begins with; -1: none."""
    head = value.partition(" ")[0]
    return int(head) if head.isascii() and head.isdecimal() else -1


def _holds(guard: dict[str, str | None] | None, have: Hash) -> bool:
    if guard is None:
        return not have
    return bool(have) and all(have.get(name) == value for name, value in guard.items())
