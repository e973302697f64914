"""`banledger record` as a process, in good times and bad."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banledger.errors import StoreError
from banledger.ledger.opening import open_to_read
from banledger.ledger.writer import open_to_write
from banledger.stores.sqlite.file import TOO_NEW
from tests.support.lines import ban, nowhere
from tests.support.segments import Writer

from .conftest import wait_for


class Service:
    """A running `banledger record` and all that it says."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.said = folder / "said"
        known = {name: value for name, value in os.environ.items() if not name.startswith("BANLEDGER_")}
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "banledger", "record", *arguments],
                stdout=said,
                stderr=said,
                env=known | environment,
            )

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self.said.read_text()

    def wait_for(self, words: str, times: int = 1) -> None:
        """Until it has said these words so often, or fail."""
        wait_for(lambda: self.text.count(words) >= times)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=10)


class Place:
    """Where a test's spool, ledger and settings are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self.store = folder / "ledger.db"
        self.config = folder / "banledger.toml"
        self.spool.mkdir()
        self.services: list[Service] = []

    @property
    def options(self) -> list[str]:
        """Flags that name spool and ledger."""
        return ["--spool", str(self.spool), "--store", str(self.store)]

    def start(self, *arguments: str, **environment: str) -> Service:
        """The service, which the test may leave running."""
        service = Service(self.folder, *(arguments or self.options), **environment)
        self.services.append(service)
        return service

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """The exit code of a command that ends by itself, and what it said."""
        service = self.start(*arguments, **environment)
        return service.process.wait(timeout=20), service.text

    def configure(self, **values: object) -> None:
        """Write the settings file."""
        self.config.touch(mode=0o600)
        self.config.write_text("".join(f"{name} = '{value}'\n" for name, value in values.items()))

    def bans(self, store: Path | None = None) -> int:
        """How many bans the ledger has; none where there is no ledger."""
        try:
            ledger = open_to_read(str(store or self.store), "bans")
        except StoreError:
            return 0
        try:
            return sum(ledger.days().values())
        finally:
            ledger.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A place of its own; whatever runs there is ended, and nothing ever said a traceback."""
    made = Place(tmp_path)
    yield made
    for service in made.services:
        service.process.kill()
        service.process.wait()
    assert all("Traceback" not in service.text for service in made.services)


@pytest.fixture
def writer(place: Place) -> Iterator[Writer]:
    """What the action would write."""
    made = Writer(place.spool)
    yield made
    made.close()


def error_of(said: str) -> list[str]:
    """The lines of an error."""
    return [line for line in said.splitlines() if line.startswith(("error: ", "hint: "))]


# What it refuses to start with.


def test_wrong_settings_end_the_service_with_every_mistake_in_one_line(place: Place) -> None:
    place.config.write_text("store = 5\nsped = 'x'\n")
    code, said = place.run("--config", str(place.config), BANLEDGER_PREFIX="a b")
    assert code == 3
    error, hint = error_of(said)
    for words in ("store must be text", "unknown setting 'sped'", "prefix must be letters"):
        assert words in error
    assert hint.startswith("hint: known settings: store, spool")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--sped", "x"], 2, "no such option"),
        (["more"], 2, "unexpected extra argument"),
        (["--config", "/nowhere/banledger.toml"], 3, "no settings file at /nowhere/banledger.toml"),
        (["--store", "carrier-pigeon://x"], 3, "unknown kind of store"),
        (["--store", "."], 4, "is a directory"),
    ],
)
def test_an_invalid_command_line_is_refused(place: Place, arguments: list[str], code: int, words: str) -> None:
    got, said = place.run("--spool", str(place.spool), *arguments)
    assert (got, words in said.lower()) == (code, words in said.lower()) == (code, True), said
    assert len(error_of(said)) == 2


@pytest.mark.parametrize("once", [["--once"], []])
def test_a_ledger_of_a_newer_banledger_is_refused_and_not_changed(
    place: Place, writer: Writer, once: list[str]
) -> None:
    open_to_write(str(place.store), "bans", "UTC").close()
    with sqlite3.connect(place.store) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    writer.write("192.0.2.1")
    code, said = place.run(*place.options, *once)
    assert code == 4
    assert error_of(said)[0].endswith("was made by a newer banledger (file format 99)")
    assert error_of(said)[1] == f"hint: {TOO_NEW}"
    assert writer.path.exists()


@pytest.mark.parametrize("once", [["--once"], []])
def test_a_text_file_in_place_of_the_ledger_is_refused_and_not_changed(place: Place, once: list[str]) -> None:
    place.store.write_text("127.0.0.1 localhost\n" * 50)
    code, said = place.run(*place.options, *once)
    assert code == 4
    assert f"{place.store} is not a ledger" in error_of(said)[0]
    assert place.store.read_text() == "127.0.0.1 localhost\n" * 50


def test_a_second_recorder_is_refused_and_the_first_continues(place: Place, writer: Writer) -> None:
    first = place.start()
    first.wait_for("recording from")
    wait_for(place.store.exists)
    writer.write("192.0.2.1")
    wait_for(lambda: place.bans() == 1)
    for once in ([], ["--once"]):
        second = Place.run(place, *place.options, *once)
        assert second[0] == 6
        assert f"another recorder writes to {place.store}" in second[1]
    writer.write("192.0.2.2")
    wait_for(lambda: place.bans() == 2)
    assert first.stop() == 0


# Where what it says can't be written.


def serve(place: Place, redirection: str, **options: Any) -> subprocess.Popen[bytes]:
    """The service, with its streams led somewhere in the shell's words."""
    words = [sys.executable, "-m", "banledger", "record", *place.options]
    return subprocess.Popen(["bash", "-c", f'exec "$@" {redirection}', "bash", *words], **options)


def goes_on(place: Place, writer: Writer, service: subprocess.Popen[bytes], bans: int) -> bool:
    """Whether it still records when it has something to say (of a line that makes no sense)."""
    writer.raw(b"no sense\n")
    writer.write(f"192.0.2.{bans}")
    wait_for(lambda: place.bans() == bans)
    rejected = place.spool / "rejected"
    wait_for(lambda: rejected.is_dir() and any(rejected.iterdir()))
    return service.poll() is None


@pytest.mark.parametrize(
    "redirection", [">/dev/full 2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-", "2> >(exit)", "> >(exit) 2>&1"]
)
def test_recording_continues_when_the_log_cannot_be_written(place: Place, writer: Writer, redirection: str) -> None:
    writer.write("192.0.2.1")
    service = serve(place, redirection)
    try:
        wait_for(lambda: place.bans() == 1)
        assert goes_on(place, writer, service, 2)
    finally:
        service.terminate()
    assert service.wait(timeout=20) == 0


def test_recording_continues_when_the_logs_reader_closes(place: Place, writer: Writer) -> None:
    service = serve(place, "", stderr=subprocess.PIPE)
    try:
        assert service.stderr is not None
        assert b"recording from" in service.stderr.readline()
        service.stderr.close()
        assert goes_on(place, writer, service, 1)
        assert goes_on(place, writer, service, 2)
    finally:
        service.terminate()
    assert service.wait(timeout=20) == 0


# Once.


def test_once_on_an_empty_spool_creates_an_empty_ledger(place: Place) -> None:
    code, said = place.run(*place.options, "--once")
    created = f"banledger: created ledger {place.store}\n"
    assert (code, said) == (0, f"{created}0 new bans, 0 amended, 0 lines known before, 0 gaps\n")
    assert place.store.exists()
    assert place.bans() == 0


def test_once_counts_lines_of_unknown_kinds_and_logs_each_kind_once(place: Place, writer: Writer) -> None:
    writer.write_kind("begin")
    writer.write("192.0.2.1")
    writer.write_kind("hold", "begin")
    writer.close()
    code, said = place.run(*place.options, "--once")
    assert (code, said.splitlines()) == (
        0,
        [
            f"banledger: created ledger {place.store}",
            "banledger: skipping lines of unknown kind 'begin': upgrade banledger",
            "banledger: skipping lines of unknown kind 'hold': upgrade banledger",
            "1 new bans, 0 amended, 0 lines known before, 0 gaps, 3 lines of unknown kinds skipped",
        ],
    )
    assert list(place.spool.iterdir()) == []


def test_once_prints_counts_and_keeps_an_open_segment(place: Place, writer: Writer) -> None:
    writer.write("192.0.2.1", "192.0.2.2")
    assert "\n2 new bans, " in place.run(*place.options, "--once")[1]
    assert writer.path.exists()
    writer.close()
    assert "2 lines known before" in place.run(*place.options, "--once")[1]
    assert not writer.path.exists()


def test_once_without_a_spool_fails_with_a_hint(place: Place) -> None:
    code, said = place.run("--once", "--spool", str(place.folder / "missing"), "--store", str(place.store))
    assert code == 7
    error, hint = error_of(said)
    assert str(place.folder / "missing") in error
    assert "systemd-tmpfiles" in hint


# In trouble.


def test_a_missing_spool_is_logged_once_and_recorded_when_it_appears(place: Place) -> None:
    place.spool.rmdir()
    service = place.start()
    service.wait_for("can't read the spool")
    time.sleep(2)
    assert service.text.count("can't read the spool") == 1
    place.spool.mkdir()
    writer = Writer(place.spool)
    writer.write("192.0.2.1")
    wait_for(lambda: place.bans() == 1)
    writer.close()
    service.wait_for("recording again")
    assert service.stop() == 0


def test_the_service_waits_for_the_ledgers_directory_and_loses_nothing(place: Place, writer: Writer) -> None:
    store = place.folder / "later" / "ledger.db"
    writer.write("192.0.2.1")
    service = place.start("--spool", str(place.spool), "--store", str(store))
    service.wait_for("bans wait in the spool")
    store.parent.mkdir()
    wait_for(lambda: place.bans(store) == 1)
    assert service.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_service_at_once_even_while_it_backs_off(place: Place, number: int) -> None:
    place.spool.rmdir()
    service = place.start()
    service.wait_for("can't read the spool")
    time.sleep(4)  # its waits have grown to seconds
    start = time.monotonic()
    assert service.stop(number) == 0
    assert time.monotonic() - start < 1.5
    assert service.text.endswith("banledger: stopped\n")


def test_a_signal_during_start_stops_the_service(place: Place) -> None:
    service = place.start()
    service.wait_for("recording from")
    assert service.stop() == 0


def test_lines_written_before_the_signal_are_recorded_at_the_next_start(place: Place, writer: Writer) -> None:
    service = place.start()
    writer.write("192.0.2.1")
    wait_for(lambda: place.bans() == 1)
    service.stop()
    writer.write("192.0.2.2")
    writer.close()
    again = place.start()
    wait_for(lambda: place.bans() == 2)
    assert again.stop() == 0
    assert list(place.spool.glob("*.jsonl")) == []


# With systemd, and the settings.


def test_the_service_reports_its_state_to_the_service_manager(place: Place) -> None:
    address = place.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(20)
        service = place.start(NOTIFY_SOCKET=str(address))
        assert manager.recv(4096).startswith(b"READY=1\n")
        assert manager.recv(4096) == b"WATCHDOG=1"
        assert manager.recv(4096) == b"WATCHDOG=1"
        shutil.rmtree(place.spool)
        while not (status := manager.recv(4096)).startswith(b"STATUS="):
            assert status == b"WATCHDOG=1"
        assert status.startswith(b"STATUS=waiting: can't read the spool")
        place.spool.mkdir()
        while (status := manager.recv(4096)) == b"WATCHDOG=1":
            pass
        assert status == b"STATUS=recording"
        service.process.terminate()
        while (last := manager.recv(4096)) == b"WATCHDOG=1":
            pass
        assert last == b"STOPPING=1"
        assert service.process.wait(timeout=10) == 0


def test_the_service_continues_without_its_service_manager(place: Place, writer: Writer) -> None:
    service = place.start(NOTIFY_SOCKET=str(place.folder / "nobody"))
    writer.write("192.0.2.1")
    wait_for(lambda: place.bans() == 1)
    assert service.stop() == 0


def test_journal_lines_have_a_priority(place: Place) -> None:
    place.spool.rmdir()
    service = place.start(JOURNAL_STREAM="8:1")
    service.wait_for("can't read the spool")
    service.stop()
    lines = service.text.splitlines()
    assert lines[0].startswith("<6>recording from")
    assert any(line.startswith("<3>can't read the spool") for line in lines)


def test_sighup_applies_a_changed_store(place: Place, writer: Writer) -> None:
    other = place.folder / "other.db"
    place.configure(store=place.store, spool=place.spool)
    service = place.start("--config", str(place.config))
    writer.write("192.0.2.1")
    wait_for(lambda: place.bans() == 1)
    writer.rotate()  # what is recorded and finished does not come again
    wait_for(lambda: len(list(place.spool.glob("*.jsonl"))) == 1)
    place.configure(store=other, spool=place.spool)
    service.process.send_signal(signal.SIGHUP)
    service.wait_for(f"into {other}")
    writer.write("192.0.2.2")
    wait_for(lambda: place.bans(other) == 1)
    assert place.bans() == 1
    open_to_write(str(place.store), "bans", "UTC").close()  # it let go of the first one
    assert service.stop() == 0


def test_sighup_with_wrong_settings_keeps_the_old_ones_and_logs_the_reason(place: Place, writer: Writer) -> None:
    place.configure(store=place.store, spool=place.spool)
    service = place.start("--config", str(place.config))
    service.wait_for("recording from")
    place.config.write_text("store = [")
    service.process.send_signal(signal.SIGHUP)
    service.wait_for("keeping the previous settings")
    assert f"{place.config} is not TOML" in service.text
    writer.write("192.0.2.1")
    wait_for(lambda: place.bans() == 1)
    assert service.stop() == 0


def test_sighup_during_an_outage_applies_new_settings_at_once(place: Place) -> None:
    place.configure(store=place.store, spool=place.folder / "missing")
    service = place.start("--config", str(place.config))
    service.wait_for("can't read the spool")
    place.configure(store=place.store, spool=place.spool)
    service.process.send_signal(signal.SIGHUP)
    service.wait_for(f"recording from {place.spool}")
    writer = Writer(place.spool)
    writer.write("192.0.2.1")
    writer.close()
    wait_for(lambda: place.bans() == 1)
    assert service.stop() == 0


def test_a_damaged_ledger_stops_the_service_with_an_error_and_bans_stay_in_the_spool(
    place: Place, writer: Writer
) -> None:
    ledger = open_to_write(str(place.store), "bans", "UTC")
    ledger.record([ban(f"10.0.0.{n}") for n in range(200)], nowhere)
    ledger.close()
    whole = place.store.read_bytes()
    place.store.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    for end in ("-wal", "-shm"):
        place.store.with_name(place.store.name + end).unlink()
    writer.write("192.0.2.1")
    code, said = place.run()
    assert code == 4
    assert f"{place.store} is not a ledger, or is damaged" in error_of(said)[0]
    assert "restore a copy" in error_of(said)[1]
    assert writer.path.exists()


def test_a_deleted_wal_loses_no_ban_and_logs_two_lines(place: Place, writer: Writer) -> None:
    service = place.start()
    writer.write("192.0.2.1")
    wait_for(lambda: place.bans() == 1)
    place.store.with_name("ledger.db-wal").unlink()
    writer.write("192.0.2.2")
    service.wait_for("recording again")
    wait_for(lambda: place.bans() == 2)
    assert service.stop() == 0
    assert place.store.with_name("ledger.db-wal").stat().st_size == 0
    trouble = [line for line in service.text.splitlines() if "created" not in line]
    assert [line.split()[1] for line in trouble] == ["recording", f"{place.store}-wal", "recording", "stopped"]
    assert "ledger.db-wal was moved or deleted; bans wait in the spool" in service.text


def test_a_stopped_service_leaves_the_whole_ledger_in_one_file(place: Place, writer: Writer) -> None:
    service = place.start()
    writer.write(*(f"192.0.2.{n}" for n in range(20)))
    wait_for(lambda: place.bans() == 20)
    assert place.store.with_name("ledger.db-wal").stat().st_size > 0
    assert service.stop() == 0
    for end in ("-wal", "-shm", ".lock"):
        place.store.with_name(f"ledger.db{end}").unlink()
    assert place.bans() == 20


def test_sighup_after_sigterm_does_not_cancel_the_stop(place: Place, tmp_path: Path) -> None:
    service = place.start("--spool", str(tmp_path / "none"), "--store", str(place.store))
    service.wait_for("can't read the spool")
    service.process.send_signal(signal.SIGSTOP)
    service.process.send_signal(signal.SIGTERM)
    service.process.send_signal(signal.SIGHUP)
    service.process.send_signal(signal.SIGCONT)
    assert service.process.wait(timeout=10) == 0
    assert service.text.count("recording from") == 1
