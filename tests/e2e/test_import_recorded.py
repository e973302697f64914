"""`banledger import` beside a running recorder: what it says was new, also if the recorder is killed meanwhile."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from banledger.errors import StoreError
from banledger.ledger.check import check
from banledger.ledger.import_count import ImportCount
from banledger.ledger.import_counts import stored_counts
from banledger.ledger.opening import open_to_read
from tests.support.servers import NAMES, flavour_named

from .conftest import wait_for

pytestmark = pytest.mark.e2e

_BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


def log(path: Path, bans: int, start: int = 0) -> Path:
    """Write a log of so many bans, each after a failure of another address."""
    lines = []
    for n in range(start, start + bans):
        moment = _BEGIN + timedelta(seconds=7 * n)
        address = f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"
        stamp = f"{moment:%Y-%m-%d %H:%M:%S}"
        lines.append(f"{stamp},100 fail2ban.filter         [4]: INFO    [sshd] Found {address} - {stamp}\n")
        lines.append(f"{stamp},500 fail2ban.actions        [4]: NOTICE  [sshd] Ban {address}\n")
    path.write_text("".join(lines))
    return path


class Place:
    """A spool, a store, and the recorder between them."""

    def __init__(self, home: Path, store: str) -> None:
        self.home, self.store = home, store
        self.spool = home / "spool"
        self.spool.mkdir()
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

    def record(self) -> "subprocess.Popen[bytes]":
        """Start a recorder, and wait until it reads the spool."""
        with self.said.open("ab") as said:
            one = subprocess.Popen(
                [sys.executable, "-m", "banledger", "record"], stdout=said, stderr=said, env=self.environment
            )
        self.recorders.append(one)
        wait_for((self.spool / ".recorder").exists)
        return one

    def begin(self, *words: str, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "banledger", "import", *words, "--timezone", "UTC"]
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def imports(self, *words: str) -> str:
        """Import, and return what it says."""
        out, err = (one := self.begin(*words)).communicate(timeout=120)
        assert (one.returncode, err) == (0, ""), err
        return out

    def counts(self) -> list[ImportCount]:
        with suppress(StoreError), closing(open_to_read(self.store, "bans")) as reader:
            return list(stored_counts(reader.store(), reader.keys, "web1").values())
        return []

    def assert_whole(self, bans: int) -> None:
        with closing(open_to_read(self.store, "bans")) as reader:
            assert sum(reader.days().values()) == bans
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
    place = Place(tmp_path, store)
    yield place
    place.close()


def test_an_import_says_how_many_bans_were_new(place: Place, tmp_path: Path) -> None:
    place.record()
    path = log(tmp_path / "fail2ban.log", 3000)
    assert place.imports(str(path), "--server", "web1").splitlines()[-2:] == [
        "recorded 3,000 bans: 3,000 new, 0 known, 0 amended",
        "shown by: banledger report --since all --server web1",
    ]
    more = log(tmp_path / "more.log", 100, 3000)
    out = place.imports(str(path), str(more), "--server", "web1", "--json")
    assert json.loads(out)["recorded"] == {
        "bans": 3100, "new": 100, "known": 3000, "amended": 0, "set_aside": 0, "exact": True
    }  # fmt: skip
    said = place.said.read_text()
    assert "import of 'web1' recorded: 6,200 lines read, 3,100 bans: 100 new, 3,000 known, 0 amended" in said
    place.assert_whole(3100)


@pytest.mark.parametrize("after", [1, 3000])
def test_a_recorder_killed_in_the_middle_counts_every_ban_once(place: Place, tmp_path: Path, after: int) -> None:
    recorder = place.record()
    command = place.begin(str(log(tmp_path / "fail2ban.log", 8000)), "--server", "web1")
    wait_for(lambda: any(count.seq >= after for count in place.counts()), 60)
    recorder.send_signal(signal.SIGKILL)
    recorder.wait()
    (before,) = place.counts()
    (place.spool / ".recorder").unlink(missing_ok=True)
    place.record()
    out, err = command.communicate(timeout=120)
    assert (command.returncode, err) == (0, "")
    wait_for(lambda: place.counts()[0].bans is not None, 60)
    (count,) = place.counts()
    assert (count.bans, count.lines.total) == (8000, 8000)
    assert count.lines.new >= 6000 and count.lines.amended == 0
    assert count.exact == (before.bans is not None)
    found = re.search(r"recorded 8,000 bans: ([\d,]+) new", out)
    if found:
        assert int(found[1].replace(",", "")) == count.lines.new
        assert ("approximate" in out) != count.exact
    else:  # it was between two recorders
        assert "no recorder is running" in out
    place.assert_whole(8000)


def test_an_interrupted_wait_loses_nothing(place: Place, tmp_path: Path) -> None:
    recorder = place.record()
    recorder.send_signal(signal.SIGSTOP)
    command = place.begin(str(log(tmp_path / "fail2ban.log", 100)), "--server", "web1")
    assert command.stdout is not None
    while "100 bans found" not in command.stdout.readline():
        pass
    wait_for(lambda: len(list(place.spool.glob("*.jsonl"))) == 1)
    command.send_signal(signal.SIGINT)
    _, err = command.communicate(timeout=20)
    assert command.returncode == 130
    assert err.splitlines()[0].endswith("nothing is lost: all is in the spool, and the recorder adds it")
    recorder.send_signal(signal.SIGCONT)
    wait_for(lambda: any(count.bans == 100 for count in place.counts()))
    place.assert_whole(100)


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 130)])
def test_a_terminal_is_asked_about_another_label(place: Place, tmp_path: Path, answer: str, code: int) -> None:
    place.record()
    path = str(log(tmp_path / "fail2ban.log", 50))
    place.imports(path, "--server", "web1")
    ours, theirs = pty.openpty()
    command = place.begin(path, "--server", "web2", stdin=theirs)
    os.write(ours, answer.encode())
    out, err = command.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)
    assert command.returncode == code and "recorded already as those of server 'web1'" in err
    assert ("recorded 50 bans: 50 new" in out) == (code == 0)
    place.assert_whole(100 if code == 0 else 50)
