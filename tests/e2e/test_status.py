"""`banledger status` beside real recorders: running, stopped, killed, hindered, several, with wrong clocks."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from banledger.ledger.recorder_health import SILENT_S
from banledger.ledger.writer import open_to_write
from tests.conftest import MakeServer
from tests.support.servers import Flavour, StoreServer

from .conftest import wait_for
from .recording import Recording

HOUR_S = 3600.0
MARK = "no sign of life"


def shifted(seconds: float) -> list[str]:
    """The words of a Python that runs banledger with a wall clock that is so far ahead."""
    code = (
        f"import sys, time; real = time.time; time.time = lambda: real() + {seconds!r}; "
        "from banledger.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    return ["-c", code]


class Watched(Recording):
    """A recording, and the commands beside it."""

    def __init__(self, folder: Path, server: StoreServer, store: str, name: str = "one") -> None:
        super().__init__(folder / name, server)
        self.store = store or self.reach
        self.name = name
        self.configure(store=self.store, machine=name)

    def banledger(self, *words: str, ahead_s: float = 0.0) -> tuple[int, str, str]:
        command = [sys.executable, *(shifted(ahead_s) if ahead_s else ["-m", "banledger"]), *words]
        known = {name: value for name, value in os.environ.items() if not name.startswith("BANLEDGER_")}
        done = subprocess.run(
            [*command, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=60,
            env=known | {"COLUMNS": "80"},
        )
        return done.returncode, done.stdout, done.stderr

    def status(self, ahead_s: float = 0.0) -> dict[str, Any]:
        code, out, _ = self.banledger("status", "--json", ahead_s=ahead_s)
        return dict(json.loads(out)) if code == 0 else {"recorders": [], "state": "error"}

    def states(self) -> list[str]:
        return [one["state"] for one in self.status()["recorders"]]

    def check(self, *words: str, ahead_s: float = 0.0) -> tuple[int, str]:
        code, out, _ = self.banledger("status", "--check", *words, ahead_s=ahead_s)
        return code, out

    def age_heartbeats(self, seconds: float) -> None:
        """As if so much time had passed since they were written."""
        with closing(open_to_write(self.store, "bans", "UTC")) as ledger:
            for beat in ledger.heartbeats():
                gone = {"stopped": beat.stopped - seconds} if beat.stopped else {}
                ledger.beat(replace(beat, written=beat.written - seconds, **gone))


@pytest.fixture
def redis_server(private_server: MakeServer, flavour: Flavour) -> StoreServer:
    """One that keeps an append-only file: without it, the status warns."""
    return private_server(flavour)


@pytest.fixture(params=["embedded", "server"])
def watched(request: pytest.FixtureRequest, redis_server: StoreServer, tmp_path: Path) -> Iterator[Watched]:
    """A recording into either kind of store."""
    store = str(tmp_path / "ledger.db") if request.param == "embedded" else ""
    made = Watched(tmp_path, redis_server, store)
    yield made
    made.close()


def test_a_running_recorder_is_told_with_its_last_ban(watched: Watched) -> None:
    watched.start()
    watched.write(3)
    wait_for(lambda: bool(watched.status().get("bans")))
    wait_for(lambda: watched.status()["recorders"][0]["lines"] == 3)
    found = watched.status()
    assert watched.banledger("status")[1].startswith("Recording · last ban ")
    (one,) = found["recorders"]
    assert (found["state"], found["wrong"], found["bans"]) == ("ok", [], 3)
    assert (one["state"], one["waiting"], one["labels"]) == ("recording", 0, ["web1"])
    assert one["last_id"]
    code, line = watched.check()
    assert (code, line.startswith("BANLEDGER OK - recording on ")) == (0, True)
    assert line.count("\n") == 1
    assert watched.check("--warning", "10m", "--critical", "2h")[0] == 0
    assert "oldest=0s;300;3600;0" in line
    _, out, err = watched.banledger("report", "--since", "all")
    assert (out.startswith("Bans of all time"), err) == (True, "")


def test_a_stopped_recorder_is_told_at_once(watched: Watched) -> None:
    service = watched.start()
    wait_for(lambda: watched.states() == ["recording"])
    service.terminate()
    service.wait(timeout=20)
    assert watched.states() == ["stopped"]
    assert watched.check()[0] == 1
    _, _, err = watched.banledger("report")
    assert err == ""
    watched.age_heartbeats(3 * HOUR_S)
    code, line = watched.check()
    assert (code, "recording stopped 3 h ago on" in line) == (2, True)
    for words in (("report",), ("show", "192.0.2.1")):
        _, _, err = watched.banledger(*words)
        assert err.startswith("warning: recording stopped 3 h ago on ")
        assert err.endswith(": banledger status\n")
        assert watched.banledger(*words, "--json")[2] == ""


def test_a_killed_recorder_is_silent_and_back_when_it_starts_again(watched: Watched) -> None:
    service = watched.start()
    wait_for(lambda: watched.states() == ["recording"])
    service.kill()
    service.wait(timeout=20)
    assert watched.states() == ["recording"]
    watched.age_heartbeats(SILENT_S + 10)
    assert watched.states() == ["silent"]
    assert watched.check("--warning", "5m")[0] == 1
    code, line = watched.check("--warning", "60s")
    assert (code, MARK in line) == (2, True)
    watched.start()
    wait_for(lambda: watched.states() == ["recording"])


def test_a_spool_that_cannot_be_read_is_told_with_the_reason(watched: Watched) -> None:
    watched.start()
    wait_for(lambda: watched.states() == ["recording"])
    shutil.rmtree(watched.spool)
    wait_for(lambda: watched.states() == ["waiting"])
    code, line = watched.check()
    assert code == 1
    assert "can't read the spool" in line
    watched.spool.mkdir()
    wait_for(lambda: watched.states() == ["recording"], 60)


def test_recorders_of_a_fleet_are_listed_those_with_trouble_first(redis_server: StoreServer, tmp_path: Path) -> None:
    both = [Watched(tmp_path, redis_server, "", name) for name in ("one", "two")]
    for one in both:
        one.label = f"web-{one.name}"
        one.start()
        one.write(1)
    first, second = both
    wait_for(lambda: sorted(one["labels"] for one in first.status()["recorders"]) == [["web-one"], ["web-two"]])
    second.services[0].terminate()
    second.services[0].wait(timeout=20)
    found = first.status()["recorders"]
    assert [(one["state"], one["labels"]) for one in found] == [("stopped", ["web-two"]), ("recording", ["web-one"])]
    for one in both:
        one.close()


def test_a_recorder_that_took_over_the_labels_of_another_replaces_it(redis_server: StoreServer, tmp_path: Path) -> None:
    both = [Watched(tmp_path, redis_server, "", name) for name in ("one", "two")]
    first, second = both
    second.configure(store=second.store, machine="one")  # the same machine, with another spool
    service = first.start()
    first.write(1)
    wait_for(lambda: [one["labels"] for one in first.status()["recorders"]] == [["web1"]])
    service.terminate()
    service.wait(timeout=20)
    second.start()
    second.ban("10.9.9.9")
    wait_for(lambda: first.states() == ["recording", "replaced"])
    assert first.check()[0] == 0
    for one in both:
        one.close()


@pytest.mark.parametrize("wrong_s", [-400 * 86_400.0, 400 * 86_400.0])
def test_the_wrong_clock_of_a_machine_makes_no_recorder_silent(
    redis_server: StoreServer, tmp_path: Path, wrong_s: float
) -> None:
    watched = Watched(tmp_path, redis_server, "")
    watched.program = shifted(wrong_s)
    watched.start()
    wait_for(lambda: watched.states() == ["recording"])
    assert watched.banledger("report")[2] == ""
    assert watched.status(ahead_s=wrong_s)["recorders"][0]["state"] == "recording"
    assert watched.status(ahead_s=-wrong_s)["recorders"][0]["state"] == "recording"
    watched.close()


def test_a_store_that_dies_is_critical_and_the_recorder_is_back_with_it(
    redis_server: StoreServer, tmp_path: Path
) -> None:
    watched = Watched(tmp_path, redis_server, "")
    watched.start()
    wait_for(lambda: watched.states() == ["recording"])
    redis_server.kill()
    code, line = watched.check()
    assert (code, line.startswith("BANLEDGER CRITICAL - ")) == (2, True)
    assert watched.banledger("status")[0] == 5
    redis_server.start()
    watched.write(2)
    wait_for(lambda: watched.status().get("bans") == 2, 60)
    wait_for(lambda: watched.states() == ["recording"], 60)
    watched.close()


def test_two_recorders_of_one_spool_leave_the_heartbeat_to_the_first(redis_server: StoreServer, tmp_path: Path) -> None:
    watched = Watched(tmp_path, redis_server, "")
    watched.start()
    wait_for(lambda: watched.states() == ["recording"])
    second = watched.start()
    watched.wait_for("another recorder reads the spool")
    second.terminate()
    second.wait(timeout=20)
    assert watched.states() == ["recording"]
    watched.close()


def test_without_a_ledger_the_check_is_critical(watched: Watched) -> None:
    assert watched.check()[0] == 2
    code, _, err = watched.banledger("status")
    assert (code, "sudo banledger setup" in err) == (4, True)


def test_a_ledger_without_heartbeats_is_unknown(watched: Watched) -> None:
    watched.write(1)
    assert watched.run("--once") == 0
    code, line = watched.check()
    assert (code, "no recorder says that it runs" in line) == (3, True)
    assert watched.banledger("report")[2] == ""
    assert watched.banledger("status")[0] == 0
