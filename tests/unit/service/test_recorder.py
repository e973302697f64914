"""The recorder, driven step by step."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

from banledger.clock import SETTLED_S, ClockWatch
from banledger.errors import (
    BanledgerError,
    LedgerLocked,
    LedgerNewer,
    NotALedger,
    SettingsError,
    StoreError,
    StoreUnavailable,
)
from banledger.ledger.heartbeat import WhoisActivity
from banledger.ledger.opening import open_to_read
from banledger.ledger.reader import LedgerReader
from banledger.ledger.writer import Ledger, open_to_write
from banledger.service.recorder import Recorder
from banledger.service.systemd import Notifier
from banledger.spool.reader import SpoolReader
from tests.support.lines import T0, ban, encode, nowhere, unban
from tests.support.segments import NOW, Writer
from tests.support.world import Clock


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """An empty spool."""
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@pytest.fixture
def recorder(tmp_path: Path, spool: Path) -> Iterator[Recorder]:
    """A recorder into a ledger of its own."""
    made = Recorder(SpoolReader(spool), lambda: open_to_write(str(tmp_path / "ledger.db"), "bans", "UTC"), nowhere)
    yield made
    made.close()


@pytest.fixture
def writer(spool: Path) -> Iterator[Writer]:
    """What the action would write."""
    made = Writer(spool)
    yield made
    made.close()


Open: TypeAlias = Callable[[], LedgerReader]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Open]:
    """Opens the ledger as others see it; closed at the end."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(closing(open_to_read(str(tmp_path / "ledger.db"), "bans")))


def test_a_step_moves_bans_into_the_ledger_and_removes_the_segment(
    recorder: Recorder, writer: Writer, reader: Open
) -> None:
    writer.write("192.0.2.1", "192.0.2.2")
    writer.close()
    assert recorder.step(NOW).new == 2
    assert reader().days() == {"2026-11-23": 2}
    assert not writer.path.exists()


def test_draining_takes_everything_in_batches(tmp_path: Path, spool: Path, writer: Writer) -> None:
    writer.write(*(f"192.0.2.{n}" for n in range(25)))
    made = Recorder(SpoolReader(spool), lambda: open_to_write(str(tmp_path / "l.db"), "bans", "UTC"), nowhere, batch=10)
    assert made.drain(NOW).new == 25
    made.close()


def test_draining_continues_after_batches_of_unknown_kinds(tmp_path: Path, spool: Path, writer: Writer) -> None:
    writer.write_kind(*["begin"] * 35)
    writer.write("192.0.2.1")
    writer.write_kind("end")
    writer.close()
    made = Recorder(SpoolReader(spool), lambda: open_to_write(str(tmp_path / "l.db"), "bans", "UTC"), nowhere, batch=10)
    done = made.drain(NOW)
    assert (done.new, done.gaps, made.skipped) == (1, 0, 36)
    made.close()
    assert list(spool.iterdir()) == []


def test_draining_takes_everything_from_a_rarely_listed_directory(recorder: Recorder, spool: Path) -> None:
    for number in range(2500):
        line = encode(ban(f"192.0.{number >> 8}.{number & 255}", writer=f"{number:08x}", seq=1))
        (spool / f"1700000000000-{number:08x}-1.jsonl").write_bytes(line)
    assert recorder.drain(NOW).new == 2500


def test_a_second_recorder_is_refused_by_name(recorder: Recorder, tmp_path: Path) -> None:
    recorder.open()
    with pytest.raises(LedgerLocked, match="another recorder"):
        open_to_write(str(tmp_path / "ledger.db"), "bans", "UTC")


class Until:
    """Stops after so many waits."""

    def __init__(self, waits: int) -> None:
        self.waited: list[float] = []
        self._waits = waits

    @property
    def stopped(self) -> bool:
        return len(self.waited) >= self._waits

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)


def test_bans_wait_during_an_outage_and_one_line_is_logged(
    spool: Path, writer: Writer, tmp_path: Path, caplog: pytest.LogCaptureFixture, reader: Open
) -> None:
    tries = 0

    def connect() -> Ledger:
        nonlocal tries
        tries += 1
        if tries < 5:
            raise StoreUnavailable("the store is down", hint="start it")
        return open_to_write(str(tmp_path / "ledger.db"), "bans", "UTC")

    writer.write("192.0.2.1")
    made = Recorder(SpoolReader(spool), connect, nowhere)
    until = Until(6)
    made.run(until, Notifier(""))
    made.close()
    assert [record.message for record in caplog.records] == [
        "the store is down; bans wait in the spool (start it)",
        "recording again",
    ]
    assert until.waited[:4] == [0.5, 1.0, 2.0, 4.0]
    assert reader().days() == {"2026-11-23": 1}


def troubled(spool: Path, errors: list[BanledgerError], waits: int, *, patient: bool = False) -> Until:
    """Runs a recorder whose store fails like this, one way at each try and at last always the same."""

    def connect() -> Ledger:
        raise errors.pop(0) if len(errors) > 1 else errors[0]

    until = Until(waits)
    Recorder(SpoolReader(spool), connect, nowhere, patient=patient).run(until, Notifier(""))
    return until


def test_a_kind_of_failure_is_logged_once_with_any_details(spool: Path, caplog: pytest.LogCaptureFixture) -> None:
    errors: list[BanledgerError] = [
        StoreUnavailable("refused", hint="start it"),
        StoreUnavailable("reset", hint="start it"),
        StoreUnavailable("full", hint="make room"),
        StoreUnavailable("refused again", hint="start it"),
    ]
    troubled(spool, errors, 8)
    assert [record.message for record in caplog.records] == [
        "refused; bans wait in the spool (start it)",
        "full; bans wait in the spool (make room)",
    ]


def test_a_missing_spool_is_not_logged_as_waiting_bans(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nowhere_ = tmp_path / "no-spool"
    troubled(nowhere_, [StoreUnavailable("the store is down", hint="start it")], 3)
    recorder = Recorder(SpoolReader(nowhere_), lambda: open_to_write(str(tmp_path / "l.db"), "bans", "UTC"), nowhere)
    recorder.run(Until(3), Notifier(""))
    recorder.close()
    down, missing = (record.message for record in caplog.records)
    assert down == "the store is down; no ban is recorded: there is no spool (start it)"
    hint = "systemd-tmpfiles --create makes it; or name another with --spool or BANLEDGER_SPOOL"
    assert missing == (f"can't read the spool {nowhere_}: there is no such directory, so no ban is recorded ({hint})")


@pytest.mark.parametrize("error", [LedgerNewer("newer"), NotALedger("not ours"), StoreError("too old")])
def test_a_shared_stores_permanent_error_is_waited_out(spool: Path, error: BanledgerError) -> None:
    assert len(troubled(spool, [error], 5, patient=True).waited) == 5
    with pytest.raises(type(error)):
        troubled(spool, [error], 5)


def test_settings_that_are_wrong_at_the_start_end_the_service(spool: Path) -> None:
    with pytest.raises(SettingsError):
        troubled(spool, [SettingsError("no such file")], 5, patient=True)


def test_a_step_that_fails_in_the_middle_loses_nothing(
    recorder: Recorder, writer: Writer, reader: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.write("192.0.2.1")
    recorder.step(NOW)
    writer.write("192.0.2.2")
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "record", lambda *_: (_ for _ in ()).throw(StoreUnavailable("full")))
        with pytest.raises(BanledgerError):
            recorder.step(NOW)
    assert recorder.step(NOW).new == 1
    assert reader().days() == {"2026-11-23": 2}


def test_readers_see_each_batch_while_the_recorder_runs_and_after_it_stopped(
    recorder: Recorder, writer: Writer, tmp_path: Path, reader: Open
) -> None:
    writer.write("192.0.2.1")
    recorder.step(NOW)
    open_ = reader()
    writer.write("192.0.2.2")
    recorder.step(NOW)
    assert open_.days() == {"2026-11-23": 2}
    open_.close()
    recorder.close()
    assert {path.name for path in tmp_path.glob("ledger.db*")} >= {"ledger.db", "ledger.db-wal", "ledger.db-shm"}
    assert reader().days() == {"2026-11-23": 2}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_reader_in_the_group_can_open_the_ledger_and_others_can_not(
    recorder: Recorder, writer: Writer, tmp_path: Path
) -> None:
    writer.write("192.0.2.1")
    recorder.step(NOW)
    recorder.close()
    os.chmod(tmp_path, 0o750)
    for path in [tmp_path, *tmp_path.glob("ledger.db*")]:
        os.chown(path, 0, 4242)
    assert _as_user(tmp_path, 4242) == 0
    assert _as_user(tmp_path, 4343) != 0


def _as_user(folder: Path, group: int) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        for parent in folder.parents:
            if parent.is_relative_to(tempfile.gettempdir()) and parent != Path(tempfile.gettempdir()):
                os.chmod(parent, 0o755)
        os.setgroups([])
        os.setgid(group)
        os.setuid(4242)
        os._exit(0 if open_to_read(str(folder / "ledger.db"), "bans").days() == {"2026-11-23": 1} else 3)
    finally:
        os._exit(4)


def test_the_time_of_a_ban_is_kept(recorder: Recorder, writer: Writer, reader: Open) -> None:
    writer.write("192.0.2.1")
    recorder.step(NOW)
    ledger = reader()
    (ban,) = ledger.bans(ledger.ids_of_day("2026-11-23"))
    assert ban is not None
    assert (ban.time, ban.country) == (T0, "DE")


def test_a_removed_ledger_is_noticed_before_bans_are_lost(
    recorder: Recorder, writer: Writer, tmp_path: Path, reader: Open
) -> None:
    writer.write("192.0.2.1")
    recorder.step(NOW)
    for path in tmp_path.glob("ledger.db*"):
        path.unlink()
    writer.write("192.0.2.2")
    with pytest.raises(StoreUnavailable, match="moved or deleted"):
        recorder.step(NOW)
    assert recorder.step(NOW).new == 2  # the first is still in the spool
    assert reader().distinct("ip") == 2


class _Sick:
    """A whois that fails in every way."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.tried: list[float] = []

    def step(self, ledger: Ledger, now: float) -> None:
        self.tried.append(now)
        raise self.error

    def follow(self, ledger: Ledger, now: float) -> bool:
        return True

    def activity(self) -> WhoisActivity:
        return WhoisActivity("asks")

    def leave(self, ledger: Ledger) -> None:
        raise StoreUnavailable("gone")

    def close(self) -> None:
        """Nothing to end."""


@pytest.mark.parametrize("error", [StoreUnavailable("full", hint="make room"), NotALedger("odd"), KeyError("a bug")])
def test_any_error_of_whois_is_logged_once_and_bans_are_recorded(
    spool: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    sick = _Sick(error)
    elapsed = Clock(0.0)
    made = Recorder(
        SpoolReader(spool), lambda: open_to_write(str(tmp_path / "l.db"), "bans", "UTC"), nowhere, whois=sick,
        watch=ClockWatch(elapsed),
    )  # fmt: skip
    writer = Writer(spool)
    for number in range(100):
        writer.write(f"192.0.2.{number}")
        assert made.step(T0 + number).new == 1
        elapsed.now += 1.0
    writer.close()
    made.close()
    assert 3 <= len(sick.tried) <= 6
    assert caplog.text.count("whois paused") == 1


# Clocks that jump.

DAY_S = 86_400.0
JUMPS = [10 * 365 * DAY_S, 8 * DAY_S, 3 * 3600.0, -3 * 3600.0, -8 * DAY_S, -10 * 365 * DAY_S]


class Machine(NamedTuple):
    """A recorder on a machine whose wall clock is set by hand; time passes by hand too."""

    recorder: Recorder
    elapsed: Clock
    spool: Path

    def run(self, seconds: float, ahead: float = 0.0) -> None:
        """Let the time pass, with a wall clock that is wrong by `ahead`."""
        end = self.elapsed.now + seconds
        while self.elapsed.now < end:
            self.recorder.step(T0 + 60 + self.elapsed.now + ahead)
            self.elapsed.now += min(10.0, seconds)


@pytest.fixture
def machine(tmp_path: Path, spool: Path) -> Iterator[Machine]:
    """With a ledger of its own."""
    elapsed = Clock(0.0)

    def connect() -> Ledger:
        return open_to_write(str(tmp_path / "ledger.db"), "bans", "UTC")

    recorder = Recorder(SpoolReader(spool), connect, nowhere, watch=ClockWatch(elapsed))
    yield Machine(recorder, elapsed, spool)
    recorder.close()


def in_force_and_pending(tmp_path: Path) -> tuple[int, int]:
    """How many bans are on the list of those in force, and how many amendments wait."""
    with closing(open_to_read(str(tmp_path / "ledger.db"), "bans")) as ledger:
        pending = [key for key in ledger.store().keys("*") if key.endswith(":pending")]
        return ledger.banned_now(T0 + 60), sum(ledger.store().sizes(pending))


def spooled(machine: Machine) -> None:
    """One ban in force, and an unban of one that the ledger does not have yet."""
    lines = [encode(ban("192.0.2.1", seq=1)), encode(unban("192.0.2.2", seen=T0 + 9, seq=2))]
    (machine.spool / "1700000000000-abcdef01-1.jsonl").write_bytes(b"".join(lines))


@pytest.mark.parametrize("ahead", JUMPS)
@pytest.mark.parametrize("settled", [False, True])
def test_a_clock_that_jumps_for_seconds_removes_nothing(
    machine: Machine, tmp_path: Path, ahead: float, settled: bool
) -> None:
    spooled(machine)
    machine.run(2 * SETTLED_S if settled else 20)
    machine.run(300, ahead)
    machine.run(300)
    assert in_force_and_pending(tmp_path) == (1, 1)


@pytest.mark.parametrize("ahead", JUMPS)
def test_a_clock_that_is_corrected_after_the_start_removes_nothing(
    machine: Machine, tmp_path: Path, ahead: float
) -> None:
    spooled(machine)
    machine.run(1800, ahead)
    machine.run(2 * SETTLED_S)
    assert in_force_and_pending(tmp_path) == (1, 1)


def test_amendments_are_removed_by_a_settled_clock_only(machine: Machine, tmp_path: Path) -> None:
    spooled(machine)
    machine.elapsed.now = 8 * DAY_S
    machine.run(SETTLED_S - 60)
    assert in_force_and_pending(tmp_path) == (1, 1)
    machine.run(180)
    assert in_force_and_pending(tmp_path) == (1, 0)


@pytest.mark.parametrize("ahead", JUMPS)
def test_a_clock_jump_does_not_change_a_pause_of_whois(spool: Path, tmp_path: Path, ahead: float) -> None:
    sick, elapsed = _Sick(KeyError("a bug")), Clock(0.0)
    made = Recorder(
        SpoolReader(spool), lambda: open_to_write(str(tmp_path / "l.db"), "bans", "UTC"), nowhere, whois=sick,
        watch=ClockWatch(elapsed),
    )  # fmt: skip
    for wall, elapsed.now in ((T0, 0.0), (T0 + ahead, 1.0), (T0 + 2, 2.0), (T0 + ahead, 5.0)):
        made.step(wall)
    made.close()
    assert sick.tried == [T0, T0 + ahead]


@pytest.mark.parametrize("ahead", JUMPS)
def test_no_segment_is_removed_before_its_replay_window(
    spool: Path, tmp_path: Path, writer: Writer, ahead: float
) -> None:
    reads, elapsed = SpoolReader(spool), Clock(0.0)
    made = Recorder(
        reads, lambda: open_to_write(str(tmp_path / "l.db"), "bans", "UTC"), nowhere, watch=ClockWatch(elapsed)
    )
    made.open()
    reads.keep_s = 100.0
    writer.write("192.0.2.1")
    writer.close()
    for wall, elapsed.now in ((T0, 0.0), (T0 + ahead, 1.0), (T0 + 2, 2.0), (T0 + ahead + 99, 99.0)):
        made.step(wall)
        assert writer.path.exists()
    reads.rewind()
    elapsed.now = 99.5
    assert made.step(T0 + ahead).known == 1
    elapsed.now = 199.5
    made.step(T0)
    made.close()
    assert not writer.path.exists()
