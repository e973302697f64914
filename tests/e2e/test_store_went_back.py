"""A store that is older than what was recorded: said, read again from the spool, and the rest counted."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeAlias

import pytest

from banledger.clock import ClockWatch
from banledger.errors import StoreUnavailable
from banledger.ledger.check import check
from banledger.ledger.labels import Labels
from banledger.ledger.nonces import Nonces
from banledger.ledger.opening import open_to_read
from banledger.ledger.writer import open_to_write
from banledger.service.memory import Memory
from banledger.service.recorder import Recorder
from banledger.spool.reader import SpoolReader
from tests.conftest import MakeServer
from tests.support.lines import nowhere
from tests.support.segments import NOW, Writer
from tests.support.servers import NAMES, StoreServer, flavour_named
from tests.support.world import Clock

from .conftest import wait_for
from .recording import Recording

WENT_BACK = "the store went back"
DAY = "2026-11-23"


class Place(Protocol):
    """A store that can be put back to what it was."""

    url: str

    def keep(self) -> None:
        """Keep it as it is now."""

    def put_back(self) -> None:
        """As a restored backup does."""


class _Server:
    """With snapshots alone, as many are set up."""

    def __init__(self, server: StoreServer) -> None:
        self.server = server
        self.url = server.url

    def keep(self) -> None:
        self.server.cli("SAVE")
        shutil.copy(self.server.directory / "dump.rdb", self.server.directory / "aside")

    def put_back(self) -> None:
        self.server.kill()
        shutil.copy(self.server.directory / "aside", self.server.directory / "dump.rdb")
        self.server.start()


class _File:
    """An embedded ledger; copied as it is while nobody is in the middle of a transaction."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = str(folder / "ledger.db")

    def keep(self) -> None:
        (self.folder / "aside").mkdir()
        for path in self.folder.glob("ledger.db*"):
            shutil.copy(path, self.folder / "aside")

    def put_back(self) -> None:
        for path in self.folder.glob("ledger.db*"):
            path.unlink()
        for path in (self.folder / "aside").iterdir():
            shutil.copy(path, self.folder)


@pytest.fixture(params=["sqlite", *NAMES])
def place(request: pytest.FixtureRequest, private_server: MakeServer, tmp_path: Path) -> Place:
    """Each kind of store in turn."""
    if request.param == "sqlite":
        (tmp_path / "state").mkdir()
        return _File(tmp_path / "state")
    return _Server(private_server(flavour_named(request.param), appendonly=False))


class World:
    """A recorder, its spool, and a clock that is ours."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place = place
        self.spool = folder / "spool"
        self.spool.mkdir()
        self.memory = folder / "recorder.json"
        self.nonces = folder / "labels"
        self.elapsed = Clock(0.0)
        self.writer = Writer(self.spool)
        self.written = 0
        self.recorder = self.start()

    def start(self) -> Recorder:
        """A new process with the same memory."""
        watch, nonces = ClockWatch(self.elapsed), Nonces(self.memory.parent / "labels")
        self.recorder = Recorder(
            SpoolReader(self.spool),
            lambda: open_to_write(self.place.url, "bans", "UTC"),
            nowhere,
            watch=watch,
            labels=Labels(nonces=nonces, elapsed=watch.elapsed),
            memory=Memory(self.memory, self.place.url),
        )
        return self.recorder

    def write(self, count: int) -> None:
        """So many bans, recorded."""
        self.writer.write(*(f"192.0.2.{self.written + number}" for number in range(count)))
        self.written += count
        self.settle()

    def settle(self) -> int:
        """Move all that is there, over whatever goes wrong; how many bans were new."""
        new = 0
        for _ in range(8):
            try:
                new += self.recorder.step(NOW + self.elapsed.now).new
            except StoreUnavailable:
                continue
        return new

    def put_back(self) -> None:
        """The store is older than it was. Another writer has a ban: an embedded store is looked at at a write."""
        self.place.put_back()
        self.elapsed.now += 61
        other = Writer(self.spool, "abcdef02")
        other.write("198.51.100.1")
        other.close()

    def pass_the_window(self) -> None:
        """So long that nothing is replayed any more, and read segments go."""
        for _ in range(3):
            self.elapsed.now += 200
            self.settle()

    def assert_holds(self, bans: int, gaps: list[int]) -> None:
        """So many bans, and gaps of so many lines; all that follows from them is right."""
        ledger = open_to_read(self.place.url, "bans")
        try:
            assert ledger.days() == {DAY: bans}
            assert [gap.bans for gap in ledger.gaps()] == gaps
            assert list(check(ledger.store(), ledger.keys)) == []
        finally:
            ledger.close()

    def close(self) -> None:
        self.recorder.close()
        self.writer.close()


Said: TypeAlias = Callable[[], list[str]]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    """How often it was said that the store went back."""
    return lambda: [record.message for record in caplog.records if WENT_BACK in record.message]


@pytest.fixture
def world(place: Place, tmp_path: Path) -> Iterator[World]:
    """A recorder into the store."""
    made = World(place, tmp_path)
    yield made
    made.close()


def test_lines_still_in_the_spool_are_recorded_again_at_any_age(world: World, said: Said) -> None:
    world.write(10)
    world.place.keep()
    world.write(10)
    world.pass_the_window()
    world.put_back()
    assert world.settle() == 11
    world.assert_holds(21, [])
    assert [line.split(";")[0] for line in said()] == [WENT_BACK + ": 10 lines are lost"]


def test_lines_no_longer_in_the_spool_are_a_gap_of_exactly_their_number(world: World, said: Said) -> None:
    world.write(10)
    world.place.keep()
    world.write(5)
    world.writer.rotate()
    world.pass_the_window()
    world.write(4)
    world.pass_the_window()
    world.put_back()
    assert world.settle() == 5
    world.assert_holds(15, [5])
    world.write(3)
    world.assert_holds(18, [5])
    assert len(said()) == 1


def test_lost_lines_of_an_ended_writer_are_counted_too(world: World, said: Said) -> None:
    world.write(10)
    world.place.keep()
    world.write(7)
    world.writer.close()
    world.pass_the_window()
    world.put_back()
    world.settle()
    world.assert_holds(11, [7])
    world.pass_the_window()
    world.assert_holds(11, [7])
    assert len(said()) == 1


def test_a_store_that_went_back_while_the_recorder_was_stopped_is_noticed_at_its_start(
    world: World, said: Said
) -> None:
    world.write(10)
    world.place.keep()
    world.write(7)
    world.writer.close()
    world.pass_the_window()
    world.recorder.close()
    world.put_back()
    world.start()
    world.settle()
    world.assert_holds(11, [7])
    world.recorder.close()
    world.start()
    world.settle()
    world.assert_holds(11, [7])
    assert len(said()) == 1


def test_without_stored_positions_the_writers_next_line_reveals_the_gap(world: World) -> None:
    world.write(10)
    world.place.keep()
    world.write(7)
    world.writer.rotate()
    world.pass_the_window()
    world.recorder.close()
    world.memory.unlink()
    world.put_back()
    world.start()
    world.settle()
    world.write(3)
    world.assert_holds(14, [7])


def test_a_recorder_killed_at_any_moment_reports_no_false_gap(world: World, said: Said) -> None:
    for turn in range(12):
        world.write(turn)
        if turn % 3 == 0:
            world.writer.rotate()
        if turn % 4 == 0:
            world.pass_the_window()
        world.recorder.close()
        if turn % 5 == 0:
            world.memory.unlink(missing_ok=True)
        world.start()
    world.settle()
    world.assert_holds(world.written, [])
    assert said() == []


def test_the_replay_refills_sets_that_the_server_lost(private_server: MakeServer, tmp_path: Path) -> None:
    server = private_server(flavour_named("redis-7"))
    world = World(_Server(server), tmp_path)
    world.write(10)
    server.cli("DEL", "bans:jail:sshd", "bans:top:ip", "bans:{2611}:day:" + DAY, "bans:ip:192.0.2.1")
    server.kill()
    server.start()
    world.elapsed.now += 61
    world.settle()
    world.assert_holds(10, [])
    world.close()


def test_a_repeated_line_writes_nothing(private_server: MakeServer, tmp_path: Path) -> None:
    server = private_server(flavour_named("redis-7"))
    world = World(_Server(server), tmp_path)
    world.write(10)
    world.recorder.close()
    server.cli("DEL", "bans:jail:sshd")
    world.start()
    world.settle()
    assert server.cli("EXISTS", "bans:jail:sshd") == "0"
    world.close()


@pytest.mark.parametrize("broken", [False, True])
def test_a_server_restart_logs_once_whether_the_ledger_is_whole(
    private_server: MakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: bool
) -> None:
    caplog.set_level("INFO", "banledger")
    server = private_server(flavour_named("redis-7"))
    world = World(_Server(server), tmp_path)
    world.write(10)
    if broken:
        server.cli("ZINCRBY", f"bans:{{2611}}:count:{DAY}:jail", "-3", "sshd")
    server.kill()
    server.start()
    world.elapsed.now += 61
    world.settle()
    world.settle()
    lines = [record.message for record in caplog.records if "server restarted" in record.message]
    assert len(lines) == 1, lines
    assert ("banledger store rebuild" in lines[0], "are whole" in lines[0]) == (broken, not broken)
    world.close()


def test_a_lost_part_is_noticed_after_service_and_server_were_killed(
    private_server: MakeServer, tmp_path: Path
) -> None:
    server = private_server(flavour_named("redis-7"), appendonly=False)
    place, state = _Server(server), tmp_path / "state"
    state.mkdir()
    recording = Recording(tmp_path / "recording", server)
    service = recording.start(STATE_DIRECTORY=str(state))
    recording.write(10)
    recording.wait_until_recorded()
    place.keep()
    recording.write(10)
    wait_for(lambda: '"last":20' in (state / "recorder.json").read_text())
    service.kill()
    service.wait()
    place.put_back()
    recording.start(STATE_DIRECTORY=str(state))
    recording.wait_for(WENT_BACK + ": 10 lines")
    recording.assert_whole()
    recording.wait_for("days written to lately are whole")
    assert sorted(path.name for path in state.iterdir()) == ["labels", "recorder.json"]
    recording.close()
