"""`store rebuild` on a server while recorders run: they wait, nothing is damaged, a dead rebuild is not waited for."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import pytest

from banledger.errors import RebuildRunning, StoreUnavailable
from banledger.ledger.keys import Keyspace
from banledger.ledger.rebuild_lease import Pace, alone
from banledger.stores.api import Engine
from banledger.stores.connect import Access, writer
from tests.conftest import MakeServer
from tests.support.servers import Flavour, StoreServer, flavour_named

from .recording import Recording

WAITING, FINISHED = "waiting: rebuild in progress", "rebuild finished; recording again"
KEYS = Keyspace("bans")
QUICK = Pace(lease_s=3.0, renew_s=0.5, look_s=0.1)


@pytest.fixture
def recording(flavour: Flavour, private_server: MakeServer, tmp_path: Path) -> Iterator[Recording]:
    """A service that records into each kind of server."""
    made = Recording(tmp_path / "recording", private_server(flavour))
    made.start()
    yield made
    made.close()


def rebuild(recording: Recording) -> "subprocess.Popen[str]":
    """The command, with the service's settings."""
    words = [sys.executable, "-m", "banledger", "store", "rebuild", "--config", str(recording.config)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def output(process: "subprocess.Popen[str]") -> str:
    return process.communicate(timeout=120)[0]


class _Load:
    """Bans all the time, until the end of the block."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._ended = Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            self._recording.write(20)


def test_a_rebuild_beside_a_recorder_under_load_damages_nothing(recording: Recording) -> None:
    recording.write(3000)
    recording.wait_until_recorded()
    recording.server.cli("DEL", "bans:jail:sshd")
    with _Load(recording):
        for _ in range(3):
            process = rebuild(recording)
            said = output(process)
            assert (process.returncode, "rebuilt from" in said) == (0, True), said
            time.sleep(0.5)
    recording.assert_whole()
    assert recording.lines[-6:] == [WAITING, FINISHED] * 3, recording.text


def test_recorders_continue_after_a_killed_rebuild(recording: Recording) -> None:
    recording.write(20)
    recording.wait_until_recorded()
    process = rebuild(recording)
    recording.wait_for(WAITING)
    process.kill()
    process.communicate()
    recording.write(20)
    recording.wait_for(FINISHED, seconds=60)
    recording.assert_whole()
    said = output(rebuild(recording))
    assert "rebuilt from 40 bans" in said, said


@pytest.fixture
def server(private_server: MakeServer) -> StoreServer:
    """For what is the same in all of them."""
    return private_server(flavour_named("redis-7"))


def _open(server: StoreServer) -> Engine:
    return writer(server.url, KEYS, Access())


def test_a_second_rebuild_is_refused(server: StoreServer) -> None:
    with (
        closing(_open(server)) as one,
        closing(_open(server)) as other,
        alone(one, lambda: _open(server), KEYS, pace=QUICK),
    ):
        time.sleep(4)  # it is renewed
        with (
            pytest.raises(RebuildRunning, match="another rebuild"),
            alone(other, lambda: _open(server), KEYS, pace=QUICK),
        ):
            pass


def test_a_rebuild_takes_over_from_a_killed_one(server: StoreServer) -> None:
    server.cli("HSET", "bans:rebuild", "holder", "dead", "until", "1795400000")
    with closing(_open(server)) as one, alone(one, lambda: _open(server), KEYS, pace=QUICK):
        assert server.cli("HGET", "bans:rebuild", "holder") != "dead"


def test_a_rebuild_waits_for_live_recorders_only(server: StoreServer) -> None:
    server.cli("HSET", "bans:recorders", "dead", "7 ")
    begun = time.monotonic()
    with closing(_open(server)) as one, alone(one, lambda: _open(server), KEYS, pace=QUICK):
        assert time.monotonic() - begun >= QUICK.lease_s
    assert server.cli("EXISTS", "bans:recorders") == "0"


def test_a_rebuild_that_lost_its_lease_stops(server: StoreServer) -> None:
    with closing(_open(server)) as one, alone(one, lambda: _open(server), KEYS, pace=QUICK) as progress:
        server.cli("HSET", "bans:rebuild", "holder", "somebody")
        time.sleep(1.5)
        with pytest.raises(StoreUnavailable, match="interrupted for too long"):
            progress("months", 0, 1)
