"""The files that are copied to a server, and the pages that say how."""

import ast
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from runpy import run_path

import click
import pytest

import banledger
from banledger import settings
from banledger.cli.main import commands
from banledger.demo.installation import Installation, locate

ROOT = Path(__file__).parents[2]
PACKAGE = Path(banledger.__file__).parent
TREE = PACKAGE / "packaging" / "root"
EXAMPLES = PACKAGE / "packaging" / "examples"
UNIT = TREE / "etc/systemd/system/banledger.service"
DROP_IN = TREE / "etc/fail2ban/jail.d/zz-banledger.local"


def needs(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} here")


def run(*words: str | Path) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def unit_options() -> dict[str, list[str]]:
    options: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            options.setdefault(name, []).append(value)
    return options


# The service


def test_systemd_verifies_the_unit(tmp_path: Path) -> None:
    needs("systemd-analyze")
    installable = tmp_path / UNIT.name
    installable.write_text(re.sub(r"(?m)^(Exec\w+)=\S+", r"\1=/bin/true", UNIT.read_text()))

    assert UNIT.name not in run("systemd-analyze", "verify", "--man=no", installable)


def test_the_service_is_hardly_exposed() -> None:
    needs("systemd-analyze")

    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", UNIT], capture_output=True, text=True
    )
    if "unrecognized option" in said.stderr:
        pytest.skip("this systemd-analyze can't look at a file")

    assert said.returncode == 0, said.stdout[-300:] + said.stderr


def test_the_service_never_makes_fail2ban_wait_or_stop() -> None:
    ordering = unit_options()
    for name in ("Before", "Requires", "BindsTo", "PartOf", "RequiredBy", "Conflicts"):
        assert name not in ordering


def test_the_service_may_write_to_nothing_but_the_spool_and_the_ledger() -> None:
    options = unit_options()
    defaults = {setting.name: setting.default for setting in settings.TABLE}

    assert options["ProtectSystem"] == ["strict"]
    assert options["ReadWritePaths"] == [defaults["spool"]]
    assert "/var/lib/" + options["StateDirectory"][0] == str(Path(str(defaults["store"])).parent)


# Its user and the spool


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The root of a machine with the tree copied over it."""
    shutil.copytree(TREE, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_sysusers_creates_a_user_that_cannot_log_in(machine: Path) -> None:
    needs("systemd-sysusers")

    run("systemd-sysusers", f"--root={machine}", "banledger.conf")

    (line,) = (line for line in (machine / "etc/passwd").read_text().splitlines() if line.startswith("banledger:"))
    assert line.endswith(":/var/lib/banledger:/usr/sbin/nologin")
    assert "banledger:" in (machine / "etc/group").read_text()


def test_the_service_alone_is_in_the_group_that_may_write_to_the_spool(machine: Path) -> None:
    needs("systemd-sysusers")

    run("systemd-sysusers", f"--root={machine}", "banledger.conf")

    groups = dict(line.split(":", 1) for line in (machine / "etc/group").read_text().splitlines())
    (spool,) = (
        line.split() for line in (TREE / "etc/tmpfiles.d/banledger.conf").read_text().splitlines() if line[0] != "#"
    )
    assert spool[4] == "banledger-spool"
    assert groups["banledger-spool"].split(":")[2] == "banledger"
    assert groups["banledger-spool"].split(":")[1] != groups["banledger"].split(":")[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_tmpfiles_makes_a_spool_that_root_fills_and_the_group_empties(machine: Path) -> None:
    needs("systemd-tmpfiles")
    (machine / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nbanledger:x:987:986::/:/bin/false\n")
    (machine / "etc/group").write_text("root:x:0:\nbanledger:x:986:\nbanledger-spool:x:985:banledger\n")

    run("systemd-tmpfiles", f"--root={machine}", "--create", "banledger.conf")

    status = (machine / "var/spool/banledger").stat()
    assert (oct(status.st_mode), status.st_uid, status.st_gid) == ("0o42770", 0, 985)


# The jails


@pytest.fixture(scope="module")
def installation() -> Installation:
    return locate()


@pytest.fixture
def config(tmp_path: Path, installation: Installation) -> Path:
    """Stock configuration, with the action in it and a log that exists."""
    folder = tmp_path / "fail2ban"
    shutil.copytree(installation.config, folder)
    shutil.copy(PACKAGE / "action/banledger.py", folder / "action.d")
    log = tmp_path / "auth.log"
    log.touch()
    (folder / "jail.d/a-log.local").write_text(f"[sshd]\nenabled = true\nbackend = polling\nlogpath = {log}\n")
    return folder


def actions(installation: Installation, config: Path, jail: str = "sshd") -> dict[str, str]:
    """The jail's actions by name, with their options, as fail2ban reads the configuration."""
    done = subprocess.run(
        [*installation.client, "-c", str(config), "-d"],
        env=installation.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "ERROR" not in done.stderr
    commands = [ast.literal_eval(line) for line in done.stdout.splitlines() if line.startswith("[")]
    found = {words[3]: str(words[4:]) for words in commands if words[:3] == ["set", jail, "addaction"]}
    assert found, f"no jail {jail}"
    return found


def give_label(source: Path, target: Path) -> None:
    target.write_text(source.read_text().replace("@SERVER@", "web1.example.org"))


def test_without_banledger_a_jail_has_only_the_firewall_action(installation: Installation, config: Path) -> None:
    assert len(actions(installation, config)) == 1


def test_the_default_form_adds_banledger_to_the_firewall_action(installation: Installation, config: Path) -> None:
    (stock,) = actions(installation, config)

    give_label(DROP_IN, config / "jail.d" / DROP_IN.name)

    now = actions(installation, config)
    assert list(now) == [stock, "banledger"]
    assert "'server', 'web1.example.org'" in now["banledger"] or '"server": "web1.example.org"' in now["banledger"]


def test_the_default_form_wins_over_jail_local(installation: Installation, config: Path) -> None:
    (config / "jail.local").write_text("[DEFAULT]\naction = %(action_mw)s\n")

    give_label(DROP_IN, config / "jail.d" / DROP_IN.name)

    now = actions(installation, config)
    assert "banledger" in now
    assert not any("mail" in name for name in now)


@pytest.mark.parametrize("own", ["%(action_mw)s", "iptables-allports[name=SSH]"])
def test_the_jail_form_keeps_the_actions_a_jail_has(installation: Installation, config: Path, own: str) -> None:
    with (config / "jail.d/a-log.local").open("a") as jail:
        jail.write(f"action = {own}\n")
    before = list(actions(installation, config))

    give_label(EXAMPLES / "jail.d-sshd.local", config / "jail.d/zz-sshd.local")

    assert list(actions(installation, config)) == [*before, "banledger"]


def test_both_forms_have_the_placeholder_once_outside_comments() -> None:
    for path in (DROP_IN, EXAMPLES / "jail.d-sshd.local"):
        told = [line for line in path.read_text().splitlines() if "@SERVER@" in line and not line.startswith("#")]
        assert told == ['         banledger.py[server="@SERVER@"]']


def test_no_other_file_of_the_tree_has_a_placeholder() -> None:
    unfinished = [path for path in TREE.rglob("*") if path.is_file() and "@SERVER@" in path.read_text()]

    assert unfinished == [DROP_IN]


# The settings' example


def test_the_example_names_every_setting_with_its_default() -> None:
    text = (EXAMPLES / "banledger.toml").read_text()

    assert tomllib.loads(text) == {}
    named = dict(settings._flat(tomllib.loads(re.sub(r"(?m)^#(?=[\w.]+ = )", "", text))))
    assert named == {setting.name: setting.default for setting in settings.TABLE}


def test_the_example_is_what_the_settings_make() -> None:
    assert (EXAMPLES / "banledger.toml").read_text() == run_path(str(ROOT / "tools/settings_example.py"))["document"]()


def test_flags_have_the_help_of_their_settings() -> None:
    docs = {setting.name: setting.doc.partition(". ")[0].rstrip(".") for setting in settings.TABLE}

    helped = {
        (name, option.name): (option.help or "").rstrip(".")
        for name in commands.list_commands(click.Context(commands))
        for option in getattr(commands.get_command(click.Context(commands), name), "params", ())
        if isinstance(option, click.Option) and option.name in docs and name not in ("demo", "store")
    }

    assert ("report", "store") in helped and ("record", "spool") in helped and ("report", "prefix") in helped
    assert {where: said for where, said in helped.items() if said != docs[where[1] or ""]} == {}


# The demo's data


def test_the_demo_log_is_the_published_one() -> None:
    """Its NOTICE says so."""
    log = gzip.decompress((PACKAGE / "demo/auth.log.gz").read_bytes())

    digest = "978a7cd44a8dfac823922093bc0409fe0404073dd9e27a7d22e796c0d5f38a2c"
    assert hashlib.sha256(log).hexdigest() == digest


# The pages


def test_operations_quotes_messages_of_the_source() -> None:
    page = (ROOT / "docs/operations.md").read_text().partition("## When something stops")[0]
    sources = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))

    quoted = re.findall(r"(?m)^\| `([^`]+)` \|", page)

    assert len(quoted) >= 9
    assert [words for words in quoted if words not in sources] == []


def test_operations_and_install_name_files_of_the_tree_by_their_right_place() -> None:
    for page in (ROOT / "docs/install.md", ROOT / "docs/operations.md"):
        text = page.read_text()
        for place in re.findall(r"/etc/(?:systemd|sysusers\.d|tmpfiles\.d|fail2ban/jail\.d)/[\w/.-]*\w\.\w+", text):
            assert (TREE / place.lstrip("/")).is_file(), f"{page.name}: {place}"
        for example in re.findall(r"packaging/examples/[\w.-]+\w", text):
            assert (PACKAGE / example).is_file(), f"{page.name}: {example}"


@pytest.mark.parametrize("name", ["banledger-backup.service", "banledger-backup.timer"])
def test_systemd_verifies_the_units_of_the_daily_backup(name: str) -> None:
    needs("systemd-analyze")
    assert name not in run("systemd-analyze", "verify", "--man=no", PACKAGE / "packaging/examples" / name)
