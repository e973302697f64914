"""A member of the spool's group who means harm: real processes of three users, and what each can do to the others.

root runs the action, one user the recorder, another one is the neighbour. The neighbour may write to the spool, which
an installation as documented prevents; so this is the second line of defence.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banledger.errors import StoreError
from banledger.ledger.opening import open_to_read
from banledger.spool.lock import NAME
from tests.support.lines import T0, ban, encode
from tests.support.segments import Writer
from tests.unit.action.test_action import Jail, module, ticket

from .conftest import wait_for

GROUP, RECORDER, NEIGHBOUR = 61_000, 61_001, 61_002
PYTHON = os.path.realpath(sys.executable)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be three users")


class Machine:
    """A spool that the neighbour may write to, the recorder as a process, actions in this one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self.home = folder / "home"
        self.said = folder / "said"
        self.spool.mkdir()
        os.chown(self.spool, 0, GROUP)
        self.spool.chmod(0o2770)
        self.home.mkdir(0o750)
        os.chown(self.home, RECORDER, RECORDER)
        self.recorders: list[subprocess.Popen[bytes]] = []
        self.neighbours: list[subprocess.Popen[str]] = []
        self.actions: list[Any] = []
        self.writers: list[Writer] = []

    def action(self) -> Any:
        """An action of root, started."""
        jail = Jail()
        action = module.Action(jail, "banledger", spool=str(self.spool), server="web1")
        jail.actions.active = True
        action.start()
        self.actions.append(action)
        return action

    def writer(self) -> Writer:
        """Writes whatever a test wants, in segments of root."""
        self.writers.append(Writer(self.spool))
        return self.writers[-1]

    def record(self) -> "subprocess.Popen[bytes]":
        """The service."""
        options = ["--spool", str(self.spool), "--store", str(self.home / "ledger.db")]
        known = {name: value for name, value in os.environ.items() if not name.startswith("BANLEDGER_")}
        known |= {"BANLEDGER_WHOIS_ENABLED": "false", "HOME": str(self.home)}
        with self.said.open("ab") as said:
            service = subprocess.Popen(
                [sys.executable, "-m", "banledger", "record", *options],
                cwd="/",
                stdout=said,
                stderr=said,
                env=known,
                user=RECORDER,
                group=RECORDER,
                extra_groups=[GROUP],
                umask=0o027,
            )
        self.recorders.append(service)
        return service

    def neighbour(self, script: str) -> str:
        """What a process of the neighbour prints, which ends by itself."""
        said, _ = self._neighbour(script).communicate(timeout=60)
        return said

    def harass(self, script: str) -> "subprocess.Popen[str]":
        """A process of the neighbour that goes on; returns once it has printed a line."""
        process = self._neighbour(script)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    def _neighbour(self, script: str) -> "subprocess.Popen[str]":
        head = "import fcntl, os, socket, sys, time\nos.umask(0)\n"
        process = subprocess.Popen(
            [PYTHON, "-I", "-c", head + script],
            cwd=self.spool,
            stdout=subprocess.PIPE,
            text=True,
            user=NEIGHBOUR,
            group=NEIGHBOUR,
            extra_groups=[GROUP],
        )
        self.neighbours.append(process)
        return process

    def recorded(self) -> list[str]:
        """What was banned, once for each ban in the ledger."""
        try:
            ledger = open_to_read(str(self.home / "ledger.db"), "bans")
        except StoreError:  # it is being made
            return []
        try:
            ids = [id_ for day in ledger.days() for id_ in ledger.ids_of_day(day)]
            return sorted(ban.fid for ban in ledger.bans(ids) if ban is not None)
        finally:
            ledger.close()

    def gaps(self) -> int:
        """How many gaps are recorded."""
        ledger = open_to_read(str(self.home / "ledger.db"), "bans")
        try:
            return len(list(ledger.gaps()))
        finally:
            ledger.close()

    @property
    def complaints(self) -> list[str]:
        """What the service said but for its start."""
        start = ("recording from", "created ledger")
        return [line for line in self.said.read_text().splitlines() if not any(word in line for word in start)]

    def left(self) -> list[str]:
        """What is in the spool besides the recorder's lock."""
        return [path.name for path in self.spool.iterdir() if path.name != NAME]

    def close(self) -> None:
        for recorder in self.recorders:
            recorder.kill()
            recorder.wait()
        for neighbour in self.neighbours:
            neighbour.kill()
            neighbour.communicate()
        for action in self.actions:
            action.stop()
        for writer in self.writers:
            writer.close()


def _others_can_run_it() -> bool:
    command = [sys.executable, "-c", "import banledger"]
    try:
        return not subprocess.run(command, cwd="/", user=RECORDER, group=RECORDER, check=False).returncode
    except PermissionError:  # a home that others can't enter
        return False


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Elsewhere than other tests' directories, which only their owner may enter."""
    folder = Path(tempfile.mkdtemp(prefix="banledger-group-"))
    folder.chmod(0o755)
    if not _others_can_run_it():
        pytest.skip("other users can't run the banledger that is tested")
    made = Machine(folder)
    yield made
    made.close()
    assert not made.said.exists() or "Traceback" not in made.said.read_text()
    shutil.rmtree(folder)


def fids(count: int) -> list[str]:
    return [f"192.0.2.{number}" for number in range(count)]


PLANT = """
names = iter(f"{1_000_000_000_000 + number}-0badbad0-1.jsonl" for number in range(100))
big = os.open(next(names), os.O_CREAT | os.O_WRONLY, 0o666)
os.ftruncate(big, 513 << 20)
with open(next(names), "w") as file:
    file.write('{"v":1,"kind":"ban","seen":1795400001,"seq":1,"server":"web1","jail":"sshd","fid":"evil","time":1795400000}\\n')
os.mkfifo(next(names))
os.mkdir(next(names))
os.symlink("/etc/passwd", next(names))
socket.socket(socket.AF_UNIX).bind(next(names))
os.symlink(".", next(names))
for name in (b"\\x1b[31m\\n\\xff", b"x" * 255, b"0000000000000-abcdef01-1.jsonl\\n"):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o666))
os.close(os.open(next(names), os.O_CREAT | os.O_WRONLY, 0))
"""


def test_foreign_files_in_the_spool_stop_nothing_and_are_logged_once(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.neighbour(PLANT)
    machine.record()
    action = machine.action()
    for fid in fids(10):
        action.ban(ticket(fid))
    wait_for(lambda: machine.recorded() == fids(10))
    assert len(machine.complaints) == 1, machine.complaints
    (complaint,) = machine.complaints
    assert "ignoring files in spool" in complaint and "foreign owner" in complaint
    assert "\x1b" not in complaint
    assert [record.getMessage() for record in caplog.records if "banledger" in record.getMessage()] == [
        f"banledger: ignoring files in spool {str(machine.spool)!r} that are not ours, such as "
        f"{caplog.records[0].args[1]!r}"  # type: ignore[index]
    ]


def test_thousands_of_foreign_files_delay_bans_but_lose_none(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.neighbour(
        "for number in range(30_000): os.close(os.open(f'{number:013d}-0badbad0-1.jsonl', os.O_CREAT | os.O_WRONLY))"
    )
    machine.record()
    action = machine.action()
    for fid in fids(10):
        action.ban(ticket(fid))
    wait_for(lambda: machine.recorded() == fids(10))
    ignored, many = machine.complaints
    assert "ignoring files in spool" in ignored and "files are in the spool" in many
    assert len([record for record in caplog.records if "banledger" in record.getMessage()]) <= 2


@pytest.mark.parametrize("plant", ["os.symlink(sys_home, 'rejected')", "os.mkdir('rejected')", "os.mkfifo('rejected')"])
def test_setting_a_line_aside_follows_no_symbolic_link(machine: Machine, plant: str) -> None:
    machine.neighbour(f"sys_home = {str(machine.home)!r}\n" + plant)
    writer = machine.writer()
    writer.raw(b"no line at all\n")
    writer.write("192.0.2.1")
    writer.close()
    before = {"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock"}
    machine.record()
    wait_for(lambda: machine.recorded() == ["192.0.2.1"])
    wait_for(lambda: "they stay in the spool" in machine.said.read_text())
    assert {path.name for path in machine.home.iterdir()} <= before
    assert writer.path.exists()
    if (machine.spool / "rejected").is_dir() and not (machine.spool / "rejected").is_symlink():
        assert list((machine.spool / "rejected").iterdir()) == []


RENAME = """
(name,) = [name for name in os.listdir() if name.endswith(".jsonl")]
print("ready", flush=True)
names = ["1000000000000-0badbad0-1.jsonl", "0000000000000-0badbad0-7.jsonl", "hidden", name]
for number in range(%d):
    os.rename(name, names[number %% 4])
    name = names[number %% 4]
    time.sleep(0.01)
"""


def test_a_live_segment_that_is_renamed_all_the_time_is_read_once(machine: Machine) -> None:
    machine.record()
    action = machine.action()
    action.ban(ticket("192.0.2.0"))
    wait_for(lambda: machine.recorded() == ["192.0.2.0"])
    harassing = machine.harass(RENAME % 402)
    for fid in fids(200)[1:]:
        action.ban(ticket(fid))
        time.sleep(0.01)
    harassing.wait(timeout=30)
    action.stop()
    wait_for(lambda: machine.recorded() == sorted(fids(200)))
    wait_for(lambda: not machine.left())
    second = machine.action()
    second.ban(ticket("192.0.2.250"))
    wait_for(lambda: len(machine.recorded()) == 201)
    assert machine.gaps() == 0


def test_a_live_segment_that_is_hidden_is_read_to_its_end(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.record()
    action = machine.action()
    action.ban(ticket("192.0.2.1"))
    wait_for(lambda: machine.recorded() == ["192.0.2.1"])
    machine.neighbour("os.rename(os.listdir()[0], 'hidden')")
    time.sleep(0.5)
    action.ban(ticket("192.0.2.2"))
    wait_for(lambda: machine.recorded() == ["192.0.2.1", "192.0.2.2"])
    monkeypatch.setattr(module.Segment, "ROTATE_BYTES", 100)
    action.ban(ticket("192.0.2.3"))
    wait_for(lambda: len(machine.recorded()) == 3)
    time.sleep(0.5)
    assert machine.gaps() == 0


def test_a_segment_renamed_before_it_is_read_keeps_its_writer(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = machine.action()
    action.ban(ticket("192.0.2.1"))
    (first,) = machine.spool.iterdir()
    monkeypatch.setattr(module.Segment, "ROTATE_BYTES", 100)
    action.ban(ticket("192.0.2.2"))
    machine.neighbour(
        f"(name,) = set(os.listdir()) - {{{first.name!r}}}\nos.rename(name, '1000000000000-0badbad0-1.jsonl')"
    )
    machine.record()
    wait_for(lambda: machine.recorded() == ["192.0.2.1", "192.0.2.2"])
    action.stop()
    wait_for(lambda: not machine.left())
    time.sleep(0.5)  # a gap is believed only when the next look brings no line of it
    assert machine.gaps() == 0


def test_the_ledgers_readers_cannot_enter_the_spool(machine: Machine) -> None:
    machine.action().ban(ticket("192.0.2.1"))
    said = subprocess.run(
        ["ls", machine.spool],
        env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        user=NEIGHBOUR,
        group=NEIGHBOUR,
        extra_groups=[RECORDER],
    )
    assert said.returncode != 0 and "Permission denied" in said.stderr


LOCK = """
held = [open(name) for name in os.listdir()]
for file in held:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        pass
print("ready", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    for file in held:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            pass
    time.sleep(0.0001)
"""


def test_a_foreign_lock_does_not_keep_a_closed_segment(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    action = machine.action()
    action.ban(ticket("192.0.2.1"))
    (first,) = machine.spool.iterdir()
    machine.harass(LOCK)
    monkeypatch.setattr(module.Segment, "ROTATE_BYTES", 100)
    action.ban(ticket("192.0.2.2"))
    machine.record()
    wait_for(lambda: machine.recorded() == ["192.0.2.1", "192.0.2.2"])
    wait_for(lambda: not first.exists())
    assert machine.gaps() == 0


def test_a_deleted_segment_is_a_gap(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    action = machine.action()
    action.ban(ticket("192.0.2.1"))
    machine.neighbour("for name in os.listdir(): os.unlink(name)")
    action.ban(ticket("192.0.2.2"))
    action.stop()
    machine.record()
    wait_for(lambda: machine.recorded() == ["192.0.2.2"])
    assert machine.left() == []


def test_group_members_can_neither_write_nor_link_segments(machine: Machine) -> None:
    action = machine.action()
    action.ban(ticket("192.0.2.1"))
    said = machine.neighbour("""
for attempt in (lambda name: open(name, "a"), lambda name: os.chmod(name, 0o666), lambda name: os.truncate(name, 0)):
    try:
        attempt(os.listdir()[0])
    except OSError as error:
        print(type(error).__name__)
""")
    assert said.split() == ["PermissionError"] * 3


# Memory


def huge_lines() -> Iterator[bytes]:
    """A mebibyte each, as hostile as their writer's format lets them be."""
    room = (1 << 20) - 400
    fields = json.loads(encode(ban("192.0.2.1", seq=1, seen=T0 + 1)))
    text = json.dumps(fields)[:-1]
    for number in range(10):
        fid = f"10.1.{number}.1"
        yield json.dumps(fields | {"fid": fid, "matches": ["m" * room + "\U0001f600"]}).encode()
        yield json.dumps(fields | {"fid": fid, "matches": ["\U0001f600" * (room // 12)]}).encode()
        yield json.dumps(fields | {"fid": fid, "users": [""] * (room // 4)}).encode()
        yield (text + ',"deep":' + "[" * (room // 2) + "]" * (room // 2) + "}").encode()
        yield (text + ',"bantime":' + "9" * room + "}").encode()
        yield json.dumps(fields | {"kind": "new", "what": [{}] * (room // 4)}).encode()
    for number in range(8):
        held = {"kind": "held", "as_of": T0, "bans": [[f"{number}-{i}", T0, 60, 1] for i in range(10_000)]}
        yield json.dumps(fields | held, separators=(",", ":")).encode()


def test_huge_lines_take_bounded_memory(machine: Machine) -> None:
    writer = machine.writer()
    for number, line in enumerate(huge_lines(), 1):
        writer.raw(line + b"\n")
        if number % 50 == 0:
            writer.rotate()
    writer.write("192.0.2.99")
    writer.close()
    service = machine.record()
    wait_for(lambda: machine.left() == ["rejected"], 120)
    (peak,) = (
        int(line.split()[1])
        for line in Path(f"/proc/{service.pid}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    assert peak < 350_000, f"{peak} kB"
    assert "192.0.2.99" in machine.recorded()


def test_a_segment_not_yet_open_to_the_group_is_waited_for_without_a_log_line(machine: Machine) -> None:
    writer = machine.writer()
    writer.path.chmod(0o600)
    machine.record()
    wait_for(lambda: "recording from" in machine.said.read_text())
    time.sleep(0.5)
    writer.path.chmod(0o640)
    writer.write("192.0.2.1")
    wait_for(lambda: machine.recorded() == ["192.0.2.1"])
    assert machine.complaints == []
