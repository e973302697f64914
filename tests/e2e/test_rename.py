"""`banledger store rename-server`: killed, beside a recorder, with the past under a wrong label."""

import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from banledger.ledger.opening import open_to_read
from banledger.ledger.rename import sources_of
from tests.support.lines import T0, ban, encode

from .conftest import wait_for
from .test_forget import Place, place, some  # noqa: F401  a fixture
from .test_import_recorded import log

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("bans", [3000, pytest.param(100_000, marks=pytest.mark.long)])
def test_a_rename_killed_twice_is_finished_by_the_next(place: Place, bans: int) -> None:  # noqa: F811
    place.write(*[encode(ban(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", time=T0 + n, seq=n + 1)) for n in range(bans)])
    place.run("record", "--once")
    dice = random.Random(5)
    command = [sys.executable, "-m", "banledger", "store", "rename-server", "web1", "mail", "--yes"]
    for _ in range(2):
        one = subprocess.Popen(command, env=place.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.3, 0.6) * (1 + bans / 20_000))
        one.send_signal(signal.SIGKILL)
        one.wait()
    done = subprocess.run(command, env=place.environment, capture_output=True, text=True, timeout=120)
    if done.returncode:  # a run was faster than its signal
        assert "no ban by a server 'web1' is recorded" in done.stderr
    else:
        assert f"'mail' has {bans:,} bans; nothing of 'web1' is left" in done.stdout
    with closing(open_to_read(place.store, "bans")) as reader:
        assert not sources_of(reader.store(), reader.keys, "web1")
    assert (place.bans(), place.bans(server="mail"), place.bans(server="web1")) == (bans, bans, 0)
    place.said.touch()
    place.assert_whole()


def test_a_log_imported_under_a_wrong_label_counts_once_afterwards(place: Place, tmp_path: Path) -> None:  # noqa: F811
    path = log(tmp_path / "fail2ban.log", 300)
    place.record()
    place.run("import", str(path), "--server", "web1", "--timezone", "UTC")
    place.run("import", str(path), "--server", "wrong", "--timezone", "UTC", "--yes")
    assert place.bans() == 600
    place.recorders[-1].terminate()
    place.recorders[-1].wait()
    assert "'wrong' has 300 bans" in place.run("store", "rename-server", "wrong", "web1", "--dry-run")
    said = place.run("store", "rename-server", "wrong", "web1", "--yes")
    assert "300 bans of 'wrong' are now of 'web1' (300 joined with bans that it had)" in said
    assert place.bans() == place.bans(server="web1") == 300
    place.assert_whole()


def test_a_recorder_of_an_embedded_ledger_must_be_stopped(tmp_path: Path) -> None:
    mine = Place(tmp_path, str(tmp_path / "ledger.db"))
    mine.write(*some(10))
    mine.record()
    wait_for(lambda: mine.bans() == 10)
    assert "another recorder writes" in mine.run("store", "rename-server", "web1", "mail", "--yes", code=6)
    assert "did you mean 'web1'?" in mine.run("store", "rename-server", "web", "mail", "--yes", code=2)
    assert mine.bans(server="web1") == 10
    mine.close()
