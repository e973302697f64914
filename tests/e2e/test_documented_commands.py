"""Every command that a page or a help shows is run, or its test is named here.

Theory of operation. A command runs in bash, in a directory that stands for `/` (places in it are rewritten; a command
that would reach another one is not run), over a ledger like the demo's. What would change the machine is a stand-in
that does nothing: systemctl, apt-get and their like. Registries and a Redis are on the loopback, where they are needed.
"""

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import MakeServer
from tests.support.documented import PAGES, ROOT, Documented, all_commands, in_blocks, in_text, strangers
from tests.support.lines import ban
from tests.support.rdap_answers import network
from tests.support.rdap_server import RdapServer
from tests.support.servers import StoreServer, flavour_named
from tests.unit.report.conftest import write

ADDRESS = "115.209.121.31"
INSTALL = "tests/e2e/test_install.py"
RENAME = "tests/e2e/test_rename.py"
BACKUP = "tests/e2e/test_backup.py"
PACKAGES = "tests/e2e/test_packages.py"
SETUP = "tests/e2e/test_setup.py"
DOCTOR = "tests/e2e/test_doctor.py"
DEMO = "tests/e2e/test_demo.py"
KEYSPACE = "tests/unit/ledger/test_keys.py::test_the_page_of_the_keyspace_is_what_the_code_says"
RECORD = "tests/e2e/test_record_command.py"
ACL = "tests/e2e/test_acl.py"
STATUS = "tests/e2e/test_status.py"
PAGES_RUN = "tests/unit/test_pages_run.py"

SECTIONS = {
    "README.md Install": f"{INSTALL}::test_the_readme_has_the_very_same_commands",
    "install.md Three ways": f"{PACKAGES}::test_the_deb_installs_offline_upgrades_and_leaves_fail2ban_alive",
    "install.md Two commands": f"{SETUP}::test_make_install_runs_the_setup_of_the_checkout",
    "install.md Six commands": f"{INSTALL}::test_the_commands_install_the_wheel_beside_the_system",
    "install.md Upgrading": f"{INSTALL}::test_upgrading_brings_what_is_new_and_restarts_what_it_must",
    "install.md Uninstalling": f"{INSTALL}::test_uninstalling_leaves_nothing_but_data",
    "stores.md A user of its own": f"{ACL}::test_the_services_acl_has_exactly_the_commands_it_needs",
}
"""Sections whose blocks another test runs, line by line."""

ELSEWHERE = {
    # takes seconds, and a fail2ban
    "banledger demo": f"{DEMO}::test_without_a_directory_the_demo_prints_the_path_of_its_ledger",
    "banledger demo --keep ~/banledger-demo": f"{DEMO}::test_a_demo_shows_many_bans_and_leaves_only_its_ledger",
    "banledger demo --store /tmp/ledger.db": f"{DEMO}::test_a_demo_on_a_store_records_bans_once_when_repeated",
    "banledger demo --store redis://localhost:6379/1": f"{DEMO}::test_a_demo_records_into_a_server",
    # changes a whole machine
    "make install": f"{SETUP}::test_make_install_runs_the_setup_of_the_checkout",
    "make install ARGS=--undo": f"{SETUP}::test_make_install_runs_the_setup_of_the_checkout",
    'make deb ARGS="--arch arm64"': f"{PACKAGES}::test_a_deb_for_another_architecture",
    "apt remove banledger": f"{PACKAGES}::test_the_deb_installs_offline_upgrades_and_leaves_fail2ban_alive",
    "apt purge banledger": f"{PACKAGES}::test_the_deb_installs_offline_upgrades_and_leaves_fail2ban_alive",
    "apt install ./banledger_*.deb": f"{PACKAGES}::test_the_deb_installs_offline_upgrades_and_leaves_fail2ban_alive",
    "sudo ~/.local/bin/banledger setup": f"{PACKAGES}::test_the_wheel_of_a_user_with_pipx_is_set_up_with_sudo",
    "pipx uninstall banledger": f"{PACKAGES}::test_the_wheel_of_a_user_with_pipx_is_set_up_with_sudo",
    "uv tool install ./dist/banledger-*.whl": f"{PACKAGES}::test_the_wheel_of_a_user_with_uv_is_set_up_with_sudo",
    "sudo banledger setup --undo": f"{PACKAGES}::test_the_wheel_of_a_user_with_pipx_is_set_up_with_sudo",
    "banledger setup --mend": "tests/e2e/test_setup_on_debian.py::"
    "test_a_stock_debian_records_after_one_command_and_is_as_before_after_another",
    "banledger setup": f"{SETUP}::test_every_jail_is_recorded_beside_its_own_action_and_a_second_setup_changes_nothing",
    "banledger setup --dry-run": f"{SETUP}::test_a_dry_run_changes_nothing",
    "banledger setup --server web1 --yes": f"{SETUP}::"
    "test_every_jail_is_recorded_beside_its_own_action_and_a_second_setup_changes_nothing",
    "banledger setup --without-fail2ban": f"{SETUP}::test_a_fail2ban_in_a_container_is_left_alone_and_explained",
    "banledger setup --undo": f"{SETUP}::test_undo_makes_every_file_as_it_was_from_the_program_that_it_removes",
    # looks at a whole machine
    "banledger doctor": f"{DOCTOR}::test_all_is_well_after_a_setup_and_the_doctor_changes_nothing",
    "banledger doctor --json": f"{DOCTOR}::test_all_is_well_after_a_setup_and_the_doctor_changes_nothing",
    "banledger doctor --bundle report.tar.gz": f"{DOCTOR}"
    "::test_a_bundle_has_no_address_and_no_name_and_only_its_owner_reads_it",
    # needs a backup, or another machine
    "banledger store restore /var/backups/ledger.zst --replace": f"{BACKUP}::"
    "test_what_came_after_a_backup_is_recorded_again_or_is_a_gap",
    "banledger store backup - | ssh backup.example.org 'cat > ledger.zst'": f"{BACKUP}::test_a_pipe_carries_a_backup",
    "banledger store rename-server old-name web1 --dry-run": f"{RENAME}::"
    "test_a_log_imported_under_a_wrong_label_counts_once_afterwards",
    "banledger store rename-server old-name web1": f"{RENAME}::"
    "test_a_log_imported_under_a_wrong_label_counts_once_afterwards",
    # asks
    "banledger forget --ip 192.0.2.0/24": "tests/e2e/test_forget.py::test_the_command_shows_waits_and_proves",
    # runs until it is stopped
    "banledger record": f"{RECORD}::test_a_signal_stops_the_service_at_once_even_while_it_backs_off",
    # needs a recorder that runs
    "banledger status --check": f"{STATUS}::test_a_running_recorder_is_told_with_its_last_ban",
    "banledger status --check --warning 10m --critical 2h": f"{STATUS}::"
    "test_a_running_recorder_is_told_with_its_last_ban",
    "systemd-run --on-calendar=hourly --unit=banledger-check --uid=banledger banledger status --check": f"{STATUS}"
    "::test_a_running_recorder_is_told_with_its_last_ban",
    # works on the checkout, which tests leave alone
    "make demo": f"{DEMO}::test_a_demo_shows_many_bans_and_leaves_only_its_ledger",
    "make test": "tests/unit/test_docs.py::test_make_targets_in_the_readme_exist",
    "make test-debian13": "tests/unit/test_docs.py::test_make_targets_in_the_readme_exist",
    "make docs": KEYSPACE,
    "python tools/keyspace_doc.py > docs/keyspace.md": KEYSPACE,
    # over directories of their own, with owners
    "(cd /etc/fail2ban/jail.d && printf '[sshd]\\nbackend = systemd\\n' > sshd-journal.local)": f"{PAGES_RUN}"
    "::test_the_page_lets_sshd_of_a_stock_debian_12_read_the_journal",
    'install -m 640 -g banledger "$(dirname "$(banledger action path)")/../packaging/examples/banledger.toml"'
    " /etc/banledger/": f"{PAGES_RUN}::test_the_operations_page_installs_the_example",
}
"""Commands that can't run here, with the test that runs them (or what they run)."""

NO_COMMANDS = {
    "umask 022",  # a part of one, explained
    "pipx install --force",
    "chmod o=",
    "kill -9",  # what a process may suffer
    "timeout 0",  # a setting of Redis
    "ACL SAVE",  # for Redis's own console
}
PLACEHOLDERS = {"ADDR": ADDRESS, "COMMAND": "report", "FROM": "/var/lib/banledger/ledger.db", "TO": "/backup/copy.db"}

STAND_INS = {
    "banledger": f'exec {shlex.quote(sys.executable)} -m banledger "$@"',
    "install": 'for word do shift; case "$word" in -g|banledger) ;; *) set -- "$@" "$word" ;; esac; done\n'
    'exec /usr/bin/install "$@"',
    "runuser": '[ "$1" = -u ] && [ "$3" = -- ]; shift 3; exec "$@"',
} | dict.fromkeys(
    (
        *("adduser", "apt", "apt-get", "delgroup", "deluser", "fail2ban-client", "getent", "nano"),
        *("systemctl", "systemd-tmpfiles"),
    ),
    "exit 0",
)
"""The system's users, packages and services are not ours to change; who has no jq gets one that does what we need."""

JQ = f"""exec {shlex.quote(sys.executable)} -c '
import json, re, sys
for text in sys.stdin.read().splitlines() if sys.argv[2] == ".ip" else [sys.stdin.read()]:
    found = [json.loads(text)]
    for name, many in re.findall(r"[.](\\w+)(\\[\\])?", sys.argv[2]):
        found = [inner for one in found for inner in (one[name] if many else [one[name]])]
    print(*found, sep="\\n")
' "$@" """

JOURNALCTL = 'exec cat "$(dirname "$0")/../var/log/fail2ban.log"'
LOG = "2026-11-23 02:13:21,250 fail2ban.actions        [4]: NOTICE  [sshd] Ban 115.209.121.31\n"
"""What the import has to read."""

_PLACE = re.compile(r"(?<![\w.:/@$~{}-])/(?!dev/null\b)(?=\w)")
_SAFE = re.compile(r"(?<![\w.:/@$~{}-])/(?!dev/null\b)")


def make_database(path: Path) -> None:
    """An empty database of fail2ban."""
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE fail2banDb(version INTEGER); INSERT INTO fail2banDb VALUES(4);"
            "CREATE TABLE bans(jail TEXT, ip TEXT, timeofban INTEGER, bantime INTEGER, bancount INTEGER, data JSON);"
        )


class Sandbox:
    """A directory that stands for `/`, with a ledger where the service has it."""

    def __init__(self, root: Path, ledger: Path) -> None:
        self.root = root
        for name in ("tmp/spool", "backup", "somewhere/safe", "home", "shims", "etc/banledger", "etc/fail2ban/action.d",
                     "var/lib/banledger", "var/backups", "var/spool/banledger"):  # fmt: skip
            (root / name).mkdir(parents=True)
        for name in ("var/lib/banledger", "tmp"):
            shutil.copy(ledger, root / name / "ledger.db")
        for name in ("var/log/fail2ban.log", "old-logs/fail2ban.log"):
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text(LOG)
        make_database(root / "var/lib/fail2ban/fail2ban.sqlite3")
        self._shim()
        self.server = ""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BANLEDGER_", "XDG_"))}
        self.env = kept | {
            "HOME": str(root / "home"),
            "PATH": f"{root / 'shims'}:/usr/sbin:/usr/bin:/sbin:/bin",
            "BANLEDGER_STORE": str(root / "var/lib/banledger/ledger.db"),
            "BANLEDGER_SPOOL": str(root / "var/spool/banledger"),
            "BANLEDGER_CONFIG": str(root / "etc/banledger/banledger.toml"),
            "BANLEDGER_WHOIS_ENABLED": "false",
        }
        (root / "etc/banledger/banledger.toml").touch()

    def _shim(self) -> None:
        shims = STAND_INS | {"journalctl": JOURNALCTL}
        for name, body in (shims if shutil.which("jq") else shims | {"jq": JQ}).items():
            path = self.root / "shims" / name
            path.write_text(f"#!/bin/sh\n{body}\n")
            path.chmod(0o755)

    def inside(self, line: str) -> str:
        """The command with its placeholders filled, and its places below the root."""
        for word, value in PLACEHOLDERS.items():
            line = re.sub(rf"(?<=\s){word}(?=\s|$)", value, line)
        line = line.replace("redis://localhost/0", self.server)
        line = _PLACE.sub(f"{self.root}/", line)
        assert not _SAFE.search(line.replace(f"{self.root}/", "")), f"reaches out of the sandbox: {line}"
        return line

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a command."""
        words = ["bash", "-euo", "pipefail", "-c", self.inside(line)]
        return subprocess.run(words, env=self.env, cwd=self.root, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with bans of what the pages name, of the last days."""
    path, now = tmp_path_factory.mktemp("ledger") / "ledger.db", int(time.time())
    addresses = (ADDRESS, "218.92.0.1", "203.0.113.9", "192.0.2.1", "2001:db8::1")
    write(path, [ban(one, now - 3600 * n, users=("root",)) for n, one in enumerate(addresses * 3)])
    return path


@pytest.fixture
def sandbox(tmp_path: Path, ledger: Path) -> Sandbox:
    return Sandbox(tmp_path, ledger)


@pytest.fixture
def redis(sandbox: Sandbox, private_server: MakeServer) -> StoreServer:
    """A server that has a copy of the ledger, for a command that names one."""
    server = private_server(flavour_named("redis-7"))
    sandbox.server = server.url
    done = sandbox.run("banledger store copy /var/lib/banledger/ledger.db redis://localhost/0")
    assert done.returncode == 0, done.stderr
    return server


@pytest.fixture
def registries(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RdapServer]:
    """Registries that know what the pages ask about, for a command that may ask."""
    with RdapServer(tmp_path_factory.mktemp("registries")) as server:
        server.answer("apnic", network("115.208.0.0", "115.239.255.255", country="CN", name="EXAMPLE", handle="X"))
        server.answer(
            "ripe", network("2001:67c:2e8::", "2001:67c:2e8:ffff:ffff:ffff:ffff:ffff", name="OTHER", handle="Y")
        )
        sandbox.env |= server.environment | {"BANLEDGER_WHOIS_ENABLED": "true", "BANLEDGER_WHOIS_ASN": "false"}
        yield server


def covered_elsewhere(one: Documented) -> bool:
    """Whether another test runs it, or nobody does as it is none."""
    return one.line in ELSEWHERE or one.line in NO_COMMANDS or (one.block and one.where in SECTIONS)


HERE = list({one.line: one for one in all_commands() if not covered_elsewhere(one)}.values())


@pytest.mark.parametrize("one", HERE, ids=str)
def test_documented_commands_work(one: Documented, sandbox: Sandbox, request: pytest.FixtureRequest) -> None:
    if "redis://" in one.line:
        request.getfixturevalue("redis")
    if "banledger whois" in one.line:
        request.getfixturevalue("registries")
    if "sqlite3 " in one.line and not shutil.which("sqlite3"):
        pytest.skip("no sqlite3")

    done = sandbox.run(one.line)

    if re.fullmatch(r"banledger( [a-z]+){1,2}", one.line) and done.stderr.startswith("error: missing "):
        return  # the text speaks of a command, without its arguments
    assert done.returncode == 0, done.stderr
    assert not re.search(r"(?m)^(error: |Traceback)", done.stderr)


def test_commands_covered_elsewhere_are_documented_and_their_test_exists() -> None:
    shown = all_commands()

    assert set(ELSEWHERE) | NO_COMMANDS <= {one.line for one in shown}
    assert set(SECTIONS) <= {one.where for one in shown if one.block}
    for test in {*SECTIONS.values(), *ELSEWHERE.values()}:
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(), test


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_else_looks_like_a_command(page: Path) -> None:
    unknown = set(strangers(page.read_text())) - NO_COMMANDS
    assert not unknown, "add its program to PROGRAMS, or the text to NO_COMMANDS"


# What is found, and kept in


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```bash\necho new | cat\n# a remark\n```", ["echo new | cat"]),
        ("```console\n# banledger report\n12 bans\n$ id -u\n```", ["banledger report", "id -u"]),
        ("Like this:\n\n    make all\n    $ anything at all\n    and words\n", ["make all", "anything at all"]),
        ("`banledger top ip`, `store check`, `store = 5`, `systemctl stop x`", [
            "banledger top ip", "banledger store check", "systemctl stop x",
        ]),
        ("`du -s`, `recording from`, `report`", ["du -s"]),
    ],
)  # fmt: skip
def test_every_way_to_show_a_command_is_found(text: str, found: list[str]) -> None:
    assert [*in_blocks(text), *in_text(text)] == found


def test_an_example_of_every_help_is_found() -> None:
    lines = {one.line for one in all_commands() if one.where.endswith("--help")}

    assert {"banledger report", "banledger top day -n 5 --since 2026", "banledger top country --since 7d"} <= lines
    assert not any("  " in line for line in lines)


@pytest.mark.parametrize("line", ["rm -r /", "ls /; true", "cp x /", "cp x /.ssh", "cat '/'"])
def test_a_command_that_would_leave_the_sandbox_is_not_run(sandbox: Sandbox, line: str) -> None:
    with pytest.raises(AssertionError, match="reaches out"):
        sandbox.inside(line)


@pytest.mark.parametrize("line", ["rm -r {}/var/x {}/etc", 'cat "{}/etc/x"', "x={}/root", "cat {}/a >{}/b 2>/dev/null"])
def test_places_are_below_the_sandboxs_root(sandbox: Sandbox, line: str) -> None:
    assert sandbox.inside(line.format("", "")) == line.format(sandbox.root, sandbox.root)
