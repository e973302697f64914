"""`banledger doctor` on a directory that stands for `/`, with a private fail2ban and real servers."""

import io
import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import redis

from banledger.cli.main import run
from banledger.errors import BanledgerError
from banledger.setup.mirror import JAIL_FILE
from tests.conftest import MakeServer
from tests.support.servers import Flavour, StoreServer, flavour_named

from .test_acl import USERS
from .test_setup import BANNED, Host, base  # noqa: F401  a fixture

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="setup gives files to users"),
]

SPOOL, LEDGER = "/var/spool/banledger", "/var/lib/banledger/ledger.db"
SECRET = "s3cret-pa55"
OF_THIS_MACHINE = {"clock", "spool lock", "service version", "recorder", "program"}
"""Checks whose answer is another where no service runs and the clock is the machine's."""


class Patient(Host):
    """A host that was set up, with what the doctor says of it."""

    def doctor(self, *words: str) -> tuple[int, str]:
        """The exit code and what it says. It runs in this process, so that its lines count as run."""
        said = io.StringIO()
        with (
            patch.dict(os.environ, self.environment(), clear=True),
            redirect_stdout(said),
            redirect_stderr(io.StringIO()),
        ):
            code = run(["doctor", "--root", str(self.directory), *words])
        return code, said.getvalue()

    def checks(self, *words: str) -> dict[str, Mapping[str, str]]:
        """What it finds, by check."""
        code, said = self.doctor("--json", *words)
        found = {one["name"]: one for one in json.loads(said)["checks"]}
        assert code == (12 if any(one["verdict"] == "wrong" for one in found.values()) else 0)
        return found

    def ills(self, *words: str) -> dict[str, str]:
        """What is not well, in words."""
        return {
            name: one["found"]
            for name, one in self.checks(*words).items()
            if one["verdict"] != "well" and name not in OF_THIS_MACHINE and "vanished from spool" not in one["found"]
        }

    def mend(self, check: str) -> None:
        """Run the remedy of a check, with fail2ban's client of this host."""
        remedy = self.checks()[check]["remedy"]
        if remedy.startswith("fail2ban-client -c"):
            self.client(*shlex.split(remedy)[3:])
            return
        done = subprocess.run(
            ["sh", "-c", remedy], env=self.environment(), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr

    def record(self) -> None:
        self.installed("record", "--once")


@pytest.fixture(scope="module")
def shared() -> Iterator[Patient]:
    """One for all tests: a setup takes seconds."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as directory, Patient(Path(directory, "root")) as host:
        host.setup("--server", "web1", "--yes")
        host.record()
        yield host


@pytest.fixture
def patient(shared: Patient) -> Iterator[Patient]:
    """It is well before each test, and so after it."""
    yield shared
    spool, ledger = shared.place(SPOOL), shared.place(LEDGER)
    for path in spool.iterdir():
        if path.suffix != ".jsonl" or path.name.startswith("1700"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(shared.place("/etc/banledger"), ignore_errors=True)
    shared.place("/var/lib/banledger-setup/restart-fail2ban").unlink(missing_ok=True)
    for path in (ledger, *ledger.parent.glob("ledger.db-*")):
        os.chown(path, ledger.parent.stat().st_uid, -1)
        path.chmod(0o640)
    if (shared.config / "jail.d/third.local").exists():
        (shared.config / "jail.d/third.local").unlink()
        shared.setup("--yes")
        with suppress(BanledgerError):
            shared.client("stop", "third")
    os.chown(spool, 0, -1)
    spool.chmod(0o2770)


def test_all_is_well_after_a_setup_and_the_doctor_changes_nothing(patient: Patient) -> None:
    def files() -> dict[str, object]:
        return {name: one for name, one in patient.files().items() if not name.endswith("-shm")}  # SQLite's index

    before = files()

    assert patient.ills() == {}
    assert files() == before

    code, said = patient.doctor()
    assert code == 12  # no recorder runs here
    assert "+ action file" in said and "x spool lock" in said and "-> runuser -u banledger" in said  # no terminal


def test_a_recorder_that_holds_the_spool_is_found(patient: Patient) -> None:
    env = patient.environment() | {
        "BANLEDGER_STORE": str(patient.place(LEDGER)),
        "BANLEDGER_SPOOL": str(patient.place(SPOOL)),
        "BANLEDGER_WHOIS_ENABLED": "false",
    }
    words = [sys.executable, "-m", "banledger", "record"]
    recorder = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while (found := patient.checks())["spool lock"]["verdict"] != "well" and time.monotonic() < deadline:
            time.sleep(0.2)
        assert found["spool lock"]["found"] == "a recorder reads the spool"
    finally:
        recorder.terminate()
        recorder.wait(20)
    assert patient.checks()["spool lock"]["verdict"] == "wrong"


def test_jails_without_the_action_are_named_and_get_it(patient: Patient) -> None:
    patient.client("set", "my shop", "delaction", "banledger")
    assert patient.ills() == {"running jails": "these jails started without it: my shop"}

    patient.client("reload", "--restart", "my shop")
    assert patient.ills() == {}

    text = f"[third]\nfilter = sshd\nlogpath = {patient.log}\naction = nothing[name=y]\n"
    (patient.config / "jail.d/third.local").write_text(text)
    assert patient.ills() == {"jails": "these jails don't have it: third"}
    patient.mend("jails")
    assert patient.ills() == {}


def test_another_action_file_is_named_and_replaced(patient: Patient) -> None:
    patient.action_file.write_text(patient.action_file.read_text() + "# other\n")
    assert "not the one of this version" in patient.ills()["action file"]
    patient.mend("action file")
    assert patient.ills() == {}


def test_bans_that_the_ledger_lacks_are_counted_but_not_those_that_wait(patient: Patient) -> None:
    patient.client("set", "sshd", "banip", BANNED)
    deadline = time.monotonic() + 10
    while not list(patient.place(SPOOL).glob("*.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert patient.ills() == {}
    assert patient.checks()["bans"]["found"].endswith("0 in the ledger, 1 waiting in the spool")
    for segment in patient.place(SPOOL).glob("*.jsonl"):
        segment.unlink()

    assert patient.ills() == {"bans": "sshd: the ledger lacks 1 ban in force"}

    patient.mend("bans")
    patient.record()
    assert patient.ills() == {}


def test_a_ban_that_only_the_ledger_has_is_a_caution(patient: Patient) -> None:
    patient.client("set", "sshd", "banip", BANNED)
    patient.record()
    for segment in patient.place(SPOOL).glob("*.jsonl"):
        segment.unlink()
    patient.client("set", "sshd", "unbanip", BANNED)
    time.sleep(0.5)
    for segment in patient.place(SPOOL).glob("*.jsonl"):
        segment.unlink()

    assert patient.ills() == {"bans": "sshd: 1 ban in force in the ledger only"}
    for path in patient.place(LEDGER).parent.glob("ledger.db*"):
        path.unlink()
    patient.record()


def test_a_fail2ban_that_hangs_does_not_hang_the_doctor(patient: Patient) -> None:
    assert patient.pid is not None
    os.kill(patient.pid, signal.SIGSTOP)
    try:
        found = patient.ills()
    finally:
        os.kill(patient.pid, signal.SIGCONT)

    assert "does not answer within 5 s" in found["fail2ban server"]
    assert patient.ills() == {}


def test_a_fail2ban_that_died_says_why(patient: Patient) -> None:
    patient.kill()
    try:
        _died(patient)
    finally:
        _revive(patient)


def _revive(patient: Patient) -> None:
    for name in ("third.local", JAIL_FILE):
        (patient.config / "jail.d" / name).unlink(missing_ok=True)
    patient.start()  # as before the setup
    patient.setup("--yes")


def test_remedies_help_in_their_order_where_the_action_file_is_gone(patient: Patient) -> None:
    patient.kill()
    patient.action_file.unlink()
    try:
        found = patient.checks()
        remedies = [one["remedy"] for one in found.values() if one["verdict"] == "wrong" and "fail2ban" in one["found"]]
        assert "there is no" in found["fail2ban server"]["found"]
        assert remedies[0] == found["action file"]["remedy"]
        patient.mend("fail2ban server")
        assert patient.action_file.is_file()
        assert patient.checks()["fail2ban server"]["remedy"].endswith(" restart")
    finally:
        _revive(patient)


def _died(patient: Patient) -> None:
    found = patient.checks()["fail2ban server"]
    assert found["found"].startswith("it doesn't run") and "restart" in found["remedy"]

    text = "[third]\nfilter = sshd\nlogpath = /nowhere.log\nbackend = auto\n"
    (patient.config / "jail.d/third.local").write_text(text)
    found = patient.checks()["fail2ban server"]
    assert found["found"] == "it can't start: Have not found any log file for third jail"
    assert found["remedy"].endswith(f"setup --yes --mend --root {patient.directory}")


@pytest.mark.parametrize(
    ("made", "check", "verdict", "says"),
    [
        (lambda spool: spool.chmod(0o755), "spool", "wrong", "755, not 2770"),
        (lambda spool: os.chown(spool, 1, -1), "spool", "wrong", "doesn't belong to root:banledger-spool"),
        (lambda spool: (spool / "x\x1b[31m").touch(), "foreign files", "caution", "no segment"),
        (lambda spool: reject(spool, b"{}\n"), "rejected lines", "caution", "1, last: "),
        (lambda spool: old(spool, b""), "backlog", "wrong", "1 segment, the oldest begun "),
        (lambda spool: old(spool, b'{"v":9,"kind":"ban"}\n'), "backlog", "wrong", "a newer banledger is needed"),
    ],
)
def test_faults_of_the_spool_are_named(patient: Patient, made: Any, check: str, verdict: str, says: str) -> None:
    for segment in patient.place(SPOOL).glob("*.jsonl"):
        segment.unlink()
    made(patient.place(SPOOL))

    found = patient.checks()[check]

    assert (found["verdict"], says in found["found"]) == (verdict, True), found
    assert found["remedy"]
    assert "\x1b" not in patient.doctor()[1]


def reject(spool: Path, line: bytes) -> None:
    (spool / "rejected").mkdir()
    (spool / "rejected/0123").write_bytes(b"reason: it is no ban\n\n" + line)


def old(spool: Path, content: bytes) -> None:
    path = spool / "1700000000000-0123abcd-1.jsonl"
    path.write_bytes(content)
    path.chmod(0o640)


def test_each_remedy_of_the_spool_mends_it(patient: Patient) -> None:
    spool = patient.place(SPOOL)
    spool.chmod(0o700)
    os.chown(spool, 1, 1)
    (spool / "a b").mkdir()

    patient.mend("foreign files")
    assert not (spool / "a b").exists()
    assert set(patient.ills()) == {"spool"}
    patient.setup("--yes")
    assert patient.ills() == {}


def test_settings_that_are_wrong_are_named(patient: Patient) -> None:
    file = patient.place("/etc/banledger/banledger.toml")
    file.parent.mkdir()
    file.write_text(f'password = "{SECRET}"\n')
    file.chmod(0o644)
    found = patient.checks()["settings"]
    assert "accessible to everybody" in found["found"]
    assert found["remedy"] == f"chown root:banledger {file} && chmod 640 {file}"
    file.chmod(0o600)
    assert "the service may not read" in patient.ills()["settings"]

    file.write_text("nonsense = 1\n")
    assert "unknown setting 'nonsense'" in patient.ills()["settings"]
    file.write_text('timezone = "Asia/Tokyo"\n')
    file.chmod(0o644)
    (said,) = patient.ills().items()
    assert said[0] == "time zone" and said[1].startswith("the setting is Asia/Tokyo, but the ledger has ")


def test_faults_of_the_ledgers_file_are_named_and_mended(patient: Patient) -> None:
    ledger = patient.place(LEDGER)
    before = ledger.stat()
    os.chown(ledger, 0, 0)
    ledger.chmod(0o666)

    found = patient.checks()["ledger file"]

    assert "another user owns it" in found["found"] and "others may read or write ledger.db" in found["found"]
    os.chown(ledger, before.st_uid, before.st_gid)
    ledger.chmod(0o640)
    assert patient.ills() == {}


def test_a_program_whose_python_is_gone_is_made_again(patient: Patient) -> None:
    python = patient.place("/opt/banledger/venv/bin/python")
    python.unlink()
    assert "is gone" in patient.checks()["program"]["found"]

    patient.mend("program")

    assert python.exists()


def test_an_interrupted_setup_is_named_and_finished(patient: Patient) -> None:
    patient.place("/var/lib/banledger-setup/restart-fail2ban").write_text('{"alive":true}')
    assert "was interrupted" in patient.ills()["setup"]

    patient.mend("setup")

    assert patient.ills() == {}


def test_a_user_who_is_not_root_is_told_what_needs_root(patient: Patient) -> None:
    with patch.object(os, "geteuid", lambda: 1000):
        found = patient.checks()

    assert {one["verdict"] for name, one in found.items() if one["found"] == "needs root"} == {"unseen"}
    assert found["bans"]["found"] == "needs root" and found["action file"]["verdict"] == "well"


# A store on a server


def tell(server: StoreServer, *words: str) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.execute_command(*words)


@pytest.fixture
def on_server(patient: Patient, private_server: MakeServer, flavour: Flavour) -> tuple[Patient, StoreServer]:
    server = private_server(flavour)
    patient.installed("store", "copy", str(patient.place(LEDGER)), server.url)
    return patient, server


def test_settings_of_a_server_that_endanger_the_ledger_are_named(on_server: tuple[Patient, StoreServer]) -> None:
    patient, server = on_server
    assert patient.ills("--store", server.url) == {}

    tell(server, "CONFIG", "SET", "maxmemory", "100mb")
    tell(server, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    tell(server, "CONFIG", "SET", "appendonly", "no")

    found = patient.checks("--store", server.url)["store server"]
    assert found["verdict"] == "wrong"
    assert "it may evict bans (maxmemory-policy allkeys-lru)" in found["found"]
    assert "no append-only file" in found["found"]
    assert f"redis-cli -h 127.0.0.1 -p {server.port} CONFIG SET maxmemory-policy noeviction" in found["remedy"]
    for line in found["remedy"].split(" && "):
        words = shlex.split(line)[5:]
        if words != ["CONFIG", "REWRITE"]:  # this server has no file
            tell(server, *words)
    assert patient.ills("--store", server.url) == {}


def test_what_a_users_acl_lacks_is_named_and_given(patient: Patient, private_server: MakeServer) -> None:
    rules = USERS["banledger"].replace(">PASSWORD", f">{SECRET}")
    server = private_server(flavour_named("redis-7"))
    patient.installed("store", "copy", str(patient.place(LEDGER)), server.url)
    tell(server, "ACL", "SETUSER", "banledger", *rules.split())
    secret = patient.place("/etc/password")
    secret.write_text(SECRET)
    secret.chmod(0o600)
    url = f"redis://banledger@localhost:{server.port}/0"
    with patch.dict(os.environ, {"BANLEDGER_PASSWORD": SECRET}):
        assert patient.ills("--store", url) == {}

        tell(server, "ACL", "SETUSER", "banledger", "-hset", "-zadd", "-eval")
        found = patient.checks("--store", url)["store rights"]
        assert found["found"] == "the user banledger lacks eval, hset, zadd"
        tell(server, *shlex.split(found["remedy"])[5:])
        assert patient.ills("--store", url) == {}

        tell(server, "ACL", "SETUSER", "banledger", "resetkeys", "~other:*")
        assert patient.checks("--store", url)["store"]["verdict"] == "wrong"

        tell(server, "ACL", "SETUSER", "banledger", "-info", "~bans:*")
        assert "INFO is refused" in patient.ills("--store", url)["store server"]


def test_a_server_that_hangs_or_is_down_is_named(patient: Patient, private_server: MakeServer) -> None:
    server = private_server(flavour_named("redis-7"))
    patient.installed("store", "copy", str(patient.place(LEDGER)), server.url)
    server.pause()
    began = time.monotonic()
    assert "does not answer in time" in patient.ills("--store", server.url)["store"]
    assert time.monotonic() - began < 60
    server.kill()
    assert "nothing listens there" in patient.ills("--store", server.url)["store"]


# The bundle


def test_a_bundle_has_no_address_and_no_name_and_only_its_owner_reads_it(patient: Patient, tmp_path: Path) -> None:
    patient.client("set", "sshd", "banip", BANNED)
    patient.record()
    file, password = patient.place("/etc/banledger/banledger.toml"), tmp_path / "secret"
    file.parent.mkdir()
    password.write_text(SECRET)
    password.chmod(0o600)
    hidden = ("bob", "hunter22", "proxy7.corp", "eve@example.org", "vault7")
    file.write_text(
        f'password_file = "{password}"\nwhois.proxy = "http://bob:hunter22@proxy7.corp:3128"\n'
        'whois.contact = "eve@example.org"\nmachine = "vault7"\n'
    )
    file.chmod(0o640)
    place = tmp_path / "report.tar.gz"

    code, said = patient.doctor("--bundle", str(place))

    assert code == 0 and "read it before you send it" in said
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    with tarfile.open(place) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        texts = {name: file.read().decode() for name, file in files.items() if file}
    for name in texts:
        assert name.rpartition("/")[2] in said
    whole = "\n".join(texts.values())
    assert [text for text in (SECRET, BANNED, "web1", *hidden) if text in whole] == []
    assert os.uname().nodename not in whole.split()
    ledger = json.loads(texts["banledger-doctor/ledger.json"])
    assert ledger["bans"] >= 1 and ledger["in force"] >= 1
    assert json.loads(texts["banledger-doctor/doctor.json"])["checks"]

    assert patient.doctor("--bundle", str(place))[0] == 11  # it never replaces a file


def test_where_nothing_is_installed_each_remedy_is_the_setup(base: Path) -> None:  # noqa: F811
    root = base / "empty"
    root.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "banledger", "doctor", "--root", str(root), "--json"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = {one["name"]: one for one in json.loads(done.stdout)["checks"]}
    assert done.returncode == 12
    ours = ("program", "setup", "unit file", "service", "spool lock", "action file", "spool", "store")
    remedies = {name: found[name]["remedy"] for name in ours if name in found and found[name]["verdict"] == "wrong"}
    assert {"setup", "spool lock", "action file", "store"} <= remedies.keys()
    assert all(f" setup --yes --root {root}" in remedy for remedy in remedies.values()), remedies


def test_the_doctor_runs_where_nothing_is_installed(base: Path) -> None:  # noqa: F811
    root = base / "empty"
    root.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "banledger", "doctor", "--root", str(root), "--bundle", str(base / "x.tar.gz")],
        capture_output=True, text=True, timeout=120, env=dict(os.environ) | {"PYTHONIOENCODING": "ascii"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
