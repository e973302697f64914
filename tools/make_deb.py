"""Make the Debian package of banledger: `make deb`.

By dpkg-deb alone: there is nothing to compile, and a tree of files needs no helper to be put together. The package
carries the wheels of banledger and of all that it requires, for each Python of PYTHONS; its postinst makes a virtual
environment of those that fit. The same sources, wheels and SOURCE_DATE_EPOCH make the same bytes.
"""

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from email.utils import formatdate
from pathlib import Path

from wheels import MACHINES, wheels

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
DEBIAN = Path("tools/debian")
SHARE = Path("src/banledger/packaging/share")
ETC = Path("src/banledger/packaging/root/etc")
FILES = {
    "usr/lib/systemd/system/banledger.service": ETC / "systemd/system/banledger.service",
    "usr/lib/sysusers.d/banledger.conf": ETC / "sysusers.d/banledger.conf",
    "usr/lib/tmpfiles.d/banledger.conf": ETC / "tmpfiles.d/banledger.conf",
    "usr/share/bash-completion/completions/banledger": SHARE / "bash-completion/completions/banledger",
    "usr/share/zsh/vendor-completions/_banledger": SHARE / "zsh/site-functions/_banledger",
    "usr/share/fish/vendor_completions.d/banledger.fish": SHARE / "fish/vendor_completions.d/banledger.fish",
    "usr/share/doc/banledger/examples/banledger.toml": Path("src/banledger/packaging/examples/banledger.toml"),
    "usr/share/doc/banledger/examples/banledger-backup.service": Path(
        "src/banledger/packaging/examples/banledger-backup.service"
    ),
    "usr/share/doc/banledger/examples/banledger-backup.timer": Path(
        "src/banledger/packaging/examples/banledger-backup.timer"
    ),
    "usr/share/doc/banledger/copyright": DEBIAN / "copyright",
    "usr/share/lintian/overrides/banledger": DEBIAN / "lintian-overrides",
}
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "src")
_CHANGELOG = """\
banledger ({version}) unstable; urgency=medium

  * Built from the sources of this version: see their CHANGELOG.md.

 -- {maintainer}  {date}
"""


def main() -> None:
    """Make it in dist."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", choices=MACHINES, default=_said("dpkg", "--print-architecture"))
    parser.add_argument("--python", action="append", choices=PYTHONS, help="only for this Python; may be repeated")
    parser.add_argument("--out", type=Path, default=Path("dist"))
    chosen = parser.parse_args()
    os.umask(0o022)
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or _epoch()
    os.environ["SOURCE_DATE_EPOCH"] = epoch
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        own = make_wheel(Path(directory))
        version = debian_version(own.name.split("-")[1])
        tree = Path(directory, "tree")
        _lay(tree, own, chosen.arch, chosen.python or PYTHONS)
        _document(tree, version, int(epoch))
        _control(tree, version, chosen.arch)
        made = chosen.out / f"banledger_{version}_{chosen.arch}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zxz", "--build", tree, made], check=True, stdout=2)
    print(made)  # noqa: T201


def make_wheel(directory: Path) -> Path:
    """Our wheel, of a copy whose modes don't depend on the checkout's."""
    copy = directory / "source"
    for name in SOURCES:
        source, target = Path(name), copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, target, ignore=ignored, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(source, target)
    options = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check", "-w", str(directory)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", *options, str(copy)], check=True)
    (made,) = directory.glob("*.whl")
    return made


def debian_version(version: str) -> str:
    """As Debian sorts it: a release comes after its candidates."""
    for word in (".dev", "a", "b", "rc"):
        version = version.replace(word, f"~{word.strip('.')}")
    return version


def _lay(tree: Path, own: Path, architecture: str, pythons: tuple[str, ...]) -> None:
    """The files of the package, and the wheels: each once, and for each Python a list of those that it needs."""
    place = tree / "usr/lib/banledger/wheels"
    place.mkdir(parents=True)
    for python in pythons:
        needed = [own, *wheels(architecture, python)]
        (place / f"python{python}").write_text("".join(f"{wheel.name}\n" for wheel in needed))
        for wheel in needed:
            _put(wheel, place / wheel.name)
    _put(DEBIAN / "make-program", place.parent / "make-program", 0o755)
    for name, source in FILES.items():
        _put(source, tree / name)
    (tree / "usr/bin").mkdir()
    (tree / "usr/bin/banledger").symlink_to("/opt/banledger/venv/bin/banledger")


def _document(tree: Path, version: str, epoch: int) -> None:
    """Man pages and the changelog, compressed."""
    for page in sorted((SHARE / "man").rglob("*.[15]")):
        _compress(page.read_bytes(), tree / f"usr/share/{page.relative_to(SHARE)}.gz")
    date = formatdate(epoch)
    changelog = _CHANGELOG.format(version=version, maintainer=_maintainer(), date=date)
    _compress(changelog.encode(), tree / "usr/share/doc/banledger/changelog.gz")


def _control(tree: Path, version: str, architecture: str) -> None:
    """What dpkg reads."""
    files = [path for path in sorted(tree.rglob("*")) if path.is_file() and not path.is_symlink()]
    size = sum(-(-path.stat().st_size // 1024) for path in files)
    sums = "".join(f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(tree)}\n" for path in files)  # noqa: S324
    words = {"VERSION": version, "ARCHITECTURE": architecture, "MAINTAINER": _maintainer(), "SIZE": str(size)}
    control = (DEBIAN / "control").read_text()
    for name, value in words.items():
        control = control.replace(f"@{name}@", value)
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(control)
    (tree / "DEBIAN/md5sums").write_text(sums)
    _put(DEBIAN / "triggers", tree / "DEBIAN/triggers")
    for name in ("postinst", "prerm", "postrm"):
        _put(DEBIAN / name, tree / "DEBIAN" / name, 0o755)


def _maintainer() -> str:
    """As Debian's own tools are told."""
    name = os.environ.get("DEBFULLNAME", "The banledger authors")
    return f"{name} <{os.environ.get('DEBEMAIL', 'banledger@localhost')}>"


def _epoch() -> str:
    """When the sources were last changed: their commit, or now."""
    now = str(int(time.time()))
    if shutil.which("git") is None:
        return now
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or now


def _put(source: Path, target: Path, mode: int = 0o644) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _compress(content: bytes, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(content, mtime=0))


def _said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
