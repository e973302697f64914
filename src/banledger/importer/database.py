"""Read fail2ban's own database, `fail2ban.sqlite3`, without changing it. Its content is treated as hostile.

    bans  jail ip timeofban data                      schema 2 (0.9, 0.10)
    bans  jail ip timeofban bantime bancount data     schema 4 (from 0.11); rows are purged after `dbpurgeage`
    bips  the same, the last ban of each ip and jail

`data` is JSON: failures, matches, user names. The file is opened read-only and with its locks; a database in WAL mode
(fail2ban's own is not) is read from a private copy, so that neither its -wal nor its -shm is touched.
"""

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from banledger.importer.messages import text_of_bytes
from banledger.importer.refusal import SourceRefused, unreadable
from banledger.importer.stamps import MOST_AHEAD_S

_LONGEST_NAME = 4096
_LONGEST_DATA = 1 << 20
_LONGEST_MATCH = 1024
_LONGEST_SHOWN = 60
_MOST_MATCHES = 10
_MOST_BANTIME = 2**53
_UNKNOWN_BANTIME = -2  # what fail2ban puts there when it upgrades schema 2
_WAL = b"\2\2"  # at byte 18: versions of the file format for writing and reading
_NEEDED = {"jail", "ip", "timeofban", "data"}


class DatabaseRow(Struct, frozen=True, gc=False, order=True):
    """One ban of a database: `time` is its ticket's second, UTC epoch; bantime 0 and bancount 0: not known.

    `again`: of the same ticket as a row of the other table, which came before.
    """

    time: int
    jail: str
    fid: str
    bantime: int = 0
    bancount: int = 0
    failures: int = 0
    users: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()
    again: bool = False


class Invalid(Struct, frozen=True):
    """A row that is no ban, why, and what it begins with."""

    reason: str
    example: str = ""


@contextmanager
def opened(path: str) -> Iterator[sqlite3.Connection]:
    """The database, read-only. Raises SourceRefused if it is not fail2ban's."""
    with tempfile.TemporaryDirectory(prefix="banledger-") as private:
        at = _copied(path, Path(private)) if _is_wal(path) else Path(path).absolute()
        try:
            connection = sqlite3.connect(
                f"file:{quote(os.fsencode(at))}?mode=ro", uri=True, timeout=10, isolation_level=None
            )
        except sqlite3.Error as error:
            raise SourceRefused(f"it can't be read: {error}") from error
        with closing(connection):
            connection.text_factory = bytes
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 4 * _LONGEST_DATA)
            try:
                connection.execute("PRAGMA trusted_schema = OFF")
                yield connection
            except sqlite3.Error as error:
                raise SourceRefused(f"it can't be read further: {error}") from error


def schema(connection: sqlite3.Connection) -> int:
    """Its schema's version. Raises SourceRefused if it is not fail2ban's."""
    tables = dict(connection.execute("SELECT name, type FROM sqlite_master WHERE name IN ('bans', 'fail2banDb')"))
    if tables != {b"bans": b"table", b"fail2banDb": b"table"}:
        raise SourceRefused("it is a database, but not fail2ban's")
    if not _columns(connection, "bans") >= _NEEDED:
        raise SourceRefused("its table of bans is not fail2ban's")
    version = connection.execute("SELECT version FROM fail2banDb").fetchone()
    return version[0] if version and isinstance(version[0], int) else 0


def rows(connection: sqlite3.Connection, now: float) -> Iterator[DatabaseRow | Invalid]:
    """All its bans; those of one ticket may come twice (UTC epoch `now`). Raises sqlite3.Error."""
    for table, again in (("bans", "0"), ("bips", "(jail, ip, timeofban) IN (SELECT jail, ip, timeofban FROM bans)")):
        columns = _columns(connection, table)
        if not columns >= _NEEDED:
            continue
        more = "bantime, bancount" if columns >= {"bantime", "bancount"} else "0, 0"
        data = f"CASE WHEN length(data) <= {_LONGEST_DATA} THEN data END"
        for row in connection.execute(f"SELECT jail, ip, timeofban, {more}, {data}, {again} FROM {table}"):  # noqa: S608
            try:
                yield _row(row, now)
            except ValueError as error:
                yield Invalid(str(error), ", ".join(map(_shown, row[:3])))


def tickets(connection: sqlite3.Connection, now: float) -> int:
    """The number of different tickets among the bans of `rows`. Raises sqlite3.Error."""
    valid = f"typeof(timeofban) = 'integer' AND timeofban BETWEEN 1 AND {now + MOST_AHEAD_S} AND " + " AND ".join(
        f"typeof({name}) IN ('text', 'blob') AND length(CAST({name} AS BLOB)) BETWEEN 1 AND {_LONGEST_NAME}"
        for name in ("jail", "ip")
    )
    tables = [table for table in ("bans", "bips") if _columns(connection, table) >= _NEEDED]
    union = " UNION ".join(f"SELECT jail, ip, timeofban FROM {table} WHERE {valid}" for table in tables)  # noqa: S608
    (found,) = connection.execute(f"SELECT count(*) FROM ({union})").fetchone()  # noqa: S608
    return int(found)


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {name.decode("utf-8", "replace") for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}


def _row(row: tuple[Any, ...], now: float) -> DatabaseRow:
    jail, fid, time, bantime, bancount, data, again = row
    if not isinstance(time, int) or not 1 <= time <= now + MOST_AHEAD_S:
        raise ValueError("its time is out of range")
    about = _data(data)
    return DatabaseRow(
        time,
        _name(jail, "jail"),
        _name(fid, "banned value"),
        bantime if isinstance(bantime, int) and abs(bantime) <= _MOST_BANTIME and bantime != _UNKNOWN_BANTIME else 0,
        bancount if isinstance(bancount, int) and 0 < bancount <= _MOST_BANTIME else 0,
        _failures(about.get("failures")),
        _users(about),
        _matches(about.get("matches")),
        bool(again),
    )


def _shown(value: object) -> str:
    """A value of an invalid row as an example."""
    return text_of_bytes(value[:_LONGEST_SHOWN]) if isinstance(value, bytes) else str(value)


def _name(raw: object, what: str) -> str:
    if not isinstance(raw, bytes) or not raw:
        raise ValueError(f"its {what} is missing")
    if len(raw) > _LONGEST_NAME:
        raise ValueError(f"its {what} is too long")
    return text_of_bytes(raw)


def _data(raw: object) -> Mapping[str, Any]:
    """The JSON of a ban; nothing if it is anything else. Earlier than 0.9 there was none."""
    try:
        found = json.loads(raw) if isinstance(raw, bytes) else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _failures(value: object) -> int:
    return value if isinstance(value, int) and value is not True and 0 <= value <= _MOST_BANTIME else 0


def _users(about: Mapping[str, Any]) -> tuple[str, ...]:
    """The user names that were tried: a list, its text (see `ledger.users`), or the one name."""
    names = about.get("users") or about.get("user")
    if isinstance(names, str):
        return (names[:_LONGEST_NAME],)
    return (
        tuple(_text(name)[:_LONGEST_NAME] for name in names[:100] if isinstance(name, str))
        if isinstance(names, list)
        else ()
    )


def _matches(lines: object) -> tuple[str, ...]:
    """The last matched lines: each a text, or the parts around its time."""
    last = lines[-_MOST_MATCHES:] if isinstance(lines, list) else []
    whole = ["".join(filter(_is_text, line)) if isinstance(line, list) else line for line in last]
    return tuple(_text(line)[:_LONGEST_MATCH] for line in whole if isinstance(line, str) and line)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _text(text: str) -> str:
    """Text without lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def _is_wal(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            return file.read(20)[18:] == _WAL
    except OSError as error:
        raise SourceRefused(unreadable(error)) from error


def _copied(path: str, private: Path) -> Path:
    for end in ("", "-wal"):
        if Path(path + end).is_file():
            shutil.copyfile(path + end, private / f"copy{end}")
    return private / "copy"
