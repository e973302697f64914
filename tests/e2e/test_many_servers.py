"""Several machines, each with its own fail2ban, spool and recorder, and one ledger."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banledger.ledger.check import check
from banledger.ledger.opening import open_to_read
from tests.support.lines import ban, encode
from tests.support.servers import StoreServer

from .conftest import wait_for
from .recording import Recording

TAKEN = "server label 'web1' belongs to another machine of this ledger"


class Machine(Recording):
    """A recording on a machine of that name."""

    def __init__(self, folder: Path, server: StoreServer, name: str, label: str) -> None:
        super().__init__(folder / name, server)
        self.label = label
        self.configure(machine=name)


@pytest.fixture
def machines(redis_server: StoreServer, tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    """Two machines whose fail2bans bear the same label."""
    made = (Machine(tmp_path, redis_server, "one", "web1"), Machine(tmp_path, redis_server, "two", "web1"))
    yield made
    for machine in made:
        machine.close()


def answer(server: StoreServer, *words: str) -> str:
    """What a command says about the ledger, as JSON."""
    command = [sys.executable, "-m", "banledger", *words, "--store", server.url, "--json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def status(manager: socket.socket) -> str:
    """What the service manager is told next."""
    while not (said := manager.recv(4096)).startswith(b"STATUS="):
        pass
    return said.removeprefix(b"STATUS=").decode().strip()


def test_a_label_of_another_machine_is_refused_by_name_until_it_is_adopted(
    machines: tuple[Machine, Machine], redis_server: StoreServer
) -> None:
    one, two = machines
    one.write(10)
    assert one.run("--once") == 0
    two.ban("192.0.2.1")
    assert two.run("--once") == 5
    assert "banledger record --adopt web1" in two.text
    two.said.write_text("")
    two.start()
    two.wait_for(TAKEN)
    time.sleep(2)
    assert len(one.recorded()) == 10
    assert two.run("--adopt", "web1") == 0
    wait_for(lambda: len(one.recorded()) == 11)
    two.wait_for("recording again")
    two.assert_said("does not keep an append-only file", TAKEN, "now records server label 'web1'", "recording again")


def test_the_machine_that_lost_its_label_notices_within_twenty_seconds(
    machines: tuple[Machine, Machine], redis_server: StoreServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Step by step."""
    from banledger.clock import ClockWatch
    from banledger.ledger.writer import open_to_write
    from banledger.service.recorder import Recorder
    from banledger.spool.reader import SpoolReader
    from tests.support.lines import nowhere
    from tests.support.segments import NOW
    from tests.support.world import Clock

    one, two = machines
    elapsed = Clock(0.0)
    recorder = Recorder(
        SpoolReader(one.spool), lambda: open_to_write(redis_server.url, "bans", "UTC", machine="one"), nowhere,
        watch=ClockWatch(elapsed),
    )  # fmt: skip
    one.ban("192.0.2.1")
    assert recorder.step(NOW).new == 1
    two.run("--adopt", "web1")
    one.ban("192.0.2.2")
    elapsed.now += 20
    assert recorder.step(NOW + 20).lines == 0
    assert TAKEN in caplog.text
    assert recorder.held_back is not None
    recorder.close()
    assert one.recorded() == ["192.0.2.1"]
    assert one.writer.path.exists()


def test_lines_that_the_other_machine_recorded_are_no_gap_when_a_label_is_adopted(
    machines: tuple[Machine, Machine], redis_server: StoreServer
) -> None:
    """Step by step: the label was nobody's of this machine when the ledger was opened."""
    from banledger.clock import ClockWatch
    from banledger.ledger.writer import open_to_write
    from banledger.service.recorder import Recorder
    from banledger.spool.reader import SpoolReader
    from tests.support.lines import nowhere
    from tests.support.segments import NOW
    from tests.support.world import Clock

    one, two = machines
    assert two.run("--adopt", "web1") == 0
    elapsed = Clock(0.0)
    recorder = Recorder(
        SpoolReader(one.spool), lambda: open_to_write(redis_server.url, "bans", "UTC", machine="one"), nowhere,
        watch=ClockWatch(elapsed),
    )  # fmt: skip
    one.ban("192.0.2.1", "192.0.2.2", "192.0.2.3")
    moved = one.writer.path
    one.writer.rotate()
    for _ in range(3):
        assert recorder.step(NOW + elapsed.now).lines == 0
        elapsed.now += 1000  # what was read is let go of, and stays in the spool
    moved.rename(two.spool / moved.name.replace("-1.jsonl", "-9.jsonl"))
    assert two.run("--once") == 0
    assert len(one.recorded()) == 3
    recorder.open().labels.adopt("web1")  # type: ignore[union-attr]
    one.ban("192.0.2.4")
    found = []
    for _ in range(6):
        elapsed.now += 5
        found.append(recorder.step(NOW + elapsed.now))
    assert (sum(done.new for done in found), sum(done.gaps for done in found)) == (1, 0)
    recorder.close()
    assert recorder.held_back is None


def test_held_lines_that_vanish_while_the_recorder_is_down_are_a_gap(
    machines: tuple[Machine, Machine], redis_server: StoreServer
) -> None:
    """Step by step: no position of their writer was ever stored."""
    from banledger.ledger.writer import open_to_write
    from banledger.service.memory import Memory
    from banledger.service.recorder import Recorder
    from banledger.spool.reader import SpoolReader
    from tests.support.lines import nowhere
    from tests.support.segments import NOW

    one, two = machines
    assert two.run("--adopt", "web1") == 0

    def start() -> Recorder:
        return Recorder(
            SpoolReader(one.spool), lambda: open_to_write(redis_server.url, "bans", "UTC", machine="one"), nowhere,
            memory=Memory(one.state / "recorder.json"),
        )  # fmt: skip

    recorder = start()
    one.ban("192.0.2.1", "192.0.2.2", "192.0.2.3")
    assert recorder.step(NOW).lines == 0
    recorder.close()
    one.writer.path.unlink()
    recorder = start()
    assert sum(recorder.step(NOW).gaps for _ in range(6)) == 0
    recorder.close()
    recorder = start()
    recorder.open().labels.adopt("web1")  # type: ignore[union-attr]
    assert sum(recorder.step(NOW).gaps for _ in range(6)) == 1
    recorder.close()
    recorder = start()
    assert sum(recorder.step(NOW).gaps for _ in range(6)) == 0
    recorder.close()


def test_two_servers_that_ban_an_address_in_the_same_second_make_two_bans_and_server_tells_them_apart(
    machines: tuple[Machine, Machine], redis_server: StoreServer
) -> None:
    one, two = machines
    two.label = "web2"
    for machine in machines:
        machine.start()
        machine.ban("192.0.2.1", "192.0.2.2")
    two.ban("192.0.2.3")
    wait_for(lambda: len(one.recorded()) == 5)
    assert one.recorded() == ["192.0.2.1"] * 2 + ["192.0.2.2"] * 2 + ["192.0.2.3"]
    assert redis_server.cli("ZREVRANGE", "bans:top:server", "0", "-1", "WITHSCORES") == "web2\n3\nweb1\n2"
    top = answer(redis_server, "top", "server", "--since", "all")
    assert '"web1"' in top
    assert '"web2"' in top
    listed = [json.loads(line) for line in answer(redis_server, "bans", "--server", "web2").splitlines()]
    assert sorted((one["server"], one["ip"]) for one in listed) == [("web2", f"192.0.2.{n}") for n in (1, 2, 3)]
    report = answer(redis_server, "report", "--since", "all", "--server", "web1")
    assert "192.0.2.1" in report
    assert "192.0.2.3" not in report
    ledger = open_to_read(redis_server.url, "bans")
    assert list(check(ledger.store(), ledger.keys)) == []
    ledger.close()


def test_a_refused_label_holds_back_only_its_own_lines(
    machines: tuple[Machine, Machine], redis_server: StoreServer
) -> None:
    one, two = machines
    one.ban("192.0.2.1")
    assert one.run("--once") == 0
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(two.state / "notify"))
    manager.settimeout(20)
    two.start(NOTIFY_SOCKET=str(two.state / "notify"))
    two.ban("192.0.2.2")
    two.wait_for(TAKEN)
    assert status(manager) == "recording; held back: server label 'web1'"
    two.label = "web2"
    two.ban("192.0.2.3")
    wait_for(lambda: one.recorded() == ["192.0.2.1", "192.0.2.3"])
    two.label = "web1"
    two.ban("192.0.2.4")
    assert two.run("--adopt", "web1") == 0
    wait_for(lambda: len(one.recorded()) == 4)
    two.wait_for("recording again: server label 'web1'")
    assert status(manager) == "recording"
    manager.close()
    two.assert_said("does not keep an append-only file", TAKEN, "now records server label 'web1'", "recording again")


def test_imported_bans_neither_claim_nor_check_a_label(
    machines: tuple[Machine, Machine], redis_server: StoreServer
) -> None:
    one, two = machines
    one.ban("192.0.2.1")
    assert one.run("--once") == 0
    for label in ("web1", "old1"):
        two.writer.seq += 1
        two.writer.raw(encode(ban(f"{label}.example", seq=two.writer.seq, server=label, origin="import")))
    assert two.run("--once") == 0
    assert one.recorded() == ["192.0.2.1", "old1.example", "web1.example"]
    assert redis_server.cli("HEXISTS", "bans:meta", "server:old1") == "0"


def test_one_of_two_identical_clones_continues_and_both_journals_name_both(
    redis_server: StoreServer, tmp_path: Path
) -> None:
    one = Machine(tmp_path, redis_server, "one", "web1")
    one.configure(machine="same")
    service = one.start()
    one.write(10)
    wait_for(lambda: len(one.recorded()) == 10)
    service.kill()
    service.wait()
    one.ban("192.0.2.1")
    two = Machine(tmp_path, redis_server, "two", "web1")
    two.configure(machine="same")
    for folder in (one.spool, one.state):
        shutil.copytree(folder, two.spool.parent / folder.name, dirs_exist_ok=True)
    one.said.write_text("")
    first = one.start()
    wait_for(lambda: len(one.recorded()) == 11, 5)  # a restart waits for nobody
    second = two.start()
    two.wait_for("is recorded by another recorder")
    two.ban("192.0.2.2")
    one.ban("192.0.2.3")
    wait_for(lambda: len(one.recorded()) == 12)
    one.wait_for("is also used by another recorder", seconds=40)
    for machine in (one, two):
        assert f"pid {first.pid})" in machine.text and f"pid {second.pid})" in machine.text
        assert "may be merged" in machine.text
    assert "192.0.2.2" not in one.recorded()
    first.terminate()  # it gives the label back
    wait_for(lambda: len(one.recorded()) == 13)
    two.wait_for("recording again: server label 'web1'")
    for machine in (one, two):
        machine.close()


def test_containers_without_a_machine_id_are_distinguished(redis_server: StoreServer, tmp_path: Path) -> None:
    """As where /etc/machine-id is empty: no name is given, and none is found."""
    hidden = "from banledger import settings; settings.machine_id.__code__ = (lambda: '').__code__; "
    program = hidden + "import sys; sys.argv[0] = 'banledger'; from banledger.__main__ import main; main()"
    both = [Machine(tmp_path, redis_server, name, "web1") for name in ("one", "two")]
    for machine in both:
        machine.configure()
        machine.program = ["-c", program]
        machine.start()
        machine.ban("192.0.2.1")
        wait_for(lambda: len(both[0].recorded()) == 1)
    both[1].wait_for("is recorded by another recorder")
    assert redis_server.cli("HGET", "bans:meta", "server:web1") == "nameless"
    for machine in both:
        machine.close()


def test_a_second_recorder_of_a_spool_is_refused_by_name_and_waits_for_the_first(
    redis_server: StoreServer, tmp_path: Path
) -> None:
    one = Machine(tmp_path, redis_server, "one", "web1")
    first = one.start()
    one.ban("192.0.2.1")
    wait_for(lambda: len(one.recorded()) == 1)
    assert one.run("--once") == 7
    assert f"another recorder reads the spool {one.spool}" in one.text and f"pid {first.pid})" in one.text
    assert "systemctl stop banledger" in one.text
    one.start()
    one.wait_for("another recorder reads the spool", times=2)
    first.kill()
    first.wait()
    one.ban("192.0.2.2")
    wait_for(lambda: len(one.recorded()) == 2)
    one.wait_for("recording again")
    one.close()


def test_the_machine_setting_overrides_the_machine_id(redis_server: StoreServer, tmp_path: Path) -> None:
    from banledger.ledger.labels import NAMELESS
    from banledger.settings import machine_id

    recording = Recording(tmp_path / "plain", redis_server)
    recording.write(1)
    assert recording.run("--once") == 0
    assert redis_server.cli("HGET", "bans:meta", "server:web1") == (machine_id() or NAMELESS)
    recording.close()
