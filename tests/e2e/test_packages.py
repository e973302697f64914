"""The wheel and the .deb, installed in clean Debians: setup, bans by a real fail2ban, upgrade, undo, removal."""

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banledger import __version__
from tests.e2e.test_setup_on_debian import Booted
from tests.support.debian import ROOT, SUITE, CleanDebian, alone, clean_debian, needs_debian, run

pytestmark = needs_debian

OLDER = "0.0.9"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
BUILD = {**os.environ, "SOURCE_DATE_EPOCH": "1790000000"}
ANSWERS = "for _ in $(seq 100); do fail2ban-client ping && exit; sleep 0.2; done; exit 1"
"""fail2ban's unit is active before its server answers."""

LEFT_BEHIND = shutil.ignore_patterns("__pycache__", "*.egg-info")

TOOLS = """\
# All of /etc, without the copies that the system's own tools make of accounts; accounts themselves only if asked.
etc() {
    cd /etc
    set -- . ! -name '*-' ! -name .pwd.lock ${1:+! -name passwd ! -name group ! -name shadow ! -name gshadow}
    find "$@" -printf '%p %y %m %U %G %l\\n' | sort
    find "$@" -type f -exec sha256sum {} + | sort
    cd - >/dev/null
}
same() { diff "/tmp/$1" "/tmp/$2"; }
says() { # WORDS COMMAND...: it says these words
    words=$1; shift
    "$@" >/tmp/said 2>&1 || { cat /tmp/said; return 1; }
    grep -qF -- "$words" /tmp/said || { printf '%s does not say %s:\\n' "$*" "$words"; cat /tmp/said; return 1; }
}
# What is asserted must fail: `! command` alone does not stop the script.
fails() { if "$@" >/tmp/said 2>&1; then cat /tmp/said; return 1; fi; }
start_fail2ban() {
    printf '[DEFAULT]\\nbackend = polling\\nbanaction = dummy\\n' > /etc/fail2ban/jail.d/my.local
    touch /var/log/auth.log
    says 'Server ready' fail2ban-client start
}
recorded() { # ADDRESS: banned by fail2ban, it is in the ledger
    fail2ban-client set sshd banip "$1"
    runuser -u banledger -- banledger record --once
    says web1 runuser -u banledger -- banledger show "$1"
}
# fail2ban runs without banledger, and would start again.
freed() {
    says pong fail2ban-client ping
    says 'dummy' fail2ban-client get sshd actions
    fails grep banledger /tmp/said
    fail2ban-client -t
    fails grep -r banledger /etc/fail2ban
}
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A directory of all processes of the test run."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="module")
def debian(shared: Path) -> CleanDebian:
    return clean_debian(shared)


def deb(shared: Path, version: str = __version__) -> Path:
    """The package for the Python of this Debian, of a checkout that has this version."""
    with alone(shared / "deb"):
        made = list((shared / "deb").glob(f"banledger_{version}_*.deb"))
        if not made:
            checkout = shared / f"checkout-{version}"
            shutil.rmtree(checkout, ignore_errors=True)  # of a test that failed
            for name in ("pyproject.toml", "README.md", "LICENSE"):
                checkout.mkdir(exist_ok=True)
                shutil.copy(ROOT / name, checkout)
            for name in ("src", "tools"):
                shutil.copytree(ROOT / name, checkout / name, ignore=LEFT_BEHIND)
            file = checkout / "src/banledger/__init__.py"
            file.write_text(file.read_text().replace(__version__, version))
            if version != __version__:
                action = checkout / "src/banledger/action/banledger.py"
                action.write_text(f"{action.read_text()}# of {version}\n")
            (ROOT / ".cache").mkdir(exist_ok=True)
            (checkout / ".cache").symlink_to(ROOT / ".cache")
            words = [sys.executable, "tools/make_deb.py", "--python", PYTHON, "--out", str(shared / "deb")]
            run(*words, cwd=checkout, env=BUILD)
            made = list((shared / "deb").glob(f"banledger_{version}_*.deb"))
    (path,) = made
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made of the source archive: so both are complete."""
    checkout, dist = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    shutil.copytree(ROOT / "src", checkout / "src", ignore=LEFT_BEHIND)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, checkout)
    (made,) = dist.glob("*.whl")
    return made


def test_the_deb_installs_offline_upgrades_and_leaves_fail2ban_alive(debian: CleanDebian, shared: Path) -> None:
    old, new = deb(shared, OLDER), deb(shared)

    # No network: a namespace of its own, without even the loopback.
    said = debian.bash(
        f"""unshare --net bash -euo pipefail <<'END'
{TOOLS}
start_fail2ban
etc without-accounts > /tmp/clean
apt-get install -y ./{old.name}
says {OLDER} banledger --version
etc without-accounts > /tmp/now; same clean now
etc > /tmp/installed
ls /usr/share/man/man1/banledger-setup.1.gz /usr/share/bash-completion/completions/banledger

banledger setup --server web1 --dry-run
etc > /tmp/now; same installed now
banledger setup --server web1 --yes
recorded 192.0.2.1
[ ! -e /etc/systemd/system/banledger.service ] && [ ! -e /usr/local/bin/banledger ]
etc > /tmp/set-up
says 'nothing to do' banledger setup --yes
etc > /tmp/now; same set-up now

says 'fail2ban still has the action of the version before' apt-get install -y ./{new.name}
says {__version__} banledger --version
etc > /tmp/now; same set-up now
recorded 192.0.2.2
banledger setup --yes
cmp "$(banledger action path)" /etc/fail2ban/action.d/banledger.py
recorded 192.0.2.3

banledger setup --undo --yes
freed
etc > /tmp/now; same installed now
[ -z "$(dpkg --verify banledger)" ]
says {__version__} banledger --version

banledger setup --server web1 --yes
recorded 192.0.2.4
apt-get remove -y banledger
freed
[ ! -e /opt/banledger ] && [ -f /var/lib/banledger/ledger.db ]
apt-get purge -y banledger
freed
etc without-accounts > /tmp/now; same clean now
[ -z "$(find /usr /opt -name '*banledger*')" ]
echo all done
END
""",
        old,
        new,
    )

    assert said.endswith("all done\n")


def test_the_wheel_of_a_user_with_pipx_is_set_up_with_sudo(debian: CleanDebian, wheel: Path) -> None:
    said = debian.bash(
        f"""
useradd -m -s /bin/bash joe
echo 'joe ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/joe
chmod 755 /root
runuser -l joe -c "pipx install /root/{wheel.name}"
chmod 700 /root
unshare --net bash -euo pipefail <<'END'
{TOOLS}
as_joe() {{ runuser -l joe -c "PATH=\\$HOME/.local/bin:\\$PATH; $1"; }}
start_fail2ban
etc > /tmp/clean
fails as_joe 'banledger setup --server web1 --yes'
hint=$(sed -n 's/^hint: //p' /tmp/said)
[ "$hint" = 'sudo /home/joe/.local/bin/banledger setup --server web1 --yes' ]
as_joe "$hint"
recorded 192.0.2.1
[ -f /usr/local/share/man/man1/banledger-setup.1 ]
etc > /tmp/set-up
says 'nothing to do' as_joe 'sudo ~/.local/bin/banledger setup --yes'
etc > /tmp/now; same set-up now
mv /home/joe /home/gone
recorded 192.0.2.2
mv /home/gone /home/joe

# What somebody else may write is not copied.
file=$(echo /home/joe/.local/*/pipx/venvs/banledger/lib/*/site-packages/click/core.py \\
    /home/joe/.local/pipx/venvs/banledger/lib/*/site-packages/click/core.py | tr ' ' '\\n' | grep -v '[*]')
echo '# new' >> "$file"
chmod o+w "$file"
fails as_joe 'sudo ~/.local/bin/banledger setup --yes'
grep "others than root and the user behind sudo may change $file" /tmp/said
chmod o-w "$file"
as_joe 'sudo ~/.local/bin/banledger setup --yes'

as_joe 'sudo banledger setup --undo --purge --yes'
freed
etc > /tmp/now; same clean now
[ -z "$(find /usr /opt /var -name '*banledger*')" ]
as_joe 'pipx uninstall banledger'
echo all done
END
""",
        wheel,
    )

    assert said.endswith("all done\n")


@pytest.mark.long
def test_the_wheel_of_a_user_with_uv_is_set_up_with_sudo(debian: CleanDebian, wheel: Path) -> None:
    said = debian.bash(
        f"""{TOOLS}
useradd -m -s /bin/bash joe
echo 'joe ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/joe
mv {wheel.name} /tmp
runuser -l joe -c "pipx install uv"
runuser -l joe -c "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt ~/.local/bin/uv tool install /tmp/{wheel.name}"
start_fail2ban
runuser -l joe -c 'sudo ~/.local/bin/banledger setup --server web1 --yes'
mv /home/joe /home/gone
recorded 192.0.2.1
echo all done
""",
        wheel,
    )

    assert said.endswith("all done\n")


@pytest.mark.long
def test_a_deb_for_another_architecture(tmp_path: Path) -> None:
    said = run(sys.executable, "tools/make_deb.py", "--arch", "arm64", "--python", PYTHON, "--out", tmp_path)

    listed = run("dpkg-deb", "--contents", Path(said.strip()))
    assert "_aarch64.whl" in listed and "x86_64" not in listed


@pytest.mark.long
def test_a_setup_of_pipx_is_taken_over_by_the_deb(debian: CleanDebian, wheel: Path, shared: Path) -> None:
    package = deb(shared)

    said = debian.bash(
        f"""
pipx install ./{wheel.name}
unshare --net bash -euo pipefail <<'END'
{TOOLS}
start_fail2ban
etc > /tmp/clean
~/.local/bin/banledger setup --server web1 --yes
recorded 192.0.2.1
apt-get install -y ./{package.name}
fails ~/.local/bin/banledger setup --yes
grep 'package is installed here' /tmp/said
/usr/bin/banledger setup --yes
recorded 192.0.2.2
[ ! -e /etc/systemd/system/banledger.service ] && [ ! -e /usr/local/bin/banledger ]
[ -z "$(find /usr/local/share -name '*banledger*')" ]
says 'nothing to do' /usr/bin/banledger setup --yes
/usr/bin/banledger setup --undo --yes
freed
says {__version__} /usr/bin/banledger --version
apt-get purge -y banledger
etc without-accounts > /tmp/now
[ ! -e /opt/banledger ]
echo all done
END
""",
        wheel,
        package,
    )

    assert said.endswith("all done\n")


def test_a_removal_that_fail2ban_would_not_survive_is_refused(debian: CleanDebian, shared: Path) -> None:
    package = deb(shared)

    said = debian.bash(
        f"""unshare --net bash -euo pipefail <<'END'
{TOOLS}
start_fail2ban
apt-get install -y ./{package.name}
banledger setup --server web1 --yes
printf '[other]\\nenabled = true\\nfilter = sshd\\nlogpath = /var/log/auth.log\\n' > /etc/fail2ban/jail.d/other.local
printf 'action = banledger.py[server=x]\\n' >> /etc/fail2ban/jail.d/other.local
fails apt-get remove -y banledger
grep "other files of fail2ban name banledger's action, in other" /tmp/said
fail2ban-client -t
recorded 192.0.2.1
rm /etc/fail2ban/jail.d/other.local
apt-get remove -y banledger
freed
echo all done
END
""",
        package,
    )

    assert said.endswith("all done\n")


def test_two_builds_are_the_same_bytes_and_lintian_accepts_them(shared: Path, tmp_path: Path) -> None:
    first = deb(shared)
    words = [sys.executable, "tools/make_deb.py", "--python", PYTHON, "--out", str(tmp_path)]
    run(*words, cwd=shared / f"checkout-{__version__}", env=BUILD)

    assert (tmp_path / first.name).read_bytes() == first.read_bytes()
    if shutil.which("lintian"):
        run("lintian", "--allow-root", "--fail-on", "error,warning", first)


def test_the_deb_has_a_man_page_for_each_command_and_no_file_of_others(shared: Path) -> None:
    listed = run("dpkg-deb", "--contents", deb(shared))
    names = re.findall(r"(?m) \./(\S+)", listed)

    pages = {Path(name).name.removesuffix(".gz") for name in names if "/man/" in name and name.endswith(".gz")}
    assert pages == {path.name for path in (ROOT / "src/banledger/packaging/share/man").rglob("*.[15]")}
    assert not any(name.startswith(("etc/", "opt/", "usr/local/", "var/")) for name in names)
    assert "root/root" in listed and set(re.findall(r"(?m)^\S+ (\S+)", listed)) == {"root/root"}


@pytest.fixture
def booted(debian: CleanDebian, tmp_path: Path, wheel: Path, shared: Path) -> Iterator[Booted]:
    """A copy that systemd boots, with both packages and the wheel in /root; the wheel is installed by pipx."""
    if shutil.which("systemd-nspawn") is None:
        pytest.skip("no systemd-nspawn here")
    root = tmp_path / "root"
    run("cp", "-a", debian.root, root)
    for path in (deb(shared, OLDER), deb(shared), wheel):
        shutil.copy(path, root / "root")
    run(ROOT / "tools/in-root", root, "root", "pipx", "install", f"/root/{wheel.name}")
    system = Booted(root)
    yield system
    system.stop()
    shutil.rmtree(root, ignore_errors=True)


def runs_as_a_service(system: Booted, unit: str) -> None:
    """Both services run, a ban is recorded, and the unit is as good as it was written."""
    assert system.said("systemctl", "is-active", "banledger", "fail2ban") == "active\nactive\n"
    system.said("fail2ban-client", "set", "sshd", "banip", "192.0.2.1")
    time.sleep(2)
    assert "web1" in system.said("banledger", "show", "192.0.2.1")
    doctor_finds(system)
    assert "banledger.service" not in system.said("systemd-analyze", "verify", "--man=no", unit)
    system.said("systemd-analyze", "security", "--no-pager", "--threshold=15", "banledger.service")


def doctor_finds(system: Booted, *names: str) -> None:
    """Only these checks of the installed doctor are not well, after a moment. The clock is the host's."""
    deadline = time.monotonic() + 60
    while True:
        done = system.run("banledger", "doctor", "--json")
        found = [one for one in json.loads(done.stdout)["checks"] if one["verdict"] != "well"]
        if [one["name"] for one in found if one["name"] != "clock"] == list(names):
            break
        assert time.monotonic() < deadline, found
        time.sleep(1)
    system.said("banledger", "doctor", code=12 if names else 0)


def backs_up_every_day(system: Booted) -> None:
    """The units of the daily backup run where they are copied to."""
    units = "/etc/systemd/system"
    copy = f"cp /usr/share/doc/banledger/examples/banledger-backup.* {units}"
    system.said("sh", "-c", f"{copy} && systemctl daemon-reload && systemctl start banledger-backup")
    assert system.said("sh", "-c", "stat -c %U /var/lib/banledger-backup/ledger-*.zst") == "banledger\n"
    system.said("sh", "-c", f"rm {units}/banledger-backup.* && systemctl daemon-reload")


@pytest.mark.long
def test_the_deb_on_a_system_that_systemd_runs(booted: Booted, shared: Path) -> None:
    def main_pid() -> str:
        return booted.said("systemctl", "show", "-P", "MainPID", "banledger")

    booted.said("apt-get", "install", "-y", f"/root/{deb(shared, OLDER).name}")
    before = booted.etc()
    assert booted.run("systemctl", "is-active", "banledger").stdout == "inactive\n"
    booted.said("banledger", "setup", "--mend", "--server", "web1", "--yes")
    runs_as_a_service(booted, "/usr/lib/systemd/system/banledger.service")

    backs_up_every_day(booted)

    old = main_pid()
    booted.said("apt-get", "install", "-y", f"/root/{deb(shared).name}")
    assert main_pid() != old
    doctor_finds(booted, "action file")  # fail2ban still has the one of the version before
    booted.said("banledger", "setup", "--yes")
    runs_as_a_service(booted, "/usr/lib/systemd/system/banledger.service")

    booted.said("banledger", "setup", "--undo", "--yes")
    assert booted.etc() == before
    booted.said("banledger", "setup", "--mend", "--server", "web1", "--yes")
    booted.said("apt-get", "purge", "-y", "banledger")
    booted.said("systemctl", "restart", "fail2ban")
    booted.said("sh", "-c", ANSWERS)
    assert "banledger" not in booted.said("fail2ban-client", "get", "sshd", "actions")
    booted.said("rm", "-f", "/etc/fail2ban/jail.d/zz-journal.local")  # what keeps Debian 12's fail2ban alive
    assert booted.etc() == before
    assert booted.said("sh", "-c", "find /usr /opt -name '*banledger*' -not -path '/usr/src/*'") == ""


@pytest.mark.long
def test_the_wheel_on_a_system_that_systemd_runs(booted: Booted) -> None:
    before = booted.etc()
    pipx = "/root/.local/bin/banledger"
    booted.said(pipx, "setup", "--mend", "--server", "web1", "--yes")
    runs_as_a_service(booted, "/etc/systemd/system/banledger.service")

    assert "nothing to do" in booted.said(pipx, "setup", "--yes")
    booted.said(pipx, "setup", "--undo", "--purge", "--yes")
    assert booted.etc() == before
    assert booted.said("systemctl", "is-active", "fail2ban") == "active\n"


@pytest.mark.long
@pytest.mark.skipif(SUITE != "bookworm", reason="from Debian 12 to 13")
def test_another_python_gets_its_wheels(debian: CleanDebian, tmp_path: Path) -> None:
    run(sys.executable, "tools/make_deb.py", "--out", tmp_path)
    (package,) = tmp_path.glob("*.deb")

    said = debian.bash(
        f"""{TOOLS}
start_fail2ban
apt-get install -y ./{package.name}
banledger setup --server web1 --yes
recorded 192.0.2.1
says python3.11 readlink -f /opt/banledger/venv/bin/python
sed -i s/bookworm/trixie/g /etc/apt/sources.list
apt-get update -qq
apt-get install -y python3
says python3.13 readlink -f /opt/banledger/venv/bin/python
recorded 192.0.2.2
says 'nothing to do' banledger setup --yes
apt-get purge -y banledger
[ ! -e /opt/banledger ]
echo all done
""",
        package,
    )

    assert said.endswith("all done\n")
