"""What takes long to prove: promotions under load, and half an hour of everything at once (`make long`)."""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from banledger.ledger.opening import open_to_read
from tests.conftest import MakeServer
from tests.support.servers import NAMES, StoreServer, flavour_named
from tests.support.switch import Switch

from .conftest import wait_for
from .recording import TIMEOUT_S, Recording

pytestmark = [pytest.mark.e2e, pytest.mark.long]

PROMOTIONS = 20
SOAK_S = float(os.environ.get("SOAK_S", "1800"))
"""How long the soak is; a variable, so that a change to this test can be tried in a minute."""


class Load:
    """Bans that come all the time, in bursts, as long as the context is open."""

    def __init__(self, recording: Recording, most: int) -> None:
        self._recording = recording
        self._most = most
        self._end = Event()
        self._thread = Thread(target=self._write)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _write(self) -> None:
        chance = random.Random(7)
        while not self._end.wait(0.1):
            if len(self._recording.written) < self._most:
                self._recording.write(chance.randint(1, 8))


@pytest.fixture
def switch(private_server: MakeServer) -> Iterator[Switch]:
    made = Switch(0)
    yield made
    made.close()


def connected(replica: StoreServer) -> bool:
    return "master_link_status:up" in replica.cli("INFO", "replication")


@pytest.mark.parametrize("name", NAMES)
def test_twenty_promotions_under_load_lose_and_double_nothing(
    name: str, private_server: MakeServer, switch: Switch, tmp_path: Path
) -> None:
    """A primary is killed, its replica promoted; where the replica lags, the replay window brings what it lacked."""
    flavour = flavour_named(name)
    primary = private_server(flavour)
    switch.turn(primary.port)
    recording = Recording(tmp_path / "recording", primary, f"redis://127.0.0.1:{switch.port}/0?timeout={TIMEOUT_S}")
    recording.start()
    with Load(recording, 60_000):
        for turn in range(PROMOTIONS):
            replica = private_server(flavour, replica_of=primary)
            wait_for(lambda replica=replica: connected(replica), 30)  # type: ignore[misc]
            if turn % 3 == 0:  # it lags
                replica.pause()
            time.sleep(2)
            primary.kill()
            if turn % 3 == 0:
                replica.resume()
            replica.cli("REPLICAOF", "NO", "ONE")
            switch.turn(replica.port)
            primary = recording.server = replica
            wait_for(lambda: len(recording.recorded()) > 0)
            time.sleep(1)
    recording.assert_whole(180)
    assert gaps(recording) == 0
    recording.close()


def test_half_an_hour_of_everything_loses_and_doubles_nothing_and_grows_nowhere(
    private_server: MakeServer, tmp_path: Path
) -> None:
    """Bans in bursts, the service and the server killed and stopped again and again; memory and files stay flat."""
    server = private_server(flavour_named("redis-7"), extra=("--appendfsync", "always"))
    recording = Recording(tmp_path / "recording", server)
    service = recording.start()
    chance, end, sizes = random.Random(11), time.monotonic() + SOAK_S, []
    with Load(recording, 60_000):
        while time.monotonic() < end:
            time.sleep(min(20.0, SOAK_S / 20))
            sizes.append((_rss(service.pid), len(os.listdir(f"/proc/{service.pid}/fd"))))
            match chance.randrange(6):
                case 0:
                    service.kill()
                    service.wait()
                    service = recording.start()
                case 1:
                    server.kill()
                    time.sleep(chance.random() * 3)
                    server.start()
                case 2:
                    recording.reload()
                case 3:
                    server.pause()
                    time.sleep(chance.random() * 3)
                    server.resume()
                case _:
                    pass
    recording.assert_whole(180)
    assert gaps(recording) == 0
    memory, files = zip(*sizes, strict=True)
    assert max(memory) < 120 << 20, memory
    assert max(files) < 200, files
    wait_for(lambda: len(list(recording.spool.glob("*.jsonl"))) <= 3, 300)
    recording.close()


def gaps(recording: Recording) -> int:
    """How many gaps are recorded."""
    ledger = open_to_read(recording.server.url, "bans")
    try:
        return len(list(ledger.gaps()))
    finally:
        ledger.close()


def _rss(pid: int) -> int:
    """Resident memory of a process, bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
