"""What is in force by the ledger is what fail2ban itself says, whatever happens to fail2ban and to its clock."""

import json
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest

import banledger
from banledger.ledger.ban import Ban
from banledger.ledger.check import check
from banledger.ledger.opening import open_to_read
from banledger.ledger.writer import Ledger, open_to_write
from banledger.report.show import state_of
from banledger.service.recorder import Recorder
from banledger.spool.reader import SpoolReader
from tests.support.fail2ban import PrivateServer, with_python
from tests.support.lines import nowhere

from .conftest import Stage, wait_for

pytestmark = pytest.mark.e2e

_SOURCE = Path(banledger.__file__).parent / "action" / "banledger.py"
_HASTE = {
    "SETTLED_S = 30.0": "SETTLED_S = 0.6",
    "RETRY_S = 5.0": "RETRY_S = 0.1",
    "LOOK_S = 30.0": "LOOK_S = 0.4",
}
_SET_CLOCK = """
import os, time
_real = time.time
def _set():
    try:
        with open(os.environ["CLOCK"]) as file:
            return _real() + float(file.read() or 0)
    except (KeyError, OSError):
        return _real()
time.time = _set
"""

Force: TypeAlias = set[tuple[str, str]]
"""What is in force: jail and what was banned."""


@pytest.fixture
def hasty(stage: Stage) -> Stage:
    """A stage whose action takes a snapshot within a second where the real one takes half a minute."""
    text = _SOURCE.read_text()
    for words, shorter in _HASTE.items():
        assert words in text
        text = text.replace(words, shorter)
    (stage.directory / "hasty.py").write_text(text)
    return stage


def jail(stage: Stage, server: str = "web1", **options: str) -> dict[str, str]:
    return stage.jail(action=f'hasty.py[spool="{stage.spool}", server="{server}"]', **options)


def start(stage: Stage, bantime: str = "-1", *names: str, **options: object) -> PrivateServer:
    """A server with these jails (one on the log, others that only ban by hand)."""
    jails = {"sshd": jail(stage)}
    for name in names:
        jails[name] = jail(stage, logpath=str(stage.directory / "empty.log"))
    (stage.directory / "empty.log").touch()
    options.setdefault("defaults", {"bantime": bantime})
    return stage.start(jails, actions=[stage.directory / "hasty.py"], **options)


def bans_of(server: PrivateServer, *names: str) -> Force:
    """What fail2ban says."""
    return {(name, fid) for name in names or ("sshd",) for fid in server.client("get", name, "banip").split()}


def ends_of(server: PrivateServer) -> dict[str, int | None]:
    """How long each ban lasts by fail2ban's own word, seconds; None: for ever."""
    lines = server.client("get", "sshd", "banip", "--with-time").splitlines()
    found = [re.match(r"(\S+)\s.*\+ (-?\d+) =", line) for line in lines]
    return {match[1]: int(match[2]) if int(match[2]) > 0 else None for match in found if match}


def record(stage: Stage) -> list[str]:
    """Drain the spool; what the recorder said."""

    def connect() -> Ledger:
        return open_to_write(stage.store, "bans", "UTC")

    recorder = Recorder(SpoolReader(stage.spool), connect, nowhere)
    try:
        ledger = recorder.open()
        recorder.drain(time.time())
        assert list(check(ledger.store(), ledger.keys)) == []
        return (ledger.gaps() and ["gap"]) or []
    finally:
        recorder.close()


def recorded(stage: Stage) -> list[Ban]:
    """The bans in force."""
    with closing(open_to_read(stage.store, "bans")) as reader:
        ids = [id_ for day in reader.days() for id_ in reader.ids_of_day(day)]
        now = time.time()
        found = [ban for ban in reader.bans(ids) if ban and state_of(ban, now, reader.stopped).in_force]
        assert reader.banned_now(now) == len(found)
        return found


def force(stage: Stage) -> Force:
    return {(ban.jail, ban.fid) for ban in recorded(stage)}


def wait_for_snapshot(stage: Stage, since: float, server: str = "") -> None:
    """Until there is one of that time or later (of that server)."""

    def taken() -> bool:
        return any(line["as_of"] >= since and server in ("", line["server"]) for line in stage.lines("held"))

    wait_for(taken, 15)


def assert_agree(stage: Stage, server: PrivateServer, *names: str) -> None:
    assert record(stage) == []
    assert force(stage) == bans_of(server, *names)


def test_a_bantime_changed_from_for_ever_to_seconds_ends_what_is_not_restored(hasty: Stage) -> None:
    server = start(hasty)
    server.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2")
    assert_agree(hasty, server)
    server.stop()
    server.defaults["bantime"] = "1"
    time.sleep(1.2)
    since = time.time()
    server.start()
    wait_for_snapshot(hasty, since)
    assert bans_of(server) == set()
    assert_agree(hasty, server)


def test_a_bantime_changed_from_for_ever_to_an_hour_lasts_an_hour(hasty: Stage) -> None:
    server = start(hasty)
    server.client("set", "sshd", "banip", "192.0.2.1")
    record(hasty)
    server.stop()
    server.defaults["bantime"] = "1h"
    since = time.time()
    server.start()
    wait_for_snapshot(hasty, since)
    assert_agree(hasty, server)
    (ban,) = recorded(hasty)
    assert ban.bantime == ends_of(server)["192.0.2.1"] == 3600
    assert (ban.origin, ban.bancount) == ("live", 1)


@pytest.mark.parametrize("killed", [False, True])
def test_without_fail2bans_database_no_ban_is_in_force_after_a_restart(hasty: Stage, killed: bool) -> None:
    server = start(hasty)
    server.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2")
    server.kill() if killed else server.stop()
    record(hasty)
    assert len(force(hasty)) == (2 if killed else 0)
    server.database.unlink()
    since = time.time()
    server.start()
    wait_for_snapshot(hasty, since)
    assert bans_of(server) == set()
    assert_agree(hasty, server)


def test_a_jail_removed_by_a_reload_has_no_bans_in_force(hasty: Stage) -> None:
    server = start(hasty, "-1", "other")
    server.client("set", "sshd", "banip", "192.0.2.1")
    server.client("set", "other", "banip", "192.0.2.2")
    assert_agree(hasty, server, "sshd", "other")
    server.jails["other"]["enabled"] = "false"
    server.reload()
    wait_for(lambda: hasty.lines("stop"))
    assert_agree(hasty, server, "sshd")
    server.jails["other"]["enabled"] = "true"
    server.reload()
    wait_for(lambda: bans_of(server, "other"))
    record(hasty)
    assert force(hasty) == bans_of(server, "sshd", "other") == {("sshd", "192.0.2.1"), ("other", "192.0.2.2")}


def test_a_bantime_set_at_run_time_is_noticed(hasty: Stage) -> None:
    server = start(hasty, "1h")
    server.client("set", "sshd", "banip", "192.0.2.1")
    record(hasty)
    server.client("set", "sshd", "bantime", "-1")
    wait_for(lambda: any(entry[2] == -1 for line in hasty.lines("held") for entry in line["bans"]))
    assert_agree(hasty, server)
    (ban,) = recorded(hasty)
    assert ban.bantime == -1 and ends_of(server)["192.0.2.1"] is None


def test_a_stopped_fail2ban_has_no_bans_in_force_until_it_starts(hasty: Stage) -> None:
    server = start(hasty)
    server.client("set", "sshd", "banip", "192.0.2.1")
    server.stop()
    record(hasty)
    assert force(hasty) == set()
    server.start()
    wait_for(lambda: bans_of(server))
    assert_agree(hasty, server)


@pytest.mark.parametrize("restart", [True, False])
def test_a_changed_label_takes_the_old_labels_bans_out_of_force(hasty: Stage, restart: bool) -> None:
    server = start(hasty)
    server.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2")
    record(hasty)
    if restart:
        server.stop()
    server.jails["sshd"] = jail(hasty, "web2")
    since = time.time()
    server.start() if restart else server.reload()
    wait_for_snapshot(hasty, since, "web2")
    assert_agree(hasty, server)
    assert {ban.server for ban in recorded(hasty)} == {"web2"}


def test_a_label_changed_after_fail2ban_was_killed_takes_the_old_bans_out_of_force(hasty: Stage) -> None:
    server = start(hasty, "-1", "other")
    server.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2")
    server.client("set", "other", "banip", "192.0.2.3")
    record(hasty)
    server.kill()
    server.jails["sshd"] = jail(hasty, "web2")
    del server.jails["other"]
    since = time.time()
    server.start()
    wait_for_snapshot(hasty, since, "web2")
    assert_agree(hasty, server)
    assert {ban.server for ban in recorded(hasty)} == {"web2"}


def test_a_jail_missing_after_fail2ban_was_killed_has_no_bans_in_force(hasty: Stage) -> None:
    server = start(hasty, "-1", "other")
    server.client("set", "other", "banip", "192.0.2.3")
    record(hasty)
    server.kill()
    del server.jails["other"]
    since = time.time()
    server.start()
    wait_for_snapshot(hasty, since)
    record(hasty)
    assert force(hasty) == set()


@pytest.mark.parametrize("step", [-3600, -5, 3600])
def test_an_unban_after_a_clock_step_lifts_the_ban(hasty: Stage, step: int) -> None:
    hook, clock = hasty.directory / "hook", hasty.directory / "clock"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(_SET_CLOCK)
    path = hasty.installation.env.get("PYTHONPATH", "")
    environment = {**hasty.installation.env, "PYTHONPATH": f"{hook}:{path}", "CLOCK": str(clock)}
    python = hasty.installation.server[:-1] or ("/usr/bin/python3",)
    server = start(hasty, "1d", installation=with_python(hasty.installation, *python, env=environment))
    server.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
    clock.write_text(str(step))
    server.client("set", "sshd", "unbanip", "192.0.2.1")
    server.stop()
    server.start()
    wait_for(lambda: len(hasty.lines("ban")) >= 7)
    server.client("set", "sshd", "unbanip", "192.0.2.2")
    assert_agree(hasty, server)
    server.client("unban", "--all")
    assert_agree(hasty, server)
    assert force(hasty) == set()


def test_an_action_added_at_run_time_records_bans_in_force(hasty: Stage) -> None:
    server = hasty.start({"sshd": hasty.jail(action="")}, actions=[hasty.directory / "hasty.py"])
    server.client("set", "sshd", "banip", "192.0.2.1")
    options = json.dumps({"spool": str(hasty.spool), "server": "web1"})
    since = time.time()
    server.client("set", "sshd", "addaction", "hasty", str(hasty.directory / "hasty.py"), options)
    wait_for_snapshot(hasty, since)
    server.client("set", "sshd", "banip", "192.0.2.2")
    assert_agree(hasty, server)
    assert {ban.origin for ban in recorded(hasty)} == {"restored", "live"}


def test_several_servers_with_one_spool_are_kept_apart(hasty: Stage) -> None:
    one = start(hasty)
    two = PrivateServer(
        hasty.directory / "second",
        {"sshd": jail(hasty, "web2")},
        defaults={"bantime": "-1"},
        actions=[hasty.directory / "hasty.py"],
        installation=hasty.installation,
    )
    with two:
        one.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2")
        two.client("set", "sshd", "banip", "192.0.2.2", "192.0.2.3")
        one.stop()
        one.database.unlink()
        since = time.time()
        one.start()
        wait_for_snapshot(hasty, since, "web1")
        record(hasty)
        assert {(ban.server, ban.fid) for ban in recorded(hasty)} == {("web2", "192.0.2.2"), ("web2", "192.0.2.3")}


def test_live_bans_that_come_before_the_restored_ones_are_all_in_force(hasty: Stage) -> None:
    server = start(hasty, "1h")
    server.client("set", "sshd", "banip", *[f"198.51.100.{n}" for n in range(200)])
    server.stop()
    for n in range(5):
        hasty.fail(f"203.0.113.{n}")
    since = time.time()
    server.start()
    wait_for(lambda: len(bans_of(server)) == 205)
    wait_for_snapshot(hasty, since)
    assert_agree(hasty, server)
    assert len(force(hasty)) == 205


def test_only_bans_missing_from_fail2bans_database_end(hasty: Stage) -> None:
    server = start(hasty)
    server.client("set", "sshd", "banip", *[f"198.51.100.{n}" for n in range(20)])
    wait_for(lambda: len(bans_of(server)) == 20)
    server.stop()
    with closing(sqlite3.connect(server.database)) as database, database:
        database.execute("DELETE FROM bips WHERE ip LIKE '%5'")
    since = time.time()
    server.start()
    wait_for_snapshot(hasty, since)
    assert_agree(hasty, server)
    assert len(force(hasty)) == 18


@pytest.mark.long
def test_twenty_thousand_restored_bans_end_when_partly_missing(hasty: Stage) -> None:
    server = start(hasty)
    server.stop()
    record(hasty)
    now = int(time.time())
    with closing(sqlite3.connect(server.database)) as database, database:
        addresses = [f"10.0.{n >> 8}.{n & 255}" for n in range(20_000)]
        rows = [("sshd", address, now - 60, -1, 1, '{"matches":[],"failures":5}') for address in addresses]
        names = "(jail, ip, timeofban, bantime, bancount, data)"
        database.executemany(f"INSERT INTO bips {names} VALUES (?, ?, ?, ?, ?, ?)", rows)
    since = time.time()
    server.start()
    wait_for(lambda: len(bans_of(server)) == 20_000, 120)
    wait_for_snapshot(hasty, since)
    assert_agree(hasty, server)
    server.kill()
    with closing(sqlite3.connect(server.database)) as database, database:
        database.execute("DELETE FROM bips WHERE ip LIKE '%7'")
    since = time.time()
    server.start()
    left = sum(not address.endswith("7") for address in addresses)
    wait_for(lambda: len(bans_of(server)) == left, 120)
    wait_for_snapshot(hasty, since)
    assert_agree(hasty, server)
    assert len(force(hasty)) == left
