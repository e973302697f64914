"""What fail2ban changes without a call to any action is in the ledger soon."""

import contextlib
import json
import time

import pytest

from banledger.errors import BanledgerError

from .conftest import Stage, wait_for
from .test_in_force import (
    assert_agree,
    bans_of,
    force,
    hasty,  # noqa: F401  # a fixture
    jail,
    record,
    start,
    wait_for_snapshot,
)

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("hasty")]


def test_an_action_removed_and_added_again_does_not_count_twice(stage: Stage) -> None:
    server = start(stage)
    server.client("set", "sshd", "banip", "192.0.2.1")
    server.client("set", "sshd", "delaction", "hasty")
    wait_for(lambda: stage.lines("stop"))
    assert [line["left"] for line in stage.lines("stop")] == [1]
    server.client("set", "sshd", "banip", "192.0.2.2")
    server.client("set", "sshd", "unbanip", "192.0.2.1")
    options = json.dumps({"spool": str(stage.spool), "server": "web1"})
    since = time.time()
    server.client("set", "sshd", "addaction", "hasty", str(stage.directory / "hasty.py"), options)
    wait_for_snapshot(stage, since)
    assert_agree(stage, server)
    assert force(stage) == {("sshd", "192.0.2.2")}


_BROKEN = """
class Action:
    _prolongable = False
    banEpoch = 0
    def __init__(self, jail, name, **options): pass
    def start(self): pass
    stop = clearAllParams = start
    def ban(self, info): pass
    unban = reban = ban
    def reload(self, **options): raise ValueError("broken")
"""


def test_an_unban_of_all_is_recorded_after_a_reload_that_another_action_broke(stage: Stage) -> None:
    broken = stage.directory / "broken.py"
    broken.write_text(_BROKEN)
    jails = {"sshd": jail(stage)}
    jails["sshd"]["action"] += "\n         broken.py"
    server = stage.start(jails, actions=[stage.directory / "hasty.py", broken], defaults={"bantime": "-1"})
    server.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2")
    wait_for_snapshot(stage, 0)
    with contextlib.suppress(BanledgerError):
        server.reload()
    record(stage)
    since = time.time()
    server.client("unban", "--all")
    wait_for_snapshot(stage, since)
    assert bans_of(server) == set()
    assert_agree(stage, server)


def test_a_bantime_beyond_any_date_is_a_long_ban_and_breaks_no_snapshot(stage: Stage) -> None:
    server = start(stage, "600")
    server.client("set", "sshd", "banip", "192.0.2.1")
    server.client("set", "sshd", "bantime", "99999999999999999999")
    server.client("set", "sshd", "banip", "192.0.2.2")
    wait_for(lambda: any(entry[2] > 10**9 for line in stage.lines("held") for entry in line["bans"]))
    server.client("set", "sshd", "unbanip", "192.0.2.1")
    assert record(stage) == []
    assert force(stage) == {("sshd", "192.0.2.2")} == bans_of(server)
    assert not list(stage.spool.glob("rejected*"))
