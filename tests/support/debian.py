"""Clean Debians to install banledger in: one is made for a test run, each test has a copy."""

import fcntl
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITE = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
PACKAGES = "systemd systemd-sysv dbus procps fail2ban python3-systemd iptables nftables sudo pipx"

needs_debian = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes a system's root"),
    pytest.mark.skipif(SUITE not in ("bookworm", "trixie"), reason="its Python must be this one"),
    # Continuous integration may install it; on a developer's machine nothing is installed for a test.
    pytest.mark.skipif(shutil.which("mmdebstrap") is None and "CI" not in os.environ, reason="no mmdebstrap here"),
]


def run(*words: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """What a command says; it has to succeed."""
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@contextmanager
def alone(place: Path) -> Iterator[None]:
    """Keep other processes of the test run out while one makes `place`."""
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


_IN_A_COPY = """\
mount -t tmpfs tmpfs "$2" && mkdir "$2/new" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/new,workdir=$2/work" "$2/root" || cp -a "$1/." "$2/root"
shift && cp -t "$1/root/root" "${@:2}"
exec tools/in-root "$1/root" root DEBIAN_FRONTEND=noninteractive bash script
"""


class CleanDebian:
    """The root of a Debian with systemd and fail2ban. What runs in it sees a copy, which is gone afterwards."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def bash(self, script: str, *files: Path) -> str:
        """What a script says, run in its /root, with copies of these files; it has to succeed."""
        with tempfile.TemporaryDirectory() as directory:
            written = Path(directory, "script")
            written.write_text(f"set -euo pipefail\n{script}")
            place = Path(directory, "copy")
            place.mkdir()
            words = ["unshare", "--mount", "bash", "-euo", "pipefail", "-c", _IN_A_COPY, "bash"]
            return run(*words, self.root, place, written, *files)


def clean_debian(shared: Path) -> CleanDebian:
    """The one that is made once in `shared`, a directory of the whole test run."""
    root = shared / "debian"
    with alone(root):
        if not root.exists():
            new = root.with_suffix(".new")
            run(ROOT / "tools/debian-root", SUITE, new, *PACKAGES.split())
            new.rename(root)
    return CleanDebian(root)
