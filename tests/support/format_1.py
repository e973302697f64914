"""A ledger's file as it was in format 1: every hash as JSON under its key's name, every id as text."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from banledger.stores.api import Reader

_SCHEMA = """
CREATE TABLE key (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, card INTEGER NOT NULL);
CREATE TABLE hash (key INTEGER PRIMARY KEY, fields BLOB NOT NULL);
CREATE TABLE member (key INTEGER, member TEXT, PRIMARY KEY (key, member)) WITHOUT ROWID;
CREATE TABLE tally (key INTEGER, member TEXT, score INTEGER NOT NULL, PRIMARY KEY (key, member)) WITHOUT ROWID;
CREATE TABLE ranking (key INTEGER, member TEXT, score REAL NOT NULL, PRIMARY KEY (key, member)) WITHOUT ROWID;
CREATE INDEX ranking_by_score ON ranking (key, score, member);
PRAGMA application_id = 0x62616E73;
PRAGMA user_version = 1;
"""


def write_format_1(path: Path, source: Reader) -> Path:
    """Make a file of format 1 that holds what `source` holds."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(_SCHEMA)
        for number, key in enumerate(source.keys("*"), 1):
            _write(database, number, key, source)
        database.commit()
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).touch()
    return path


def _write(database: sqlite3.Connection, number: int, key: str, source: Reader) -> None:
    (kind,), card = source.kinds([key]), 0
    if kind == "hash":
        card = 1
        database.execute("INSERT INTO hash VALUES (?, ?)", (number, msgspec.json.encode(source.hashes([key])[0])))
    elif kind == "set":
        members = list(source.members(key))
        card = len(members)
        database.executemany("INSERT INTO member VALUES (?, ?)", [(number, member) for member in members])
    else:
        kind = "tally" if ":count:" in key else "ranking"
        scores = source.ranking(key, 0, 1_000_000)
        database.executemany(f"INSERT INTO {kind} VALUES (?, ?, ?)", [(number, *scored) for scored in scores])
    database.execute("INSERT INTO key VALUES (?, ?, ?, ?)", (number, key, kind, card))
