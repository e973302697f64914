"""`banledger forget` beside a real recorder and a real fail2ban: killed, replayed, restored, imported again."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from banledger.ledger.check import check
from banledger.ledger.forget_request import read_requests
from banledger.ledger.opening import open_to_read
from tests.support.lines import T0, ban, encode
from tests.support.servers import NAMES, StoreServer, flavour_named

from .conftest import Stage, wait_for

pytestmark = pytest.mark.e2e

BAD = "198.51.100.23"
_LEFT = "left: 0 bans, 0 entries of sets, rankings and tallies, "


class Place:
    """A spool, a store, and the recorder between them."""

    def __init__(self, home: Path, store: str, spool: Path | None = None) -> None:
        self.home, self.store = home, store
        self.spool = spool or home / "spool"
        self.spool.mkdir(exist_ok=True)
        self.spool.chmod(0o2770)
        self.said = home / "said"
        self.recorders: list[subprocess.Popen[bytes]] = []
        known = {name: value for name, value in os.environ.items() if not name.startswith("BANLEDGER_")}
        self.environment = known | {
            "BANLEDGER_WHOIS_ENABLED": "false",
            "BANLEDGER_SPOOL": str(self.spool),
            "BANLEDGER_STORE": store,
            "BANLEDGER_TIMEZONE": "UTC",
            "STATE_DIRECTORY": str(home),
        }

    def record(self, **more: str) -> "subprocess.Popen[bytes]":
        """Start a recorder."""
        with self.said.open("ab") as said:
            command = [sys.executable, "-m", "banledger", "record"]
            one = subprocess.Popen(command, stdout=said, stderr=said, env=self.environment | more)
        self.recorders.append(one)
        wait_for((self.spool / ".recorder").exists)
        return one

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command; return what it says."""
        done = subprocess.run(
            [sys.executable, "-m", "banledger", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def write(self, *lines: bytes, number: int = 1) -> Path:
        """Write a segment of a writer that has ended."""
        path = self.spool / f"{1_700_000_000_000 + number}-abcdef01-{number}.jsonl"
        new = path.with_suffix(".new")  # a segment without a lock is taken for whole
        new.write_bytes(b"".join(lines))
        return new.rename(path)

    def bans(self, **of: str) -> int:
        with closing(open_to_read(self.store, "bans")) as reader:
            if of:
                ((name, tok),) = of.items()
                return len(list(reader.ids(name, tok)))
            return sum(reader.days().values())

    def requests(self) -> int:
        """How many requests are carried out."""
        with closing(open_to_read(self.store, "bans")) as reader:
            return sum(one.purged for one in read_requests(reader.store(), reader.keys).values())

    def assert_whole(self) -> None:
        with closing(open_to_read(self.store, "bans")) as reader:
            assert list(check(reader.store(), reader.keys)) == []

    def close(self) -> None:
        for one in self.recorders:
            one.kill()
            one.wait()
        assert "Traceback" not in self.said.read_text()


@pytest.fixture(params=["embedded", *NAMES])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    store = str(tmp_path / "ledger.db")
    if request.param != "embedded":
        server = request.getfixturevalue("_shared_servers")(flavour_named(request.param))
        server.flush()
        store = server.url
    made = Place(tmp_path, store)
    yield made
    made.close()


def some(bans: int) -> list[bytes]:
    """Bans of ten networks of 250 addresses."""
    return [encode(ban(f"10.0.{n % 10}.{n // 10 % 250}", time=T0 + n, users=("root",), seq=n + 1)) for n in range(bans)]


def test_the_command_shows_waits_and_proves(place: Place) -> None:
    place.write(*some(3000))
    place.record()
    wait_for(lambda: place.bans() == 3000)
    assert "10.0.3.0/24: 300 bans" in place.run("forget", "--ip", "10.0.3.0/24", "--dry-run")
    assert "--yes gives it" in place.run("forget", "--ip", "10.0.3.0/24", code=1)
    assert place.bans() == 3000
    assert f"\nforgotten: 300 bans\n{_LEFT}" in place.run("forget", "--ip", "10.0.3.0/24", "--yes")
    assert f"\nforgotten: parts of 2,700 bans\n{_LEFT}" in place.run("forget", "--user", "root", "--yes")
    assert "none is recorded" in place.run("forget", "--ip", "10.0.3.0/24", "--yes")
    assert place.bans() == 2700 and place.bans(user="root") == 0
    wait_for(lambda: "forgotten (user): parts of 2,700 bans" in place.said.read_text())
    assert "10.0.3." not in place.said.read_text()
    place.assert_whole()


def test_a_recorder_killed_again_and_again_forgets_everything(place: Place) -> None:
    place.write(*some(4000))
    place.record()
    wait_for(lambda: place.bans() == 4000)
    place.recorders[-1].kill()
    place.recorders[-1].wait()
    out = place.run("forget", "--ip", "10.0.0.0/21", "--yes")
    assert "no recorder is running" in out and "goes on with it" in out
    dice = random.Random(16)
    for _ in range(6):
        one = place.record()
        time.sleep(dice.uniform(0.3, 1.2))
        one.send_signal(signal.SIGKILL)
        one.wait()
    place.record()
    wait_for(lambda: place.requests() == 1, 60)
    assert place.bans() == 800
    place.write(*some(4000), number=2)
    place.write(encode(ban("192.0.2.9", seq=4001)), number=3)
    wait_for(lambda: place.bans(ip="192.0.2.9") == 1)
    assert place.bans() == 801
    place.assert_whole()


def test_invalid_lines_that_name_it_go_too(place: Place) -> None:
    place.write(
        encode(ban()), b'{"v":1,"kind":"ban","fid":"192.0.2.1"}\n', b'{"v":1,"kind":"ban","fid":"192.0.2.11"}\n'
    )
    place.record()
    rejected = place.spool / "rejected"
    wait_for(lambda: rejected.is_dir() and len(list(rejected.iterdir())) == 2)
    wait_for(lambda: place.bans() == 1)
    assert f"\nforgotten: 1 ban, 1 other record\n{_LEFT}" in place.run("forget", "--ip", "192.0.2.1", "--yes")
    assert [b"192.0.2.11" in one.read_bytes() for one in rejected.iterdir()] == [True]


def test_recording_goes_on_meanwhile(place: Place) -> None:
    place.write(*some(6000))
    place.record()
    wait_for(lambda: place.bans() == 6000)
    asking = subprocess.Popen(
        [sys.executable, "-m", "banledger", "forget", "--ip", "10.0.0.0/16", "--yes"],
        env=place.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    for number in range(2, 12):
        place.write(encode(ban("192.0.2.77", time=T0 + 100_000 + number, seq=10_000 + number)), number=number)
        time.sleep(0.05)
    out, _ = asking.communicate(timeout=120)
    assert f"\nforgotten: 6,000 bans\n{_LEFT}" in out
    wait_for(lambda: place.bans(ip="192.0.2.77") == 10)
    place.assert_whole()


def test_settings_forget_old_bans_every_day(tmp_path: Path) -> None:
    """The recorder's clocks say that a day passes in a second, and that they are settled."""
    place = Place(tmp_path, str(tmp_path / "ledger.db"))
    now = time.time()
    days = [int(now - 86_400 * age) for age in range(0, 100, 5)]
    place.write(*[encode(ban(f"10.1.0.{n}", time=t, matches=("m",), seq=n + 1)) for n, t in enumerate(days)])
    hasty = "import banledger.clock as c; c.SETTLED_S = 0.0; from banledger.__main__ import main; main()"
    environment = place.environment | {"BANLEDGER_RETENTION_BANS": "60d", "BANLEDGER_RETENTION_MATCHES": "4w"}
    with place.said.open("ab") as said:
        one = subprocess.Popen([sys.executable, "-c", hasty, "record"], stdout=said, stderr=said, env=environment)
    place.recorders.append(one)
    wait_for(
        lambda: (tmp_path / "ledger.db").exists() and "forgotten (matches): parts of 6 bans" in place.said.read_text()
    )
    assert place.bans() == 12
    place.assert_whole()
    place.close()


# A real fail2ban


def test_what_fail2ban_restores_and_logs_tell_stays_forgotten(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    place = Place(tmp_path / "place", stage.store, stage.spool)
    server = stage.start(defaults={"bantime": "-1"})
    place.record()
    stage.fail(BAD)
    stage.fail("203.0.113.9")
    wait_for(lambda: place.store and Path(place.store).exists() and place.bans() == 2)
    kept = tmp_path / "kept"
    shutil.copytree(stage.spool, kept)
    out = place.run("forget", "--ip", BAD, "--yes")
    assert "forgotten: 1 ban" in out
    server.stop()
    server.start()
    wait_for(lambda: BAD in server.client("get", "sshd", "banip"))
    for path in kept.glob("*.jsonl"):
        with suppress(FileExistsError):
            (stage.spool / f"1700000000009-{path.name.split('-', 1)[1]}").write_bytes(path.read_bytes())
    wait_for(lambda: not list(stage.spool.glob("1700000000009-*")))
    log = next((stage.directory / "fail2ban").rglob("fail2ban.log"))
    database = next((stage.directory / "fail2ban").rglob("*.sqlite3"))
    said = place.run("import", str(log), str(database), "--server", "web1")
    assert re.search(r"recorded \d+ bans: 0 new", said), said
    assert (place.bans(ip=BAD), place.bans()) == (0, 1)
    place.assert_whole()
    assert "1 new" in place.run("import", str(log), "--server", "web1", "--again")
    assert (place.bans(ip=BAD), place.bans()) == (1, 2)
    place.assert_whole()
    place.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_rewritten_append_only_file_has_nothing_of_it(name: str, tmp_path: Path) -> None:
    with StoreServer(flavour_named(name), tmp_path / "server") as server:
        place = Place(tmp_path, server.url)
        place.write(
            *[encode(ban(BAD, time=T0 + n, users=("mallory",), matches=(f"of {BAD}",), seq=n + 1)) for n in range(50)]
        )
        place.record()
        wait_for(lambda: place.bans() == 50)
        assert "forgotten: 50 bans" in place.run("forget", "--ip", BAD, "--yes")
        place.recorders[-1].terminate()
        place.recorders[-1].wait()
        server.cli("BGREWRITEAOF")
        wait_for(lambda: "aof_rewrite_in_progress:0" in server.cli("INFO", "persistence"))
        wait_for(lambda: "aof_rewrite_scheduled:0" in server.cli("INFO", "persistence"))
        files = [path for path in (tmp_path / "server").rglob("*") if path.is_file() and "aof" in path.name]
        assert files and not any(BAD.encode() in path.read_bytes() or b"mallory" in path.read_bytes() for path in files)
        place.close()
