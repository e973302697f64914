"""What was deleted from an embedded ledger is in no part of its files any more, after a purge."""

import hashlib
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from threading import Event, Thread

import pytest

from banledger.ledger.writer import Ledger
from banledger.stores.sqlite.compaction import Limits
from banledger.stores.sqlite.engine import SqliteEngine, open_writer
from banledger.stores.sqlite.rows import RowWriter
from tests.contract.conftest import KEYS
from tests.contract.test_forget_requests import NOW, asked, carry_out, faults
from tests.support.lines import T0, ban, nowhere, unban

TEXTS = {
    "item": "SELECT fields FROM item",
    "recent": "SELECT CAST(cells AS BLOB) FROM recent WHERE cells IS NOT NULL",
    "part": "SELECT data FROM part",
    "ranking": "SELECT CAST(member AS BLOB) FROM ranking",
    "tally": "SELECT CAST(member AS BLOB) FROM tally",
}
"""What names bans, as it is stored."""


def stored(path: Path) -> set[bytes]:
    """All that stands in the tables."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return {text for question in TEXTS.values() for (text,) in db.execute(question) if len(text) > 8}


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RowWriter, "limits", Limits(pack=256, recent=512, worth=32, most=1024, look=64))


def filled(path: Path) -> Ledger:
    """A ledger of 4,000 bans, most of them amended: so all tables had rows that were written again."""
    ledger = Ledger(open_writer(path, KEYS.projection), KEYS, "Europe/Berlin")
    for first in range(0, 4000, 200):
        several = range(first, first + 200)
        ledger.record(
            [ban(_address(n), T0 + n // 2, users=(f"u{n % 50}",), matches=("m" * (n % 900),)) for n in several], nowhere
        )
        ledger.record([unban(_address(n), T0 + n // 2, T0 + n + 9.0) for n in several if n % 3], nowhere)
    return ledger


def _line(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest() * (number % 20)


def _address(number: int) -> str:
    return f"192.0.2.{number % 250}" if number % 4 else f"198.51.{number % 100}.{number % 250}"


@pytest.mark.parametrize("line", [asked("ip", "192.0.2.0/24"), asked("ip", "198.51.8.0/24"), asked("matches")])
def test_nothing_of_what_was_forgotten_is_left_in_the_file(tmp_path: Path, line: object) -> None:
    path = tmp_path / "ledger.db"
    ledger = filled(path)
    before = stored(path)
    ledger.record([line], nowhere, NOW)  # type: ignore[list-item]
    carry_out(ledger)
    forgotten = before - stored(path)
    files = b"".join(one.read_bytes() for one in tmp_path.iterdir())
    assert len(forgotten) > 10
    assert not [text for text in forgotten if text in files]
    assert b"192.0.2.0/24" not in files
    assert faults(ledger._engine) == []
    ledger.close()


def test_without_a_purge_it_would_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.db"
    ledger = filled(path)
    before = stored(path)
    ledger.record([asked("ip", "192.0.2.0/24")], nowhere, NOW)
    monkeypatch.setattr(SqliteEngine, "purge", lambda _engine, **_: False)
    carry_out(ledger)
    forgotten = before - stored(path)
    ledger.close()
    files = b"".join(one.read_bytes() for one in tmp_path.iterdir())
    assert [text for text in forgotten if text in files]


def test_a_rewritten_file_has_its_temporary_one_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    folder.mkdir()
    ledger = filled(folder / "ledger.db")
    ledger._engine._db.execute("PRAGMA cache_size = 20")  # type: ignore[attr-defined]  # a small file fits into it
    seen: set[str] = set()
    ended = Event()

    def look() -> None:
        while not ended.is_set():
            for fd in Path("/proc/self/fd").iterdir():
                with suppress(OSError):
                    seen.add(str(fd.readlink()))

    looking = Thread(target=look)
    looking.start()
    try:
        for _ in range(5):
            while ledger._engine.purge(rewrite=True):
                pass
    finally:
        ended.set()
        looking.join()
    ledger.close()
    temporary = {Path(name).parent for name in seen if "etilqs_" in name}
    assert temporary <= {folder} and temporary
