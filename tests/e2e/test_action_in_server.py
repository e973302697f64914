"""The action in a real fail2ban-server: each thing the server does to an action that would spoil a record."""

import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banledger.demo.installation import Installation, unpacked
from banledger.errors import BanledgerError
from tests.support.fail2ban import PrivateServer, with_python

from .conftest import Stage, wait_for

pytestmark = pytest.mark.e2e


def no_errors(server: PrivateServer) -> bool:
    return " ERROR " not in server.log_text()


def test_bans_from_the_log_and_from_the_client_are_recorded(stage: Stage) -> None:
    server = stage.start()
    stage.fail("192.0.2.1", user="invalid user \x1b[31madmin")
    [found] = stage.wait_for_lines(1)
    server.client("set", "sshd", "banip", "192.0.2.2")
    [_, asked] = stage.wait_for_lines(2)
    assert (found["kind"], found["jail"], found["server"]) == ("ban", "sshd", "web1")
    assert (found["fid"], found["failures"], found["bantime"], found["bancount"]) == ("192.0.2.1", 3, 3600, 1)
    assert len(found["matches"]) == 3
    assert all("192.0.2.1" in match for match in found["matches"])
    assert "\x1b[31madmin" in found["users"][0]
    assert (asked["fid"], asked["seq"]) == ("192.0.2.2", 3)
    assert not {"ip", "restored"} & (set(found) | set(asked))
    assert no_errors(server)


def test_an_address_of_this_machine_is_banned_like_any_other(stage: Stage) -> None:
    stage.start()
    stage.fail("127.0.0.1")
    [line] = stage.wait_for_lines(1)
    assert line["fid"] == "127.0.0.1"


def test_a_reload_keeps_the_action_and_writes_no_unban(stage: Stage) -> None:
    server = stage.start()
    server.client("set", "sshd", "banip", "192.0.2.1")
    server.reload()
    server.client("reload", "sshd")
    server.client("set", "sshd", "banip", "192.0.2.2")
    assert [(line["kind"], line["seq"]) for line in stage.wait_for_lines(2)] == [("ban", 2), ("ban", 3)]
    assert "banledger" in server.client("get", "sshd", "actions")


def test_a_reload_applies_new_options(stage: Stage) -> None:
    server = stage.start()
    server.jails["sshd"]["action"] = stage.action(matches="0")
    server.reload()
    stage.fail("192.0.2.1")
    [line] = stage.wait_for_lines(1)
    assert "matches" not in line
    assert line["users"] == ["root"]


def test_a_restart_writes_no_unban_and_restores_with_the_rounded_time(stage: Stage) -> None:
    server = stage.start()
    stage.fail("192.0.2.1")
    for number in range(2, 6):
        server.client("set", "sshd", "banip", f"192.0.2.{number}")
        time.sleep(0.17)
    live = {line["fid"]: line["time"] for line in stage.wait_for_lines(5)}
    assert any(at != int(at) for at in live.values())
    server.stop()
    assert len(stage.lines()) == 5
    stage.log.write_text("")
    server.start()
    restored = stage.wait_for_lines(10)[5:]
    assert {line["fid"]: line["time"] for line in restored} == {fid: round(at) for fid, at in live.items()}
    assert [(line["kind"], line["restored"], line["bancount"]) for line in restored] == [("ban", 1, 2)] * 5
    assert not any("matches" in line for line in restored)
    server.client("unban", "192.0.2.1")
    [unban] = stage.wait_for_lines(1, "unban")
    assert unban["restored"] == 1


def test_a_restart_restores_the_user_names_as_they_were(stage: Stage) -> None:
    server = stage.start(defaults={"maxretry": "6"})
    for user in ("root", "it's", 'a"b', "back\\slash", "['root'],", "ü用户"):
        stage.fail("192.0.2.1", times=1, user=user)
    [live] = stage.wait_for_lines(1)
    assert len(live["users"]) == 6
    server.stop()
    stage.log.write_text("")
    server.start()
    [_, restored] = stage.wait_for_lines(2)
    assert (restored["restored"], restored["users"]) == (1, live["users"])
    assert no_errors(server)


def test_a_crash_loses_no_line(stage: Stage) -> None:
    server = stage.start()
    for number in range(20):
        stage.fail(f"192.0.2.{number}")
    stage.wait_for_lines(20)
    server.kill()
    assert [line["seq"] for line in stage.lines()] == list(range(2, 22))
    server.start()
    stage.wait_for_lines(40)


def test_a_reload_without_the_action_writes_no_unban_and_closes_the_segment(stage: Stage) -> None:
    server = stage.start()
    server.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2")
    server.jails["sshd"]["action"] = ""
    server.reload()
    assert "banledger" not in server.client("get", "sshd", "actions")
    assert [line["kind"] for line in stage.lines()] == ["ban", "ban"]
    [segment] = stage.spool.iterdir()
    subprocess.run(["flock", "-n", str(segment), "true"], check=True)


def test_an_action_added_to_a_running_jail_needs_a_restart_of_the_jail(stage: Stage) -> None:
    server = stage.start({"sshd": stage.jail(action="")})
    server.client("set", "sshd", "banip", "192.0.2.1")
    server.jails["sshd"]["action"] = stage.action()
    server.reload()
    assert "banledger" not in server.client("get", "sshd", "actions")
    server.reload("--restart", "sshd")
    [line] = stage.wait_for_lines(1)
    assert (line["kind"], line["fid"], line["restored"]) == ("ban", "192.0.2.1", 1)
    assert "banledger" in server.client("get", "sshd", "actions")


def test_unbans_of_one_and_of_all_are_recorded(stage: Stage) -> None:
    server = stage.start()
    server.client("set", "sshd", "banip", "192.0.2.1", "192.0.2.2", "192.0.2.3")
    server.client("unban", "192.0.2.1")
    [first] = stage.wait_for_lines(1, "unban")
    assert first["fid"] == "192.0.2.1"
    server.client("unban", "--all")
    assert {line["fid"] for line in stage.wait_for_lines(3, "unban")} == {f"192.0.2.{n}" for n in (1, 2, 3)}


def test_an_expired_ban_writes_an_unban_with_the_bans_time(stage: Stage) -> None:
    server = stage.start(defaults={"bantime": "2"})
    server.client("set", "sshd", "banip", "192.0.2.1")
    [ban, unban] = stage.wait_for_lines(2)
    assert (ban["kind"], unban["kind"]) == ("ban", "unban")
    assert (ban["fid"], ban["time"]) == (unban["fid"], unban["time"])


def test_a_prolong_is_recorded_among_bans_from_log_and_client(stage: Stage) -> None:
    server = stage.start(defaults={"bantime": "2", "bantime.increment": "true", "bantime.multipliers": "1 900"})
    stage.fail("192.0.2.1")
    stage.wait_for_lines(1, "unban")
    stage.fail("192.0.2.1")
    stage.wait_for_lines(2, "ban")
    for number in range(10):
        server.client("set", "sshd", "banip", f"198.51.100.{number}")
        stage.fail(f"203.0.113.{number}")
    [prolonged] = stage.wait_for_lines(1, "prolong")
    stage.wait_for_lines(22, "ban")
    assert (prolonged["fid"], prolonged["bantime"], prolonged["bancount"]) == ("192.0.2.1", 1800, 2)
    assert "matches" not in prolonged
    again = [line for line in stage.lines("ban") if line["fid"] == "192.0.2.1"][1]
    assert prolonged["time"] == again["time"]
    assert sorted(line["seq"] for line in stage.lines()) == list(range(2, len(stage.lines()) + 2))
    assert no_errors(server)


@pytest.mark.parametrize("fid", ["198.51.100.0/24", "2001:db8::1", "2001:db8::/64"])
def test_subnets_and_ipv6_are_recorded_as_they_are(stage: Stage, fid: str) -> None:
    server = stage.start()
    server.client("set", "sshd", "banip", fid)
    [line] = stage.wait_for_lines(1)
    assert line["fid"] == fid
    assert "ip" not in line


def test_an_id_that_is_not_an_address_is_recorded_with_its_address(stage: Stage) -> None:
    filters = {"session": "[Definition]\nfailregex = ^ session <F-ID>\\S+</F-ID> of <ADDR> failed$\n"}
    server = stage.start({"web": stage.jail(filter="session", maxretry="1")}, filters=filters)
    with stage.log.open("a") as log:
        log.write(time.strftime("%Y-%m-%dT%H:%M:%S") + " session {x}:ÿ%s of 192.0.2.9 failed\n")
    [line] = stage.wait_for_lines(1)
    assert (line["jail"], line["fid"], line["ip"]) == ("web", "{x}:ÿ%s", "192.0.2.9")
    assert no_errors(server)


def test_each_jail_writes_its_own_segment(stage: Stage) -> None:
    jails = {name: stage.jail() for name in ("one", "two", "three")}
    server = stage.start(jails)
    stage.fail("192.0.2.1")
    lines = stage.wait_for_lines(3)
    server.client("set", "two", "banip", "192.0.2.2")
    stage.wait_for_lines(4)
    assert {(line["jail"], line["seq"]) for line in lines} == {("one", 2), ("two", 2), ("three", 2)}
    assert len(list(stage.spool.iterdir())) == 3
    assert no_errors(server)


def test_a_vanished_spool_stops_no_ban_and_recording_resumes(stage: Stage) -> None:
    server = stage.start()
    server.client("set", "sshd", "banip", "192.0.2.1")
    shutil.rmtree(stage.spool)
    server.client("set", "sshd", "banip", "192.0.2.2", "192.0.2.3")
    assert "192.0.2.3" in server.client("status", "sshd")
    assert server.log_text().count("can't write to spool") == 1
    assert server.log_text().count("segments vanished") <= 1
    stage.spool.mkdir(0o770)
    lines = stage.wait_for_lines(2)
    assert [(line["fid"], line["seq"]) for line in lines] == [("192.0.2.2", 3), ("192.0.2.3", 4)]
    wait_for(lambda: "works again" in server.log_text())


def test_an_invalid_option_or_spool_does_not_stop_the_jail(stage: Stage) -> None:
    action = stage.action(matches="many", name="sshd").replace(str(stage.spool), "/dev/null")
    server = stage.start({"sshd": stage.jail(action=action)})
    stage.fail("192.0.2.1")
    wait_for(lambda: "Ban 192.0.2.1" in server.log_text())
    assert "option matches can't be 'many'" in server.log_text()
    assert "'/dev/null' is not a directory" in server.log_text()


def test_a_firewall_repair_runs_and_records_no_second_ban(stage: Stage) -> None:
    firewall = stage.directory / "firewall.conf"
    up, rules = stage.directory / "up", stage.directory / "rules"
    firewall.write_text(
        f"[Definition]\nactionstart = touch {up}\nactionstop = rm -f {up}\nactioncheck = test -f {up}\n"
        f"actionban = test -f {up} && echo <ip> >> {rules}\nactionunban = true\nactionrepair = touch {up}\n"
    )
    action = stage.action() + "\nfirewall"
    server = stage.start({"sshd": stage.jail(action=action)}, actions=[firewall])
    stage.fail("192.0.2.1")
    stage.wait_for_lines(1)
    wait_for(lambda: rules.exists() and "192.0.2.1" in rules.read_text())  # its turn comes after ours
    up.unlink()
    stage.fail("192.0.2.2")
    stage.wait_for_lines(2)
    wait_for(lambda: "Invariant check failed" in server.log_text() and "192.0.2.2" in rules.read_text())
    stage.fail("192.0.2.1")
    wait_for(lambda: "Reban 192.0.2.1" in server.log_text())
    wait_for(lambda: rules.read_text().count("192.0.2.1") == 2)
    assert [line["fid"] for line in stage.lines()] == ["192.0.2.1", "192.0.2.2"]
    assert "AttributeError" not in server.log_text()


def test_many_bans_at_once_are_all_recorded_in_order(stage: Stage) -> None:
    server = stage.start()
    for number in range(300):
        stage.fail(f"10.0.{number // 250}.{number % 250 + 1}")
    client = threading.Thread(
        target=server.client, args=("set", "sshd", "banip", *(f"198.51.100.{number}" for number in range(200)))
    )
    client.start()
    lines = stage.wait_for_lines(500)
    client.join()
    assert [line["seq"] for line in lines] == list(range(2, 502))
    assert len({line["fid"] for line in lines}) == 500


def test_fail2ban_in_a_virtual_environment_records_the_same(stage: Stage, installation: Installation) -> None:
    library = Path(installation.env.get("PYTHONPATH", "/usr/lib/python3/dist-packages"))
    if not (library / "fail2ban").is_dir():
        pytest.skip("the fail2ban package can't be copied from here")
    home = stage.directory / "venv"
    python = installation.server[0] if len(installation.server) > 1 else "/usr/bin/python3"
    subprocess.run([python, "-m", "venv", "--without-pip", str(home)], check=True)
    [packages] = home.glob("lib/python3*/site-packages")
    shutil.copytree(library / "fail2ban", packages / "fail2ban")
    server = stage.start(installation=with_python(installation, str(home / "bin" / "python"), env={}))
    stage.fail("192.0.2.1")
    [line] = stage.wait_for_lines(1)
    assert (line["kind"], line["fid"], line["users"]) == ("ban", "192.0.2.1", ["root"])
    assert no_errors(server)


@pytest.fixture
def stage_of_nobody(installation: Installation) -> Iterator[Stage]:
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    home = Path(tempfile.mkdtemp(prefix="banledger-"))
    stage = Stage(home, _for_everybody(installation, home))
    nobody = pwd.getpwnam("nobody").pw_uid
    for path in (home, stage.spool, stage.log):
        os.chown(path, nobody, -1)
    yield stage
    for server in stage.servers:
        server.stop()
    shutil.rmtree(home)


def _for_everybody(installation: Installation, home: Path) -> Installation:
    """The same fail2ban in that directory, if it is unpacked: where it is, only its owner may be let in."""
    root = installation.config.parents[1]
    if root == Path("/"):
        return installation
    copy = unpacked(shutil.copytree(root, home / "unpacked", symlinks=True))
    assert copy is not None
    return copy


def test_a_fail2ban_without_root_records_too(stage_of_nobody: Stage) -> None:
    server = stage_of_nobody.start(uid=pwd.getpwnam("nobody").pw_uid)
    stage_of_nobody.fail("192.0.2.1")
    stage_of_nobody.wait_for_lines(1)
    [segment] = stage_of_nobody.spool.iterdir()
    assert segment.owner() == "nobody"
    assert no_errors(server)


def test_a_server_that_cannot_start_raises_the_reason_and_leaves_no_process(stage: Stage) -> None:
    with pytest.raises(BanledgerError) as caught:
        stage.start({"sshd": stage.jail(filter="no-such-filter")})
    assert "no-such-filter" in caught.value.hint
    assert stage.servers[0].pid is None


def test_a_failed_command_raises_its_message(stage: Stage) -> None:
    server = stage.start()
    with pytest.raises(BanledgerError, match="no-such-jail"):
        server.client("status", "no-such-jail")
