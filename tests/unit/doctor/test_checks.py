"""The doctor's checks: the table, what it promises in the docs, and rules that need no machine."""

import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import PackageNotFoundError
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from banledger.doctor import checks, offline, settings_file, upgrade
from banledger.doctor.checks import TABLE, Check, results
from banledger.doctor.diagnosis import Diagnosis, Verdict, caution, together, unseen, well, wrong
from banledger.doctor.examined import Examined
from banledger.doctor.log import complaints
from banledger.doctor.screen import lines, symbols_for
from banledger.doctor.service import own_heartbeat
from banledger.doctor.spool import spool_max
from banledger.doctor.store import cli, dangers
from banledger.errors import BanledgerError
from banledger.ledger.heartbeat import Heartbeat
from banledger.ledger.writer import open_to_write
from banledger.setup.machine import PACKAGED_UNIT, UNIT, Machine
from banledger.stores.redis.rights import NEEDED

ROOT = Path(__file__).parents[3]
OPTIONAL = {"client|setname", "info", "multi", "exec"}


@pytest.fixture
def examined(tmp_path: Path) -> Examined:
    return Examined(Machine(tmp_path), {}, time.time())


def row(check: Check) -> str:
    root = " (root)" if check.root else ""
    return f"| {check.name}{root} | {check.about} | {check.helps} |"


def test_the_page_has_the_table_of_checks() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    table = "\n".join(["| check | looks at | what helps |", "|---|---|---|", *map(row, TABLE)])

    assert table in page, f"put this into docs/operations.md:\n{table}"


def test_names_of_checks_are_distinct() -> None:
    assert len({check.name for check in TABLE}) == len(TABLE)


def test_the_commands_that_are_tried_on_a_server_are_those_of_its_documented_user() -> None:
    page = (ROOT / "docs/stores.md").read_text()
    (rules,) = re.findall(r"^    ACL SETUSER banledger reset (.+)$", page, re.MULTILINE)

    assert set(NEEDED) == set(re.findall(r"\+([\w|]+)", rules)) - OPTIONAL


# What is done with a check


def done(look: Callable[[Examined], Any], examined: Examined, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Any:
    monkeypatch.setattr(checks, "TABLE", (Check("one", "", "", look, **more),))
    return [result.diagnosis for result in results(examined)]


def test_a_check_that_hangs_is_given_up(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(checks, "LONGEST_S", 0.05)

    (found,) = done(lambda _: never.wait(60), examined, monkeypatch)

    never.set()
    assert found.verdict is Verdict.WRONG and "could not be looked at" in found.found


def test_errors_that_a_user_can_mend_are_no_tracebacks_and_bugs_are(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(error: Exception) -> Callable[[Examined], Diagnosis]:
        def look(_: Examined) -> Diagnosis:
            raise error

        return look

    assert done(raises(BanledgerError("no")), examined, monkeypatch) == [unseen("no")]
    assert done(raises(PermissionError(13, "Permission denied", "/x")), examined, monkeypatch)[0].verdict == "unseen"
    with pytest.raises(ZeroDivisionError):
        done(raises(ZeroDivisionError()), examined, monkeypatch)


def test_what_does_not_apply_is_not_shown_and_root_is_asked_for(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert done(lambda _: None, examined, monkeypatch) == []
    examined.root = False
    assert done(lambda _: well(""), examined, monkeypatch, root=True) == [unseen("needs root")]


def test_before_a_setup_the_setup_is_what_helps(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty = wrong("no recorder", "systemctl start banledger")

    assert done(lambda _: faulty, examined, monkeypatch, needs_setup=True) == [replace(faulty, remedy=examined.setup())]
    assert done(lambda _: faulty, examined, monkeypatch) == [faulty]
    (examined.machine.root / "etc/banledger").mkdir(parents=True)
    (examined.machine.root / "etc/banledger/banledger.toml").touch()
    again = Examined(examined.machine, {}, time.time())
    assert done(lambda _: faulty, again, monkeypatch, needs_setup=True) == [faulty]


def test_a_package_alone_is_no_setup(tmp_path: Path) -> None:
    def found(*places: str) -> bool:
        for place in places:
            path = tmp_path / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return Examined(Machine(tmp_path), {}, time.time()).is_set_up

    assert not found()
    assert not found(PACKAGED_UNIT.lstrip("/"), "opt/banledger/venv")
    assert found(Machine(tmp_path).action_file.lstrip("/"))


def test_before_a_setup_there_is_none_to_be_complete(examined: Examined) -> None:
    assert upgrade.setup(examined) == wrong("there was none yet", examined.setup())
    examined.machine.place("/opt/banledger/venv").mkdir(parents=True)
    assert upgrade.setup(Examined(examined.machine, {}, time.time())).verdict is Verdict.WELL


def test_missing_countries_are_installed_where_the_service_runs(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_name: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr(offline, "version", missing)
    assert offline.registered(examined).remedy == ""
    pip = examined.machine.place("/opt/banledger/venv/bin/pip")
    pip.parent.mkdir(parents=True)
    pip.touch()
    assert offline.registered(examined).remedy == f"{pip} install iptocc && systemctl restart banledger"
    unit = examined.machine.place(PACKAGED_UNIT)
    unit.parent.mkdir(parents=True)
    unit.touch()
    assert offline.registered(examined).remedy.startswith("/usr/lib/banledger/make-program && ")


def test_wrong_settings_are_explained_once(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    (examined.machine.root / "etc/banledger").mkdir(parents=True)
    (examined.machine.root / "etc/banledger/banledger.toml").write_text("nonsense")

    (first,) = done(settings_file.settings, examined, monkeypatch)
    assert first.verdict is Verdict.WRONG and "is not TOML" in first.found
    assert done(lambda one: well(str(one.spool)), examined, monkeypatch) == [unseen("the settings can't be read")]
    monkeypatch.undo()
    said = [result.diagnosis.found for result in results(examined)]
    assert sum("TOML" in found for found in said) == 1


def test_several_faults_are_one_line_with_the_worst_verdict_and_each_remedy_once() -> None:
    found = together([caution("a", "x"), wrong("b", "y"), well("c"), wrong("d", "y")], well("all"))

    assert found == Diagnosis(Verdict.WRONG, "a; b; d", "x && y")
    assert together([], well("all")) == well("all")


def test_outside_text_is_escaped_and_the_marks_fit_the_terminal() -> None:
    result = checks.CheckResult("x", wrong("a\x1b[31m\n", "rm 'a\x1b'"))

    assert [line.split() for line in lines(result, symbols_for("utf-8"))] == [
        ["✗", "x", "a\\x1b[31m\\x0a"],
        ["→", "rm", "'a\\x1b'"],
    ]
    assert "".join(lines(result, symbols_for("latin-1"))).isascii()


# The unit


@pytest.mark.parametrize("place", [UNIT, PACKAGED_UNIT])
def test_the_unit_is_looked_at_where_setup_or_the_package_put_it(examined: Examined, place: str) -> None:
    path = examined.machine.place(place)
    path.parent.mkdir(parents=True)
    ours = (files("banledger") / "packaging/root" / UNIT.lstrip("/")).read_bytes()

    path.write_bytes(ours)
    assert upgrade.unit_file(examined) == well("it is the one of this version")

    path.write_bytes(ours + b"#")
    found = upgrade.unit_file(examined)
    assert found is not None and found.verdict is Verdict.CAUTION and str(path) in found.found
    assert (found.remedy == "dpkg --verify banledger") is (place == PACKAGED_UNIT)


# fail2ban's log


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ([], []),
        (["fail2ban.banledger [1]: WARNING banledger: holding bans in memory"], ["holding bans in memory"]),
        (["x WARNING banledger: holding bans", "x INFO banledger: the spool works again"], []),
        (["x ERROR banledger: bad", "x INFO Starting Fail2ban v1.0.2", "x INFO [sshd] Ban 192.0.2.1"], []),
        (["x INFO banledger: fine", "x NOTICE [banledger: x] Ban 192.0.2.1"], []),
    ],
)
def test_complaints_of_the_action_count_until_they_are_settled(log: list[str], said: list[str]) -> None:
    assert complaints(log) == said


# A server's settings

FINE = {"redis_version": "7.0.15", "aof_enabled": "1", "role": "master", "maxmemory": "0", "used_memory": "1000"}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, []),
        ({"maxmemory": "5000", "maxmemory_policy": "noeviction"}, []),
        ({"maxmemory": "0", "maxmemory_policy": "allkeys-lru"}, []),
        ({"maxmemory": "5000", "maxmemory_policy": "allkeys-lru", "evicted_keys": "7"}, ["has evicted 7"]),
        ({"maxmemory": "1001", "maxmemory_policy": "noeviction"}, ["nearly full"]),
        ({"aof_enabled": "0"}, ["no append-only file"]),
        (
            {"aof_last_write_status": "err", "rdb_last_bgsave_status": "err"},
            ["its append-only file", "its last snapshot"],
        ),
        ({"role": "slave"}, ["is a replica"]),
        ({"redis_version": "6.0.1"}, ["is Redis 6.0.1"]),
        ({"maxmemory": "a\x1b", "evicted_keys": "²"}, []),
    ],
)
def test_dangers_of_a_server_are_named(more: dict[str, str], says: list[str]) -> None:
    found = dangers(FINE | more, "redis-cli")

    assert len(found) == len(says)
    assert all(words in one.found and one.remedy for words, one in zip(says, found, strict=True))


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ("redis://banledger:secret@db.example.org/2", "redis-cli -h db.example.org -p 6379"),
        ("rediss://db.example.org:6380", "redis-cli -h db.example.org -p 6380 --tls"),
        ("unix:///run/valkey/valkey.sock?db=0", "redis-cli -s /run/valkey/valkey.sock"),
    ],
)
def test_remedies_for_a_server_have_no_password(store: str, words: str) -> None:
    assert cli(store) == words


def test_the_limit_of_the_spool_is_the_actions(examined: Examined) -> None:
    assert spool_max(examined) == 512 << 20


# The recorder of this machine


def test_the_heartbeat_of_this_machine_is_found_also_where_the_spool_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "spool").symlink_to("real")
    store = str(tmp_path / "ledger.db")
    now = time.time()
    mine = Heartbeat(now, now, socket.gethostname(), 7, "1", id="0123456789ab", spool=str(tmp_path / "real"))
    with closing(open_to_write(store, "bans", "UTC")) as ledger:
        ledger.beat(mine)
        ledger.beat(replace(mine, id="ba9876543210", spool="/elsewhere", written=now + 1))

    flags = {"store": store, "spool": str(tmp_path / "spool")}
    assert own_heartbeat(Examined(Machine(tmp_path), flags, now)) == mine
