"""`banledger setup` on a stock Debian that systemd boots: as it is there, fail2ban is dead for want of a log."""

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = "systemd systemd-sysv dbus fail2ban python3-systemd iptables"
INSTALL = f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {PACKAGES}"
PAST = "2026-11-23 02:13:21,250 fail2ban.actions        [4]: NOTICE  [sshd] Ban 192.0.2.9"
SUITE = platform.freedesktop_os_release().get("VERSION_CODENAME", "")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="boots a system"),
    pytest.mark.skipif(shutil.which("systemd-nspawn") is None, reason="no systemd-nspawn here"),
    pytest.mark.skipif(SUITE not in ("bookworm", "trixie"), reason="its Python must be this one"),
]


class Booted:
    """A Debian in a container."""

    def __init__(self, root: Path) -> None:
        own = [f"--bind-ro={path}" for path in {ROOT, Path(sys.prefix)}]
        self._process = subprocess.Popen(
            [
                *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network"),
                *("--console=pipe", "--machine=banledger-test", f"--directory={root}", *own),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while self.run("systemctl", "is-system-running").stdout.strip() not in ("running", "degraded"):
            assert time.monotonic() < deadline, "it does not boot"
            time.sleep(0.5)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        enter = ["nsenter", "-t", children[0] if children else "0", "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        return subprocess.run(
            [*enter, "env", "-i", path, *words], capture_output=True, text=True, timeout=120, check=False
        )

    def said(self, *words: str, code: int = 0) -> str:
        """What it says."""
        done = self.run(*words)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def setup(self, *words: str, code: int = 0) -> str:
        return self.said(sys.executable, "-m", "banledger", "setup", *words, code=code)

    def etc(self) -> str:
        """All of /etc, without the copies that the system's own tools make of accounts."""
        find = "find . ! -name '*-' -printf '%p %y %m %u %g %l\\n' | sort"
        return self.said("sh", "-c", f"cd /etc && {find} && find . -type f ! -name '*-' -exec sha256sum {{}} + | sort")

    def stop(self) -> None:
        self.run("systemctl", "poweroff")
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    root = tmp_path_factory.mktemp("debian") / "root"
    for words in (
        [str(ROOT / "tools/debian-root"), SUITE, str(root)],
        [str(ROOT / "tools/in-root"), str(root), "root", "env", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", INSTALL],
    ):
        done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    system = Booted(root)
    yield system
    system.stop()
    shutil.rmtree(root, ignore_errors=True)


def test_a_stock_debian_records_after_one_command_and_is_as_before_after_another(debian: Booted) -> None:
    before = debian.etc()
    dead = debian.run("systemctl", "is-active", "fail2ban").stdout.strip() != "active"
    if dead:
        assert "hint: run banledger setup --mend" in debian.setup("--yes", code=1)
        assert debian.etc() == before

    client = "/opt/elsewhere/bin/fail2ban-client"
    assert "there is no /opt/elsewhere" in debian.setup("--dry-run", "--fail2ban-client", client, code=8)
    debian.said("install", "-D", "/usr/bin/fail2ban-client", client)
    assert "its jails: sshd" in debian.setup("--dry-run", "--mend", "--fail2ban-client", client)
    debian.said("rm", "-r", "/opt/elsewhere")

    debian.said("sh", "-c", f"echo '{PAST}' > /var/log/fail2ban.log.1")
    began = time.monotonic()
    said = debian.setup("--mend", "--server", "web1", "--yes")
    assert time.monotonic() - began < 60
    assert "did    see in the ledger that these jails are recorded" in said
    assert "did    import the past: /var/log/fail2ban.log" in said
    assert "192.0.2.9" in debian.said("banledger", "bans")

    debian.said("fail2ban-client", "set", "sshd", "banip", "192.0.2.1")
    time.sleep(2)
    assert debian.said("systemctl", "is-active", "banledger", "fail2ban") == "active\nactive\n"
    assert "web1" in debian.said("banledger", "show", "192.0.2.1")
    assert "nothing to do" in debian.said("banledger", "setup", "--yes")

    said = debian.said("banledger", "setup", "--undo", "--purge", "--yes")

    assert ("fail2ban can't start again, as before" in said) == dead
    assert debian.said("systemctl", "is-active", "fail2ban") == "active\n"
    assert "banledger" not in debian.said("fail2ban-client", "get", "sshd", "actions")
    assert debian.etc() == before
    assert debian.said("sh", "-c", "find /opt /usr/local /var/lib /var/spool -name '*banledger*'") == ""
