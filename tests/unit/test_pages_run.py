"""The commands of the pages that handle what only the group may read, run as they stand there, in a directory."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
GROUP = str(os.getegid())


def commands(page: str, word: str) -> str:
    """The block of commands of a page that has this word, the first one."""
    blocks: list[str] = re.findall(r"```bash\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    return next(block for block in blocks if word in block)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Stands for / of a machine; with a umask as on any."""
    for name in ("etc", "var/lib/banledger", "somewhere/safe"):
        (tmp_path / name).mkdir(parents=True)
    before = os.umask(0o022)
    yield tmp_path
    os.umask(before)


def run(root: Path, text: str) -> str:
    """What they print, run with paths below `root`, and as the user who runs the test."""
    text = re.sub(r"(?<=[ '])/(?=etc/|var/|somewhere/)", f"{root}/", text)
    text = re.sub(r"-([og]) banledger", lambda match: f"-g {GROUP}" if match[1] == "g" else "", text)
    text = text.replace("runuser -u banledger -- ", "").replace("nano ", "test -w ")
    text = text.replace("banledger action path", f"{sys.executable} -m banledger action path")
    done = subprocess.run(["bash", "-e", "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def test_the_stores_page_creates_the_directory_before_it_writes_there(root: Path) -> None:
    run(root, commands("stores.md", "install -d"))
    run(root, commands("stores.md", "/etc/banledger/password"))
    etc = root / "etc/banledger"
    found = {path.name: mode(path) for path in etc.iterdir()}
    assert (mode(etc), found) == ("0o750", {"banledger.toml": "0o640", "password": "0o640"})


def test_the_operations_page_installs_the_example(root: Path) -> None:
    run(root, commands("operations.md", "install -d"))
    assert mode(root / "etc/banledger") == "0o750"
    assert mode(root / "etc/banledger/banledger.toml") == "0o640"


@pytest.fixture
def fail2ban(root: Path) -> Path:
    """Its configuration, as the six commands and a person left it."""
    folder = root / "etc/fail2ban"
    (folder / "jail.d").mkdir(parents=True)
    (folder / "action.d").mkdir()
    (folder / "action.d/banledger.py").touch()
    (folder / "jail.d/zz-banledger.local").write_text("[DEFAULT]\naction = %(action_)s\n  banledger.py[server=a]\n")
    return folder


def uninstall_from_fail2ban(root: Path) -> str:
    line = commands("install.md", "zz-banledger.local && !").splitlines()[0]
    return run(root, line.replace("systemctl restart fail2ban", "echo restarted") + " || true")


def test_the_action_stays_while_another_jail_file_names_it(root: Path, fail2ban: Path) -> None:
    other = fail2ban / "jail.d/zz-sshd.local"
    other.write_text("[sshd]\naction = %(known/action)s\n  banledger.py[server=a]\n")
    listed = run(root, commands("install.md", "grep -rl"))
    assert sorted(listed.split()) == sorted(map(str, (fail2ban / "jail.d").iterdir()))
    assert "zz-sshd.local" in uninstall_from_fail2ban(root)
    assert (fail2ban / "action.d/banledger.py").exists()
    other.unlink()
    assert uninstall_from_fail2ban(root) == "restarted\n"
    assert not (fail2ban / "action.d/banledger.py").exists()


def test_the_page_lets_sshd_of_a_stock_debian_12_read_the_journal(root: Path, fail2ban: Path) -> None:
    block = commands("install.md", "backend = systemd")
    run(root, "\n".join(line for line in block.splitlines() if "printf" in line))
    assert (fail2ban / "jail.d/sshd-journal.local").read_text() == "[sshd]\nbackend = systemd\n"
    assert "apt-get install -y python3-systemd" in block
