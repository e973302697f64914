"""What others' trackers report of fail2ban and of tools that follow it: the ledger has in force what fail2ban has.

Each case names the tool whose users reported it. It does to a real server what was done there, and gives the jails to
compare.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.support.fail2ban import PrivateServer

from .conftest import Stage, wait_for
from .test_in_force import (
    assert_agree,
    bans_of,
    ends_of,
    force,
    hasty,
    record,
    recorded,
    start,
    wait_for_snapshot,
)

__all__ = ["hasty"]

pytestmark = pytest.mark.e2e

Names = tuple[str, ...]


def restarted(stage: Stage, server: PrivateServer, *, killed: bool = False) -> None:
    """Until what is restored has settled."""
    record(stage)
    server.kill() if killed else server.stop()
    since = time.time()
    server.start()
    wait_for_snapshot(stage, since)


def a_subnet_lifts_the_bans_of_single_addresses(stage: Stage) -> tuple[PrivateServer, Names]:
    """fail2ban: `unban 192.0.2.48/28` lifts those inside, in all jails."""
    server = start(stage, "1h", "other")
    server.client("set", "sshd", "banip", "192.0.2.50", "192.0.2.60", "192.0.2.70", "198.51.100.0/24")
    server.client("set", "other", "banip", "192.0.2.50")
    server.client("unban", "192.0.2.48/28")
    assert bans_of(server, "sshd", "other") == {("sshd", "192.0.2.70"), ("sshd", "198.51.100.0/24")}
    return server, ("sshd", "other")


def spellings_of_one_address(stage: Stage) -> tuple[PrivateServer, Names]:
    """fail2ban: mapped and long-winded IPv6, banned one way and lifted another, over a restart."""
    server = start(stage, "1h")
    server.client("set", "sshd", "banip", "2001:DB8:0:0::1", "::ffff:192.0.2.9", "2001:db8::2", "2001:0db8::/48")
    restarted(stage, server)
    assert_agree(stage, server)
    server.client("set", "sshd", "unbanip", "2001:db8::1")
    server.client("set", "sshd", "unbanip", "192.0.2.9")
    return server, ("sshd",)


def a_ban_lifted_by_hand_and_a_restart(stage: Stage) -> tuple[PrivateServer, Names]:
    """fail2ban: a ban for ever that was lifted came back after a restart."""
    server = start(stage)
    server.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2")
    server.client("set", "sshd", "unbanip", "192.0.2.1")
    restarted(stage, server)
    return server, ("sshd",)


def a_restart_reports_no_unban(stage: Stage) -> tuple[PrivateServer, Names]:
    """fail2ban-ui, home-assistant, netdata: a restart was told as unbans, or lost bans."""
    server = start(stage, "1h")
    server.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2", "192.0.2.3")
    restarted(stage, server)
    restarted(stage, server, killed=True)
    assert [ban.unbanned for ban in recorded(stage)] == [None, None, None]
    assert stage.lines("unban") == []
    return server, ("sshd",)


def one_address_in_two_jails(stage: Stage) -> tuple[PrivateServer, Names]:
    """NethServer, fail2ban: an address in a jail and in recidive, lifted in one, then in all."""
    server = start(stage, "1h", "recidive", "third")
    for name in ("sshd", "recidive", "third"):
        server.client("set", name, "banip", "192.0.2.1", "192.0.2.2")
    server.client("set", "recidive", "unbanip", "192.0.2.1")
    assert_agree(stage, server, "sshd", "recidive", "third")
    server.client("unban", "192.0.2.2")
    return server, ("sshd", "recidive", "third")


def reload_with_unban(stage: Stage) -> tuple[PrivateServer, Names]:
    """fail2ban: `reload --unban JAIL` lifts all bans, `restart --unban` too."""
    server = start(stage, "1h", "other")
    for name in ("sshd", "other"):
        server.client("set", name, "banip", "192.0.2.1", "192.0.2.2")
    server.client("reload", "--unban", "sshd")
    assert_agree(stage, server, "sshd", "other")
    server.client("reload", "--restart", "--unban", "other")
    wait_for(lambda: len(stage.lines("start")) >= 3)
    return server, ("sshd", "other")


def a_reload_that_changes_the_bantime(stage: Stage) -> tuple[PrivateServer, Names]:
    """fail2ban: a bantime changed by a reload, and then a restart."""
    server = start(stage, "1h")
    server.client("set", "sshd", "banip", "192.0.2.1")
    record(stage)
    server.defaults["bantime"] = "2d"
    since = time.time()
    server.reload()
    wait_for_snapshot(stage, since)
    assert_agree(stage, server)
    assert_same_ends(stage, server)
    server.defaults["bantime"] = "10m"
    restarted(stage, server)
    assert_same_ends(stage, server)
    return server, ("sshd",)


def an_address_ignored_after_its_ban(stage: Stage) -> tuple[PrivateServer, Names]:
    """fail2ban: an address that is to be ignored stays banned, and is not restored."""
    server = start(stage, "1h")
    server.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2")
    server.client("set", "sshd", "addignoreip", "192.0.2.1")
    assert_agree(stage, server)
    server.defaults["ignoreip"] = "192.0.2.0/31"
    restarted(stage, server)
    assert bans_of(server) == {("sshd", "192.0.2.2")}
    return server, ("sshd",)


def a_ban_that_ran_out_and_is_restored(stage: Stage) -> tuple[PrivateServer, Names]:
    """fail2ban: with a bantime of -1 all that the database has comes back, run out or not."""
    server = start(stage, "1")
    server.client("set", "sshd", "banip", "192.0.2.1")
    wait_for(lambda: stage.lines("unban"))
    assert_agree(stage, server)
    server.defaults["bantime"] = "-1"
    restarted(stage, server)
    return server, ("sshd",)


def bans_purged_from_the_database(stage: Stage) -> tuple[PrivateServer, Names]:
    """fail2ban: a dbpurgeage shorter than the bantime."""
    server = start(stage, "1h", options={"dbpurgeage": "1s"})
    server.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2")
    time.sleep(1.5)
    restarted(stage, server)
    return server, ("sshd",)


def no_database(stage: Stage) -> tuple[PrivateServer, Names]:
    """fail2ban: without a database nothing is restored, and a ban may be made anew."""
    server = start(stage, "-1", options={"dbfile": "None"})
    server.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2")
    restarted(stage, server)
    assert bans_of(server) == set()
    assert_agree(stage, server)
    server.client("set", "sshd", "banip", "192.0.2.2")
    return server, ("sshd",)


def an_address_banned_again_while_it_is(stage: Stage) -> tuple[PrivateServer, Names]:
    """crowdsec, fail2ban ("already banned"): a second ban makes the first one longer, untold."""
    server = start(stage, "1h")
    stage.fail("203.0.113.1")
    server.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2")
    wait_for(lambda: len(stage.lines("ban")) == 3)
    wait_for_snapshot(stage, 0)
    time.sleep(1.1)
    stage.fail("203.0.113.1")
    server.client("set", "sshd", "banip", "192.0.2.1")
    wait_for(lambda: sum((end or 0) > 3600 for end in ends_of(server).values()) == 2)
    wait_for(lambda: {line["fid"] for line in stage.lines("prolong")} == {"192.0.2.1", "203.0.113.1"})
    assert_same_ends(stage, server)
    restarted(stage, server, killed=True)  # fail2ban's database has the first term
    assert ends_of(server)["192.0.2.1"] == 3600
    assert_same_ends(stage, server)
    return server, ("sshd",)


def increments_over_a_crash(stage: Stage) -> tuple[PrivateServer, Names]:
    """fail2ban: bans made longer by the observer, not by whole seconds; then a crash."""
    formula = "ban.Time * 900.7 * ban.Count"
    defaults = {"bantime": "4", "bantime.increment": "true", "bantime.formula": formula, "bantime.rndtime": "0"}
    server = start(stage, defaults=defaults)
    stage.fail("203.0.113.1")
    wait_for(lambda: stage.lines("unban"))
    stage.fail("203.0.113.1")
    wait_for(lambda: stage.lines("prolong"))
    assert_agree(stage, server)
    assert_same_ends(stage, server)
    restarted(stage, server, killed=True)
    assert_same_ends(stage, server)
    return server, ("sshd",)


def a_renamed_jail(stage: Stage) -> tuple[PrivateServer, Names]:
    """fail2ban: a jail that goes by another name after a reload begins without its bans."""
    server = start(stage, "1h", "old")
    server.client("set", "old", "banip", "192.0.2.1", "192.0.2.2")
    record(stage)
    server.jails["new"] = server.jails.pop("old")
    server.reload()
    server.client("set", "new", "banip", "192.0.2.2")
    return server, ("sshd", "new")


def a_jail_stopped_and_started(stage: Stage) -> tuple[PrivateServer, Names]:
    """fail2ban: what is in force while a jail restores its bans, and after `stop` and a reload."""
    server = start(stage, "1h", "other")
    server.client("set", "sshd", "banip", *[f"198.51.100.{n}" for n in range(100)])
    server.client("set", "other", "banip", "192.0.2.1")
    server.client("reload", "--restart", "sshd")
    assert_agree_soon(stage, server, "sshd", "other")
    server.client("stop", "other")
    assert_agree(stage, server, "sshd")
    server.client("reload")
    wait_for(lambda: bans_of(server, "other"))
    return server, ("sshd", "other")


def an_action_taken_out_and_put_back(stage: Stage) -> tuple[PrivateServer, Names]:
    """fail2ban: actions changed at run time; meanwhile bans come and go."""
    server = start(stage, "1h")
    server.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2")
    server.client("set", "sshd", "delaction", "hasty")
    server.client("set", "sshd", "unbanip", "192.0.2.1")
    server.client("set", "sshd", "banip", "192.0.2.3")
    record(stage)
    since = time.time()
    server.reload("--restart", "sshd")
    wait_for_snapshot(stage, since)
    return server, ("sshd",)


def text_that_is_no_address(stage: Stage) -> tuple[PrivateServer, Names]:
    """fail2ban: anything may be banned; over a restart, and lifted."""
    server = start(stage, "1h")
    server.client("set", "sshd", "banip", "user@example.org", "192.0.2.0/28", "e\u0301clair", "10.1")
    restarted(stage, server)
    server.client("set", "sshd", "unbanip", "user@example.org")
    return server, ("sshd",)


def a_database_put_back_from_a_backup(stage: Stage) -> tuple[PrivateServer, Names]:
    """fail2ban: a lifted ban that an older database brings back."""
    server = start(stage)
    server.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2")
    wait_for(lambda: rows(server) == 2)
    with closing(sqlite3.connect(server.database)) as database, closing(sqlite3.connect(":memory:")) as backup:
        database.backup(backup)
        server.client("unban", "--all")
        server.client("set", "sshd", "banip", "192.0.2.3")
        assert_agree(stage, server)
        server.stop()
        backup.backup(database)
    since = time.time()
    server.start()
    wait_for_snapshot(stage, since)
    assert bans_of(server) == {("sshd", "192.0.2.1"), ("sshd", "192.0.2.2")}
    return server, ("sshd",)


def rows(server: PrivateServer) -> int:
    """Bans in fail2ban's database."""
    with closing(sqlite3.connect(server.database)) as database:
        return int(database.execute("SELECT count(*) FROM bips").fetchone()[0])


def assert_same_ends(stage: Stage, server: PrivateServer) -> None:
    """The terms of jail sshd's bans, too."""
    record(stage)
    ours = {ban.fid: ban.bantime if ban.bantime > 0 else None for ban in recorded(stage) if ban.jail == "sshd"}
    assert ours == ends_of(server)


def assert_agree_soon(stage: Stage, server: PrivateServer, *names: str) -> None:
    """Once what is restored is there."""
    wait_for(lambda: record(stage) == [] and force(stage) == bans_of(server, *names))


_CASES = [
    a_subnet_lifts_the_bans_of_single_addresses,
    spellings_of_one_address,
    a_ban_lifted_by_hand_and_a_restart,
    a_restart_reports_no_unban,
    one_address_in_two_jails,
    reload_with_unban,
    a_reload_that_changes_the_bantime,
    an_address_ignored_after_its_ban,
    a_ban_that_ran_out_and_is_restored,
    bans_purged_from_the_database,
    no_database,
    an_address_banned_again_while_it_is,
    increments_over_a_crash,
    a_renamed_jail,
    a_jail_stopped_and_started,
    an_action_taken_out_and_put_back,
    text_that_is_no_address,
    a_database_put_back_from_a_backup,
]


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.__name__)
def test_a_reported_case_leaves_in_force_the_bans_that_fail2ban_holds(
    hasty: Stage, case: Callable[[Stage], tuple[PrivateServer, Names]]
) -> None:
    server, names = case(hasty)
    assert_agree(hasty, server, *names)
