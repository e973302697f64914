"""What a user installs: the wheel, and the commands of docs/install.md."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from banledger import __version__
from banledger.demo.installation import locate
from tests.support.documented import in_section

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "install.md"
LEFT_BEHIND = shutil.ignore_patterns("__pycache__", "*.egg-info")


def run(*words: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """What a command prints; it has to succeed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300, env=env, cwd=cwd)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, as building leaves things in the source tree."""
    checkout, dist = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, checkout / name, ignore=LEFT_BEHIND)
    options = ("--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", "-q", *options, "-w", dist, checkout)
    (made,) = dist.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """The files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


# A virtual environment like the one of the page, but nothing is fetched: pip is this one, and the dependencies
# are those that are here. A path in a .pth file is searched, the .pth files in it (our editable install) are not.
MAKE_VENV = """
{python} -m venv --without-pip "$1"
echo {libraries} > "$1"/lib/python{version}/site-packages/dependencies.pth
cat > "$1"/bin/pip <<END
#!/bin/sh
case "\\$*" in "install ."|"install -U .") ;; *) exit 9 ;; esac
exec {python} -m pip -q --disable-pip-version-check --python "$1"/bin/python install --no-deps {wheel}
END
chmod +x "$1"/bin/pip
"""


def make_venv_script(wheel: Path) -> str:
    words = {"python": sys.executable, "libraries": sysconfig.get_path("purelib"), "wheel": str(wheel)}
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return MAKE_VENV.format(version=version, **{name: shlex.quote(word) for name, word in words.items()})


@dataclass
class Machine:
    """What the six commands leave: a root directory, and the calls they made of the system's tools."""

    root: Path
    calls: list[str]
    env: dict[str, str]

    @property
    def banledger(self) -> Path:
        return self.root / "usr/local/bin/banledger"

    def run(self, *lines: str) -> list[str]:
        """Run commands of the page; the calls they make."""
        record = self.root.parent / "calls"
        record.write_text("")
        script = "set -euo pipefail\n" + "\n".join(_inside(self.root, line) for line in lines)
        run("bash", "-c", script, env=self.env, cwd=self.root.parent)
        return record.read_text().splitlines()


def commands(section: str = "Six commands") -> list[str]:
    """The commands of a section of the page, one a line."""
    return in_section(f"{PAGE.name} {section}")


SHIM = """#!/bin/sh
set -eu
case "${{0##*/}}:$*" in
python3:"-m venv "*) set -- "$3"; {make_venv} ;;
hostname:-f) echo web1.example.org ;;
*) echo "${{0##*/}} $*" >> {calls} ;;
esac
"""
SHIMMED = ("apt-get", "hostname", "python3", "systemctl", "systemd-sysusers", "systemd-tmpfiles")


@pytest.fixture(scope="module")
def machine(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A stock fail2ban in a directory that stands for `/`, after the commands of the page were run."""
    return make_machine(wheel, tmp_path_factory.mktemp("machine"))


def make_machine(wheel: Path, base: Path) -> Machine:
    """See `machine`; one that a test may change."""
    root, shims, calls = base / "root", base / "shims", base / "calls"
    for folder in (root / "usr/local/bin", root / "opt", shims):
        folder.mkdir(parents=True)
    shutil.copytree(locate().config, root / "etc/fail2ban")
    text = SHIM.format(make_venv=make_venv_script(wheel), calls=shlex.quote(str(calls)))
    for name in SHIMMED:
        (shims / name).write_text(text)
        (shims / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env = kept | {"PATH": f"{shims}:{root / 'usr/local/bin'}:/usr/bin:/bin"}
    made = Machine(root, [], env)
    made.calls += made.run(*commands())
    return made


def _inside(root: Path, line: str) -> str:
    """The command with the absolute places it writes to (and a lone `/`) put below a root."""
    return re.sub(r"(?<=\s)/(?=opt/|etc/|usr/local/|\s)", f"{root}/", line)


# The wheel


def test_the_wheel_holds_the_action_the_demo_and_every_file_of_packaging(names: set[str]) -> None:
    packaging = ROOT / "src/banledger/packaging"
    files = {f"banledger/packaging/{path.relative_to(packaging)}" for path in packaging.rglob("*") if path.is_file()}

    assert len(files) >= 6
    assert files <= names
    assert {"banledger/action/banledger.py", "banledger/py.typed"} <= names
    assert {"banledger/demo/auth.log.gz", "banledger/demo/NOTICE", "banledger/demo/LICENSE.Apache-2.0"} <= names


def test_the_wheel_holds_every_module(names: set[str]) -> None:
    source = ROOT / "src"

    assert {str(path.relative_to(source)) for path in (source / "banledger").rglob("*.py")} <= names


def test_the_wheel_holds_nothing_else(names: set[str]) -> None:
    assert {name.partition("/")[0] for name in names} == {"banledger", f"banledger-{__version__}.dist-info"}
    assert not any("test" in Path(name).name or "__pycache__" in name for name in names)


def test_the_wheel_contains_its_licences(names: set[str]) -> None:
    licences = {Path(name).name for name in names if ".dist-info/licenses/" in name}

    assert licences == {"LICENSE", "NOTICE", "LICENSE.Apache-2.0"}


# The page


def test_there_are_at_most_six_commands() -> None:
    assert 1 <= len(commands()) <= 6
    assert not any(line.endswith("\\") or line.startswith((" ", "#")) for line in commands())


def test_the_readme_has_the_very_same_commands() -> None:
    assert len(commands("Two commands")) == 2
    assert in_section("README.md Install") == commands("Three ways")


def test_the_commands_install_the_wheel_beside_the_system(machine: Machine) -> None:
    version = run(machine.banledger, "--version", env=machine.env)
    action = Path(run(machine.banledger, "action", "path", env=machine.env).strip())

    assert __version__ in version
    assert action.is_relative_to(machine.root / "opt/banledger/venv")
    assert (action.parent.parent / "packaging/root/etc").is_dir()


def test_the_commands_put_every_file_in_its_place(machine: Machine) -> None:
    placed = {str(path.relative_to(machine.root)) for path in (machine.root / "etc").rglob("*banledger*")}

    assert placed == {
        "etc/fail2ban/action.d/banledger.py",
        "etc/fail2ban/jail.d/zz-banledger.local",
        "etc/systemd/system/banledger.service",
        "etc/sysusers.d/banledger.conf",
        "etc/tmpfiles.d/banledger.conf",
    }


def test_the_page_lists_the_files_that_it_places(machine: Machine) -> None:
    listed = re.findall(r"(?m)^ +\| `(/etc/\S+)` \|", PAGE.read_text())

    assert len(listed) == 5
    assert all((machine.root / path.lstrip("/")).is_file() for path in listed)


def test_installed_files_are_world_readable(machine: Machine) -> None:
    for path in (machine.root / "etc").rglob("*banledger*"):
        assert oct(path.stat().st_mode & 0o777) == "0o644"


def test_installing_writes_the_label_in_one_place(machine: Machine) -> None:
    drop_in = (machine.root / "etc/fail2ban/jail.d/zz-banledger.local").read_text()

    assert 'banledger.py[server="web1.example.org"]' in drop_in
    assert "@SERVER@" not in drop_in


def test_the_user_and_the_spool_come_before_the_service_and_the_service_before_fail2ban(machine: Machine) -> None:
    assert machine.calls == [
        "apt-get install -y python3-venv",
        "systemd-sysusers banledger.conf",
        "systemd-tmpfiles --create banledger.conf",
        "systemctl daemon-reload",
        "systemctl enable --now banledger",
        "systemctl restart fail2ban",
    ]


def test_the_service_runs_what_was_installed(machine: Machine) -> None:
    unit = (machine.root / "etc/systemd/system/banledger.service").read_text()
    (command,) = re.findall(r"(?m)^ExecStart=/(.*)$", unit)

    assert run(machine.root / command.split()[0], *command.split()[1:], "--help", env=machine.env)


@pytest.mark.e2e
def test_fail2ban_takes_the_action_into_its_jails(machine: Machine) -> None:
    installation = locate()
    log = machine.root / "auth.log"
    log.touch()
    (machine.root / "etc/fail2ban/jail.local").write_text(f"[sshd]\nbackend = polling\nlogpath = {log}\n")

    said = run(
        *installation.client,
        *("-c", machine.root / "etc/fail2ban", "-d"),
        env=installation.environment(),
    )

    ours = [line for line in said.splitlines() if "'addaction', 'banledger'" in line]
    assert ours
    assert all(str(machine.root / "etc/fail2ban/action.d/banledger.py") in line for line in ours)


# The other commands of the page


MADE_LATER = {"/etc/banledger", "/etc/fail2ban/action.d/__pycache__/banledger"}
"""Made by the user, or by fail2ban's Python when it loads the action."""


def test_upgrading_and_uninstalling_name_only_what_was_installed(machine: Machine) -> None:
    later = PAGE.read_text().partition("## Upgrading")[2]
    for place in set(re.findall(r"/(?:etc|opt|usr/local)/[\w./-]+\w", later)) - MADE_LATER:
        assert (machine.root / place.lstrip("/")).exists(), place


def test_upgrading_restarts_the_service_before_it_replaces_the_action() -> None:
    later = PAGE.read_text().partition("## Upgrading")[2]
    assert later.index("systemctl restart banledger") < later.index("systemctl restart fail2ban")


def test_uninstalling_removes_every_file_that_was_placed(machine: Machine) -> None:
    removed = PAGE.read_text().partition("## Uninstalling")[2]
    for path in (machine.root / "etc").rglob("*banledger*"):
        assert f"/{path.relative_to(machine.root)}" in removed


def test_upgrading_brings_what_is_new_and_restarts_what_it_must(wheel: Path, tmp_path: Path) -> None:
    machine = make_machine(wheel, tmp_path)
    placed = [
        machine.root / "etc/systemd/system/banledger.service",
        machine.root / "etc/sysusers.d/banledger.conf",
        machine.root / "etc/tmpfiles.d/banledger.conf",
        machine.root / "etc/fail2ban/action.d/banledger.py",
    ]
    new = [path.read_bytes() for path in placed]
    for path in placed:
        path.write_text("of an older version")
    prepare = ["systemd-sysusers banledger.conf", "systemd-tmpfiles --create banledger.conf"]
    restart = [*prepare, "systemctl daemon-reload", "systemctl restart banledger"]

    assert machine.run(*commands("Upgrading")) == [*restart, "systemctl restart fail2ban"]
    assert [path.read_bytes() for path in placed] == new
    assert machine.run(*commands("Upgrading")) == restart


def test_uninstalling_leaves_nothing_but_data(wheel: Path, tmp_path: Path) -> None:
    machine = make_machine(wheel, tmp_path)
    data = machine.root / "var/lib/banledger"
    data.mkdir(parents=True)
    compiled = machine.root / "etc/fail2ban/action.d/__pycache__/banledger.cpython-311.pyc"
    compiled.parent.mkdir()
    compiled.touch()

    calls = machine.run(*commands("Uninstalling"))

    assert calls == ["systemctl restart fail2ban", "systemctl disable --now banledger", "systemctl daemon-reload"]
    assert list(machine.root.rglob("*banledger*")) == [data]
