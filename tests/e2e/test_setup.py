"""`banledger setup` and its undo, on a directory that stands for `/`, with a real fail2ban that reads it."""

import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from unittest.mock import patch

import pytest

from banledger.cli.main import run
from banledger.demo.installation import locate
from banledger.setup.mirror import JAIL_FILE
from tests.conftest import MakeServer
from tests.support.fail2ban import PrivateServer
from tests.support.servers import flavour_named

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="setup gives files to users"),
]

ROOT = Path(__file__).parents[2]
NOTHING = "[Definition]\nactionban = true\nactionunban = true\n"
LETHAL = "[Definition]\nactionstart = test ! -e {} || kill -9 $PPID\nactionban = true\nactionunban = true\n"
ACCOUNTS = {
    "passwd": "root:x:0:0::/root:/bin/sh\n",
    "group": "root:x:0:\n",
    "shadow": "root:*:1::::::\n",
    "gshadow": "root:*::\n",
    ".pwd.lock": "",
}
BANNED = "192.0.2.77"


class Host(PrivateServer):
    """A root directory with a fail2ban that reads its /etc/fail2ban; its jails have one action, which does nothing."""

    def __init__(self, root: Path, action: str = NOTHING, **jails: dict[str, str]) -> None:
        for name in ("etc/fail2ban/jail.d", "usr/local/bin", "opt", "var/lib", "var/spool", "var/log", "run"):
            (root / name).mkdir(parents=True)
        for name, text in ACCOUNTS.items():
            (root / "etc" / name).write_text(text)
        self.log = root / "var/log/auth.log"
        self.log.touch()
        own = root.parent / "nothing.conf"
        own.write_text(action)
        jail = {"filter": "sshd", "logpath": str(self.log), "action": "nothing"}
        super().__init__(root, jails or {"sshd": jail, "my shop": jail | {"action": "nothing[name=x]"}}, actions=[own])

    @property
    def config(self) -> Path:
        """Where fail2ban has it on every machine."""
        return self.directory / "etc/fail2ban"

    def write_config(self) -> None:
        """See PrivateServer.write_config. Our action is not there before the setup."""
        super().write_config()
        self.action_file.unlink()

    def place(self, path: str) -> Path:
        return self.directory / path.lstrip("/")

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "banledger", "setup", "--root", str(self.directory), *words]

    def environment(self) -> dict[str, str]:
        tree = str(locate().config.parents[1])
        return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {
            "BANLEDGER_FAIL2BAN": tree
        }

    def setup(self, *words: str, code: int = 0, answer: str = "") -> str:
        """What `banledger setup` says. It runs in this process, so that its lines count as run."""
        said, umask = io.StringIO(), os.umask(0o022)
        try:
            with (
                patch.dict(os.environ, self.environment(), clear=True),
                patch.object(sys, "stdin", io.StringIO(answer)),
                redirect_stdout(said),
                redirect_stderr(said),
            ):
                done = run(self.words(*words)[3:])
        finally:
            os.umask(umask)
        assert done == code, said.getvalue()
        return said.getvalue()

    def killed(self, delay_s: float, *words: str) -> None:
        """Kill `banledger setup` after some time."""
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(self.words(*words), env=self.environment(), stdout=quiet, stderr=quiet)
        with suppress(subprocess.TimeoutExpired):
            process.wait(delay_s)
        process.kill()
        process.wait()

    def installed(self, *words: str) -> str:
        """What the program says that setup has put there."""
        command = [str(self.place("/usr/local/bin/banledger")), *words]
        env = self.environment() | {
            "BANLEDGER_STORE": str(self.place("/var/lib/banledger/ledger.db")),
            "BANLEDGER_SPOOL": str(self.place("/var/spool/banledger")),
        }
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False, cwd="/")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def has(self, jail: str) -> list[str]:
        return [one.strip() for one in self.client("get", jail, "actions").partition(":\n")[2].split(",")]

    def files(self, *, accounts: bool = True) -> dict[str, tuple[object, ...]]:
        """Everything below the root that setup may change, with owner, mode and bytes."""
        found = {}
        for top in ("etc", "opt", "usr", "var/lib", "var/spool"):
            for path in self.place(top).rglob("*"):
                name = str(path.relative_to(self.directory))
                if path.name.endswith("-") or (not accounts and path.parent.name == "etc" and path.is_file()):
                    continue  # copies that the system's own tools make
                status = path.lstat()
                content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
                found[name] = (status.st_mode, status.st_uid, status.st_gid, content)
        return dict(sorted(found.items()))


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory in memory, where there is one: a setup writes thousands of files, and its undo removes them."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as directory:
        yield Path(directory)


@pytest.fixture
def host(base: Path) -> Iterator[Host]:
    with Host(base / "root") as server:
        yield server


def record_a_ban(host: Host) -> None:
    """Ban an address in each jail, and see both in the ledger."""
    for jail in host.jails:
        host.client("set", jail, "banip", BANNED)
    host.installed("record", "--once")
    bans = [json.loads(line) for line in host.installed("bans", "--ip", BANNED, "--json").splitlines()]
    assert {(ban["jail"], ban["server"]) for ban in bans} == {(jail, "web1") for jail in host.jails}


def test_every_jail_is_recorded_beside_its_own_action_and_a_second_setup_changes_nothing(host: Host) -> None:
    said = host.setup("--server", "web1", "--yes")

    assert host.has("sshd") == ["nothing", "banledger"]
    assert host.has("my shop") == ["nothing-x", "banledger"]
    assert "no systemd" in said and "record" in said
    record_a_ban(host)

    before = host.files()
    said = host.setup("--yes")
    assert "nothing to do" in said and "this server's label: web1" in said
    assert host.files() == before


def test_undo_makes_every_file_as_it_was_from_the_program_that_it_removes(host: Host) -> None:
    before = host.files()
    host.setup("--server", "web1", "--yes")
    record_a_ban(host)
    words = ["setup", "--root", str(host.directory), "--yes"]
    assert "nothing to do" in host.installed(*words)

    said = host.installed(*words, "--undo")

    kept = host.files(accounts=False)
    assert "stays  /var/lib/banledger" in said and "stays  the user banledger" in said
    assert host.has("sshd") == ["nothing"]
    assert host.place("/var/lib/banledger/ledger.db").is_file()
    data = ("var/lib/banledger", "var/spool/banledger")
    assert {name for name in kept if name not in before} == {name for name in kept if name.startswith(data)}

    host.setup("--undo", "--purge", "--yes")
    assert host.files() == before
    assert "nothing to undo" in host.setup("--undo", "--yes")


def test_make_install_runs_the_setup_of_the_checkout(host: Host, base: Path) -> None:
    checkout = base / "checkout"
    (checkout / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", checkout)
    (checkout / "tools/bootstrap").write_text("#!/bin/sh\necho bootstrap $1\n")  # what it makes is here already
    (checkout / "tools/bootstrap").chmod(0o755)
    (checkout / "bin").mkdir()
    (checkout / "bin/banledger").write_text(f'#!/bin/sh\nexec {sys.executable} -m banledger "$@"\n')
    (checkout / "bin/banledger").chmod(0o755)
    words = ["make", "-C", str(checkout), "install", "BIN=bin", f"ARGS=--dry-run --root {host.directory}"]

    done = subprocess.run(words, env=host.environment(), capture_output=True, text=True, timeout=60, check=True)

    assert "bootstrap run" in done.stdout
    assert "to do  add the action to 2 jails (sshd, my shop)" in done.stdout


def test_a_dry_run_changes_nothing(host: Host) -> None:
    before = host.files()

    said = host.setup("--dry-run")

    assert "to do  add the action to 2 jails (sshd, my shop)" in said
    assert host.files() == before


def test_without_an_answer_nothing_is_changed(host: Host) -> None:
    before = host.files()

    host.setup(code=130)

    assert host.files() == before


def test_a_jail_that_was_added_is_recorded_by_the_next_setup(host: Host) -> None:
    host.setup("--server", "web1", "--yes")
    text = f"[third]\nfilter = sshd\nlogpath = {host.log}\naction = nothing[name=y]\n"
    (host.config / "jail.d/third.local").write_text(text)

    host.setup("--yes")

    assert host.has("third") == ["nothing-y", "banledger"]


def test_only_the_jails_that_are_named_are_recorded(host: Host) -> None:
    host.setup("--server", "web1", "--jail", "my shop", "--yes")

    assert host.has("sshd") == ["nothing"]
    assert host.has("my shop") == ["nothing-x", "banledger"]
    assert "fail2ban has no jail" in host.setup("--jail", "ssh\x1b[31m", code=1)
    assert "\x1b" not in host.setup("--jail", "ssh\x1b[31m", code=1)


def test_a_place_that_cannot_be_changed_is_an_error_and_the_next_setup_goes_on(host: Host) -> None:
    before = host.files()
    unit = host.place("/etc/systemd")
    unit.write_text("in the way")

    assert "error: can't read or change" in host.setup("--server", "web1", "--yes", code=1)

    unit.unlink()
    host.setup("--server", "web1", "--yes")
    host.setup("--undo", "--purge", "--yes")
    assert host.files() == before


def test_an_installation_by_hand_is_put_back_by_undo(host: Host) -> None:
    spool = host.place("/var/spool/banledger")
    by_hand = f'[sshd]\naction = nothing\n   banledger.py[server="old", matches=0, spool="{spool}"]\n'
    (host.config / f"jail.d/{JAIL_FILE}").write_text(by_hand)
    shutil.copy(ROOT / "src/banledger/action/banledger.py", host.action_file)
    venv = host.place("/opt/banledger/venv/bin")
    venv.mkdir(parents=True)
    (venv / "banledger").write_text("#!/bin/sh\n")
    before = host.files()

    said = host.setup("--yes")

    assert "this server's label: old" in said
    assert 'server="old", matches="0"' in (host.config / f"jail.d/{JAIL_FILE}").read_text()
    assert host.has("my shop") == ["nothing-x", "banledger"]
    host.setup("--undo", "--purge", "--yes")
    assert host.has("my shop") == ["nothing-x"]
    shutil.rmtree(host.config / "action.d/__pycache__", ignore_errors=True)  # of the action that was put back
    assert host.files() == before


def test_the_action_named_in_another_file_stops_the_undo(host: Host) -> None:
    host.setup("--server", "web1", "--yes")
    text = f"[third]\nfilter = sshd\nlogpath = {host.log}\naction = banledger.py[server=x]\n"
    (host.config / "jail.d/third.local").write_text(text)
    before = host.files()

    said = host.setup("--undo", "--yes", code=1)

    assert "other files of fail2ban name banledger's action, in third" in said
    assert host.files() == before


def test_the_past_is_imported_if_asked_for(host: Host) -> None:
    line = "2026-11-23 02:13:21,250 fail2ban.actions        [4]: NOTICE  [sshd] Ban 192.0.2.78\n"
    host.log_file.with_name("fail2ban.log.1").write_text(line)
    assert "import the past" not in host.setup("--server", "web1", "--dry-run")
    assert f"to do  import the past: {host.log_file} and 1 more" in host.setup("--dry-run", "--import")

    host.setup("--server", "web1", "--import", "--yes")

    host.installed("record", "--once")
    assert json.loads(host.installed("bans", "--ip", "192.0.2.78", "--json"))["server"] == "web1"
    assert "nothing to do" in host.setup("--import", "--yes")


def test_a_past_that_is_not_imported_is_told_with_the_command_that_imports_it(host: Host) -> None:
    line = "2026-11-23 02:1{0}:21,250 fail2ban.actions        [4]: NOTICE  [sshd] Ban 192.0.2.7{0}\n"
    host.log_file.with_name("fail2ban.log.1").write_text("".join(map(line.format, range(10))))
    host.setup("--server", "web1", "--import", "--yes")
    host.installed("record", "--once")
    host.setup("--undo", "--yes")
    known = {"BANLEDGER_STORE": str(host.place("/var/lib/banledger/ledger.db"))}

    with patch.dict(os.environ, known):
        said = host.setup("--server", "web2", "--import", "--yes", code=1)

    assert "the past is not imported, all else is done" in said and "setup --no-import" in said
    (command,) = re.findall(r"to import it by hand: (.*); to leave it", said)
    done = subprocess.run(["sh", "-c", f"{command} --yes --no-wait"], env=host.environment() | known, check=False)
    assert done.returncode == 0
    host.installed("record", "--once")
    bans = host.installed("bans", "--ip", "192.0.2.78", "--json").splitlines()
    assert {json.loads(ban)["server"] for ban in bans} == {"web1", "web2"}
    assert "nothing to do" in host.setup("--no-import", "--yes")


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_without_a_yes_nothing_is_changed_and_that_is_said(host: Host, answer: str) -> None:
    before = host.files()

    said = host.setup("--server", "web1", answer=answer, code=130)

    assert said.endswith("nothing was changed\n")
    assert host.files() == before


def test_setup_says_what_it_found(host: Host) -> None:
    said = host.setup("--dry-run")

    assert re.search(r"^fail2ban [\d.]+ runs; its configuration is /etc/fail2ban$", said, re.MULTILINE)
    assert "its jails: sshd, my shop; recorded now: none" in said
    assert "the store: /var/lib/banledger/ledger.db" in said

    host.setup("--server", "web1", "--jail", "my shop", "--yes")
    assert "its jails: sshd, my shop; recorded now: my shop" in host.setup("--dry-run", "--jail", "my shop")


def test_a_fail2ban_elsewhere_is_found_again_by_later_setups_and_the_undo(host: Host, base: Path) -> None:
    config = host.place("/srv/f2b")
    shutil.copytree(host.config, config, symlinks=True)
    before = host.files()
    host.setup("--server", "web1", "--fail2ban-config", "/srv/f2b", "--yes")

    assert (config / "jail.d" / JAIL_FILE).is_file() and not (host.config / "jail.d" / JAIL_FILE).exists()
    assert "its configuration is /srv/f2b" in host.setup("--dry-run")

    host.setup("--undo", "--purge", "--yes")
    assert not (config / "jail.d" / JAIL_FILE).exists()
    assert host.files() == before


def test_a_fail2ban_in_a_container_is_left_alone_and_explained(host: Host) -> None:
    before = host.files()

    said = host.setup("--without-fail2ban", "--server", "web1", "--yes")

    assert 'banledger.py[server="web1"]' in said and "/var/spool/banledger" in said
    assert host.has("sshd") == ["nothing"]
    assert not host.action_file.exists()
    shutil.copy(host.installed("action", "path").strip(), host.action_file)
    spool = host.place("/var/spool/banledger")
    (host.config / "jail.d/by-hand.local").write_text(
        f'[sshd]\naction = nothing\n         banledger.py[server="web1", spool="{spool}"]\n'
    )
    host.client("reload", "--restart")
    host.client("set", "sshd", "banip", BANNED)
    host.installed("record", "--once")
    assert json.loads(host.installed("bans", "--ip", BANNED, "--json"))["server"] == "web1"

    (host.config / "jail.d/by-hand.local").unlink()
    host.action_file.unlink()
    shutil.rmtree(host.config / "action.d/__pycache__", ignore_errors=True)
    host.setup("--undo", "--purge", "--yes")
    assert host.files() == before


def test_a_fail2ban_that_dies_gets_its_configuration_back(base: Path) -> None:
    file = base / "root/etc/fail2ban/jail.d" / JAIL_FILE
    with Host(base / "root", LETHAL.format(file)) as host:
        said = host.setup("--server", "web1", "--yes", code=1)
        try:
            assert "does not run with banledger's action, and has its old configuration again" in said
            assert not file.exists() and not host.action_file.exists()
            assert host.client("ping").strip() == "Server replied: pong"
            assert host.has("sshd") == ["nothing"]
        finally:
            host.client("stop")


def test_a_fail2ban_without_its_log_is_explained_and_mended(base: Path) -> None:
    jail = {"filter": "sshd", "logpath": "/nowhere/auth.log", "action": "nothing", "backend": "auto"}
    host = Host(base / "root", sshd=jail)
    host.write_config()
    before = host.files()

    said = host.setup("--yes", code=1)

    assert "fail2ban can't start: Have not found any log file for sshd jail" in said
    assert "hint: run banledger setup --mend" in said
    assert host.files() == before


def test_a_fail2ban_that_cannot_read_the_journal_is_explained(base: Path) -> None:
    host = Host(base / "root", sshd={"filter": "sshd", "action": "nothing", "backend": "systemd"})
    host.write_config()
    done = subprocess.run(["/usr/bin/python3", "-c", "import systemd.journal"], capture_output=True, check=False)
    if done.returncode == 0:
        pytest.skip("this machine's Python can")

    said = host.setup("--yes", code=1)

    assert "error: sshd can't read systemd's journal" in said
    assert "hint: apt-get install python3-systemd" in said


def test_a_store_is_tried_before_anything_is_changed(host: Host, private_server: MakeServer, tmp_path: Path) -> None:
    before = host.files()
    assert "error" in host.setup("--yes", "--store", "redis://localhost:1/0", code=5)
    assert "not to /somewhere" in host.setup("--yes", "--store", "/somewhere/ledger.db", code=3)
    assert host.files() == before
    store = private_server(flavour_named("redis-7"), password="s3cret")
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)

    assert "s3cret" not in host.setup(
        "--yes", "--store", store.url.replace(":s3cret@", ""), "--password-file", str(secret)
    )

    settings, password = host.place("/etc/banledger/banledger.toml"), host.place("/etc/banledger/password")
    assert "s3cret" not in settings.read_text()
    assert password.read_text() == "s3cret\n"
    assert [oct(path.stat().st_mode & 0o777) for path in (settings, password)] == ["0o640", "0o640"]
    assert "nothing to do" in host.setup("--yes")
    host.setup("--undo", "--purge", "--yes")
    assert host.files() == before


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.long)])
def test_a_setup_that_is_killed_is_finished_by_the_next_and_undone_whole(host: Host, rounds: int) -> None:
    chance = random.Random(rounds)
    before = host.files()
    started = time.monotonic()
    host.setup("--server", "web1", "--yes")
    takes_s = time.monotonic() - started
    complete = [name for name in host.files(accounts=False) if not name.endswith(".jsonl")]
    for _ in range(rounds):
        host.killed(chance.uniform(0.3, takes_s), "--undo", "--purge", "--yes")
        host.setup("--undo", "--purge", "--yes")
        assert host.files() == before
        for _ in range(2):
            host.killed(chance.uniform(0.3, takes_s), "--server", "web1", "--yes")
        host.setup("--server", "web1", "--yes")
        assert [name for name in host.files(accounts=False) if not name.endswith(".jsonl")] == complete
        assert host.has("sshd") == ["nothing", "banledger"]
        host.killed(chance.uniform(0.3, takes_s), "--server", "web1", "--yes")
    record_a_ban(host)
    host.setup("--undo", "--purge", "--yes")
    assert host.files() == before
