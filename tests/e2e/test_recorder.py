"""From a real fail2ban-server to the ledger: every ban once, whatever dies in between."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from banledger.errors import LedgerMissing
from banledger.ledger.ban import Ban
from banledger.ledger.check import check
from banledger.ledger.opening import open_to_read
from banledger.ledger.reader import LedgerReader
from tests.conftest import MakeServer
from tests.support.fail2ban import PrivateServer
from tests.support.servers import StoreServer, flavour_named

from .conftest import Stage, wait_for

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]

_BAN = re.compile(r"NOTICE +\[(?P<jail>[^]]+)\] (?P<what>Ban|Unban) (?P<ip>\S+)")


@pytest.fixture(params=["embedded", "redis", "hanging"])
def stage(request: pytest.FixtureRequest, stage: Stage, private_server: MakeServer) -> Stage:
    """A stage with each kind of ledger, and one whose registries never answer.

    The server is one that has on its disk what it has confirmed. Addresses are public ones: they would be asked about.
    """
    stage.registries = request.param if request.param == "hanging" else ""
    if request.param == "redis":
        stage.keeper = private_server(flavour_named("redis-7"), extra=("--appendfsync", "always"))
    return stage


def recorder(stage: Stage, *more: str) -> subprocess.Popen[bytes]:
    """`banledger record` on the stage's spool."""
    program = ["tests.support.whois_recorder", stage.registries] if stage.registries else ["banledger"]
    command = [sys.executable, "-m", *program, "record", "--spool", str(stage.spool), "--store", stage.store]
    state = stage.spool.with_name("state")  # as the unit gives it one
    state.mkdir(exist_ok=True)
    environment = os.environ | {"STATE_DIRECTORY": str(state)}
    environment |= {"BANLEDGER_WHOIS_ENABLED": "true"} if stage.registries else {}
    return subprocess.Popen(
        [*command, *more], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT, env=environment
    )


def record_once(stage: Stage) -> None:
    """Drain the spool."""
    child = recorder(stage, "--once")
    _, said = child.communicate(timeout=60)
    assert child.returncode == 0, said.decode()


def ledger(stage: Stage) -> LedgerReader:
    """The ledger, to read."""
    return open_to_read(stage.store, "bans")


def bans(stage: Stage) -> list[Ban]:
    """Every ban, oldest first; none where there is no ledger yet."""
    try:
        reader = ledger(stage)
    except LedgerMissing:
        return []
    ids = sorted(id_ for day in reader.days() for id_ in reader.ids_of_day(day))
    found = [ban for ban in reader.bans(ids) if ban is not None]
    assert len(found) == len(ids)
    reader.close()
    return found


def assert_whole(stage: Stage) -> None:
    """Sets, tallies and rankings are what the hashes say."""
    reader = ledger(stage)
    assert list(check(reader.store(), reader.keys)) == []
    reader.close()


def said(server: PrivateServer, what: str) -> Counter[tuple[str, str]]:
    """What the server says it did, by jail and address."""
    return Counter((match["jail"], match["ip"]) for match in _BAN.finditer(server.log_text()) if match["what"] == what)


def live(keeper: StoreServer | None, rng: random.Random) -> None:
    """Let a moment pass in the life of a recorder; a server may come back in it, and be killed."""
    if keeper is None:
        time.sleep(rng.uniform(0.05, 0.45))
        return
    time.sleep(rng.uniform(0, 0.3))
    keeper.start()
    time.sleep(rng.uniform(0.3, 1.2))
    if rng.random() < 0.6:
        keeper.kill()
        time.sleep(rng.uniform(0, 0.3))


def kill_at_random_moments(stage: Stage, kills: int, seed: int, network: int = 5) -> None:
    """Bans under load while the recorder is killed again and again; then compare with the server's own log.

    Where the ledger is on a server, that is killed too, at moments of its own, and comes back a little later.
    """
    rng = random.Random(seed)
    jails = {
        "sshd": stage.jail(maxretry="1"),
        "sshd-second": stage.jail(maxretry="1", filter="sshd"),
    }
    server = stage.start(jails)
    addresses = 0
    for _ in range(kills):
        child = recorder(stage)
        burst = rng.randint(10, 60)
        for address in range(addresses, addresses + burst):
            stage.fail(f"{network}.{address >> 16}.{address >> 8 & 255}.{address & 255}", times=1)
        addresses += burst
        if addresses > 100 and rng.random() < 0.3:
            server.client("set", "sshd", "unbanip", f"{network}.0.0.{rng.randint(0, 20)}")
        live(stage.keeper, rng)
        child.kill()
        child.communicate()
    if stage.keeper:
        stage.keeper.start()
    wait_for(lambda: sum(said(server, "Ban").values()) >= 2 * addresses, 60)
    unbanned = set(said(server, "Unban"))  # when it stops the server says it of all, and lifts none
    server.stop()
    record_once(stage)
    recorded = bans(stage)
    assert Counter((ban.jail, ban.fid) for ban in recorded) == said(server, "Ban")
    assert {(ban.jail, ban.fid) for ban in recorded if ban.unbanned is not None} == unbanned
    assert_whole(stage)
    assert list(stage.spool.glob("*.jsonl")) == []


def test_kills_under_load_lose_and_duplicate_no_ban(stage: Stage) -> None:
    kill_at_random_moments(stage, 20 if stage.registries else 50, seed=1)


def _behave(stage: Stage, registries: str) -> None:
    if stage.registries:
        pytest.skip("its registries hang already")
    stage.registries = registries


@pytest.mark.parametrize("registries", ["prompt", "failing"])
def test_kills_during_whois_lose_and_duplicate_no_ban(stage: Stage, registries: str) -> None:
    _behave(stage, registries)
    kill_at_random_moments(stage, 8, seed=3)
    named = [ban for ban in bans(stage) if ban.network is not None]
    assert {(ban.network, ban.country, ban.org) for ban in named} <= {
        ("5.0.0.0/24", "AQ", "Penguins"),
        ("5.0.1.0/24", "AQ", "Penguins"),
    }
    assert registries == "prompt" or not named


@pytest.mark.parametrize("registries", ["slow", "failing"])
def test_a_ban_is_visible_at_once_with_any_registry(stage: Stage, registries: str) -> None:
    _behave(stage, registries)
    server = stage.start()
    child = recorder(stage)
    try:
        for number in range(1, 4):
            stage.fail(f"5.0.{number}.1")
            wait_for(lambda number=number: len(bans(stage)) == number, 5)  # type: ignore[misc]
        if registries == "slow":
            wait_for(lambda: all(ban.whois == "proven" for ban in bans(stage)))
    finally:
        child.send_signal(signal.SIGTERM)
        _, messages = child.communicate(timeout=10)
    assert child.returncode == 0 and "Traceback" not in messages.decode()
    assert_whole(stage)
    reader = ledger(stage)
    assert reader.waiting() == (0 if registries == "slow" else 3)
    reader.close()
    server.stop()


@pytest.mark.long
def test_three_hundred_kills_lose_and_duplicate_no_ban(stage: Stage) -> None:
    kill_at_random_moments(stage, 300, seed=2)


def test_a_recorder_that_starts_later_finds_everything(stage: Stage) -> None:
    server = stage.start()
    for number in range(20):
        stage.fail(f"5.0.2.{number}")
    stage.wait_for_lines(20)
    server.client("set", "sshd", "unbanip", "5.0.2.3")
    server.stop()
    record_once(stage)
    recorded = bans(stage)
    assert len(recorded) == 20
    assert [ban.fid for ban in recorded if ban.unbanned is not None] == ["5.0.2.3"]
    assert {ban.users for ban in recorded} == {("root",)}
    assert_whole(stage)


def test_restored_bans_change_nothing_that_is_recorded(stage: Stage) -> None:
    now = time.time()
    server = stage.start()
    for number, fraction in enumerate((0.1, 0.49, 0.5, 0.51, 0.9)):
        stage.fail(f"5.0.2.{number}", at=int(now) - 5 - number + fraction)
    stage.wait_for_lines(5)
    server.client("set", "sshd", "banip", "198.51.100.0/24", "2001:DB8::1")
    stage.wait_for_lines(7)
    record_once(stage)
    before = bans(stage)
    server.stop()
    server.start()
    wait_for(lambda: sum(line.get("restored", 0) for line in stage.lines()) == 7)
    record_once(stage)
    assert bans(stage) == before
    assert len(before) == 7


def test_bans_made_without_the_action_are_recorded_as_restored(stage: Stage) -> None:
    server = stage.start()
    stage.fail("5.0.2.1")
    stage.wait_for_lines(1)
    server.stop()
    with_action = server.jails["sshd"]["action"]
    server.jails["sshd"]["action"] = ""
    server.write_config()
    server.start()
    stage.fail("5.0.2.2")
    wait_for(lambda: "Ban 5.0.2.2" in server.log_text())
    server.stop()
    server.jails["sshd"]["action"] = with_action
    server.write_config()
    server.start()
    wait_for(lambda: len(stage.lines("ban")) >= 3)
    record_once(stage)
    origins = {ban.fid: (ban.origin, ban.bancount) for ban in bans(stage)}
    assert origins == {"5.0.2.1": ("live", 1), "5.0.2.2": ("restored", 1)}
    assert_whole(stage)


def test_a_prolonged_ban_is_amended_and_not_counted_twice(stage: Stage) -> None:
    server = stage.start(defaults={"bantime": "2", "bantime.increment": "true", "bantime.multipliers": "1 900"})
    stage.fail("5.0.2.1")
    stage.wait_for_lines(1, "unban")
    stage.fail("5.0.2.1")
    stage.wait_for_lines(1, "prolong")
    record_once(stage)
    first, second = bans(stage)
    assert first.unbanned is not None
    assert second.prolonged is not None
    assert (second.bantime, second.bancount, second.open) == (1800, 2, True)
    assert_whole(stage)
    server.stop()


def test_unban_all_closes_every_record_and_a_stop_closes_none(stage: Stage) -> None:
    server = stage.start()
    server.client("set", "sshd", "banip", "5.0.2.1", "5.0.2.2")
    server.client("unban", "--all")
    server.client("set", "sshd", "banip", "5.0.2.3")
    server.stop()
    record_once(stage)
    assert {ban.fid: ban.open for ban in bans(stage)} == {"5.0.2.1": False, "5.0.2.2": False, "5.0.2.3": True}


def test_the_service_records_within_a_moment_and_stops_cleanly(stage: Stage) -> None:
    server = stage.start()
    child = recorder(stage)
    try:
        stage.fail("5.0.2.1")
        wait_for(lambda: len(bans(stage)) == 1)
        child.send_signal(signal.SIGHUP)
        stage.fail("5.0.2.2")
        wait_for(lambda: len(bans(stage)) == 2)
    finally:
        child.send_signal(signal.SIGTERM)
        _, messages = child.communicate(timeout=10)
    assert child.returncode == 0
    assert messages.decode().count("recording from") == 2
    assert messages.decode().endswith("banledger: stopped\n")
    server.stop()
