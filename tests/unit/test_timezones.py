"""Time zones that a machine has lost, never had, or can't name."""

import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from banledger import settings
from banledger.errors import SettingsError, StoreError
from banledger.ledger.keys import Keyspace
from banledger.ledger.opening import open_to_read
from banledger.ledger.swap import assign
from banledger.ledger.writer import open_to_write
from banledger.stores import connect
from tests.support.lines import ban
from tests.unit.report.conftest import write

NOW = int(time.time())


def banledger(store: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command line in a process of its own, over a ledger."""
    return subprocess.run(
        [sys.executable, "-m", "banledger", *words],
        env=os.environ | {"BANLEDGER_STORE": str(store)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def move(store: Path, zone: str) -> None:
    """The ledger says that it was made in another zone."""
    with closing(connect.writer(str(store), Keyspace("bans"), connect.Access())) as engine:
        assign(engine, "bans:meta", {"timezone": zone})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write(tmp_path / "ledger.db", [ban("192.0.2.1", NOW - 60)])
    return tmp_path / "ledger.db"


@pytest.mark.parametrize("zone", ["US/Eastern", "Europe/Berlin", "Asia/Calcutta"])
def test_a_zone_that_the_system_lacks_is_found_in_tzdata(store: Path, zone: str) -> None:
    move(store, zone)
    done = banledger(store, "report", PYTHONTZPATH="")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"({zone})" in done.stdout


READING = ["report", "top ip --since 7d", "bans --since today", "show 192.0.2.1", "kv DBSIZE", "store check"]


@pytest.mark.parametrize("words", READING)
def test_a_ledger_with_an_unknown_zone_is_read_in_utc_with_a_warning(store: Path, words: str) -> None:
    move(store, "Mars/\x1bOlympus")
    done = banledger(store, *words.split())
    assert done.returncode == (9 if words == "store check" else 0)  # such a name is damage, and the check says so
    assert done.stderr.count("warning:") == 1
    assert "time zone Mars/\\x1bOlympus is unknown on this machine: dates and times are UTC's" in done.stderr


def test_no_ban_is_recorded_under_a_day_of_another_zone(store: Path, tmp_path: Path) -> None:
    move(store, "Mars/Olympus")
    (tmp_path / "spool").mkdir()
    done = banledger(store, "record", "--once", "--spool", str(tmp_path / "spool"))
    assert done.returncode == 4
    assert "time zone Mars/Olympus is unknown on this machine" in done.stderr
    with pytest.raises(StoreError):
        open_to_write(str(store), "bans")


@pytest.mark.parametrize("named", ["garbage", "CET-1CEST,M3.5.0,M10.5.0/3"])
def test_a_ledger_keeps_its_zone_on_a_machine_with_another(store: Path, tmp_path: Path, named: str) -> None:
    (tmp_path / "spool").mkdir()
    for words in (*READING, f"record --once --spool {tmp_path / 'spool'}"):
        done = banledger(store, *words.split(), TZ=named)
        assert (done.returncode, "warning" in done.stderr) == (0, False), done.stderr


def test_a_ledger_keeps_its_zone_with_an_invalid_setting(store: Path) -> None:
    with closing(open_to_write(str(store), "bans", "Mars/Olympus")) as ledger:
        assert ledger.zone.key != "Mars/Olympus"


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /etc."""
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.setattr(settings, "_LOCALTIME", tmp_path / "localtime")
    monkeypatch.setattr(settings, "_TIMEZONE", tmp_path / "timezone")
    return tmp_path


def zone_of_a_new_ledger(etc: Path) -> str:
    with closing(open_to_write(str(etc / "ledger.db"), "bans")):
        pass
    with closing(open_to_read(str(etc / "ledger.db"), "bans")) as ledger:
        return ledger.zone.key


def test_a_new_ledger_on_a_machine_without_a_zone_has_utc(etc: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert zone_of_a_new_ledger(etc) == "UTC"
    assert not caplog.records


def test_a_link_names_the_zone_of_a_new_ledger(etc: Path) -> None:
    (etc / "localtime").symlink_to("/usr/share/zoneinfo/Asia/Tokyo")
    assert zone_of_a_new_ledger(etc) == "Asia/Tokyo"


def test_a_copied_file_has_the_name_that_etc_timezone_gives(etc: Path) -> None:
    (etc / "localtime").write_bytes(b"TZif2")
    (etc / "timezone").write_text("Asia/Tokyo\n")
    assert zone_of_a_new_ledger(etc) == "Asia/Tokyo"


def test_a_copied_file_without_a_name_gives_utc_with_a_warning(etc: Path, caplog: pytest.LogCaptureFixture) -> None:
    (etc / "localtime").write_bytes(b"TZif2")
    assert zone_of_a_new_ledger(etc) == "UTC"
    assert "time zone has no name" in caplog.text
    caplog.clear()
    assert zone_of_a_new_ledger(etc) == "UTC"
    assert not caplog.records


def test_a_link_to_a_missing_zone_creates_no_ledger(etc: Path) -> None:
    (etc / "localtime").symlink_to("/usr/share/zoneinfo/Mars/Olympus")
    with pytest.raises(SettingsError, match="unknown time zone: Mars/Olympus"):
        zone_of_a_new_ledger(etc)
