"""The program that the service and root run: a virtual environment of its own, made of what is installed here.

Nothing is fetched. The package and what it requires are copied from where this process has them; the interpreter is
the system's, one that only root can change. So it doesn't matter who may write to the place it was installed in.
"""

import hashlib
import re
import shutil
import sys
from collections.abc import Iterator
from functools import cached_property
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import banledger
from banledger.errors import BanledgerError
from banledger.setup.command import run, trusted
from banledger.setup.machine import Machine
from banledger.setup.writers import open_to_others

HOME = "/opt/banledger/venv"
COMMAND = f"{HOME}/bin/banledger"
_PACKAGE = "banledger"
STAMP = "made-by-setup"
"""A file that setup puts into the environment last."""
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_NAME = re.compile(r"[\w.-]+")
_TRIAL = "import " + ", ".join(
    f"banledger.{name}"
    for name in ("cli.record", "service.wiring", "stores.sqlite.engine", "stores.redis.engine", "cli.report")
)
_SCRIPT = """\
#!{python} -I
import sys
from banledger.__main__ import main
sys.exit(main())
"""


class Program:
    """The program on a machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._place = machine.place(HOME)

    def made(self) -> bool:
        """Whether it is there: it is what runs now, or equals that."""
        if Path(sys.prefix).resolve() == self._place.resolve():
            return True
        stamp, package = self._place / STAMP, self._place / "lib" / _VERSION / "site-packages" / _PACKAGE
        whole = (self._place / "bin/python").exists() and package.is_dir()
        return whole and stamp.is_file() and stamp.read_text() == self._digest

    def check(self) -> None:
        """Raises BanledgerError if it can't be made, or is one that others than root may change."""
        if not self.made():
            if self._machine.packaged:
                why = "banledger's Debian package is installed here, and this is another banledger"
                raise BanledgerError(why, hint="sudo /usr/bin/banledger setup; or remove the package first")
            if (path := open_to_others(path for path, _ in self._files)) is not None:
                why = f"others than root and the user behind sudo may change {path}"
                raise BanledgerError(why, hint=f"chmod go-w {path}; or run it with sudo as the user who installed it")
            _interpreter()
        elif not trusted(self._place / "bin", self._place):
            raise BanledgerError(f"others than root may change {self._place}", hint=f"chown -R root {self._place}")

    def make(self) -> None:
        """Make it beside its place, then put it there."""
        new = self._machine.changes.new_tree(HOME)
        library = new / "lib" / _VERSION / "site-packages"
        library.mkdir(parents=True)
        for source, name in self._files:
            target = library / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
            target.chmod(0o644)
        self._make_environment(new)
        compile_words = ["-m", "compileall", "-q", "-s", str(new), "-p", str(self._place), str(library / _PACKAGE)]
        run([str(new / "bin/python"), *compile_words])
        said = run([str(new / "bin/python"), "-I", "-c", _TRIAL])
        if said.code != 0:
            reason = said.err.strip().rpartition("\n")[2]
            raise BanledgerError(f"the copy of banledger doesn't run: {reason}", hint="install banledger again")
        (new / STAMP).write_text(self._digest)
        self._machine.changes.put_tree(HOME)

    def _make_environment(self, new: Path) -> None:
        """What makes a directory a virtual environment, and our script in it."""
        python = _interpreter()
        version = ".".join(map(str, sys.version_info[:3]))
        (new / "pyvenv.cfg").write_text(
            f"home = {python.parent}\ninclude-system-site-packages = false\nversion = {version}\n"
        )
        (new / "bin").mkdir()
        (new / "bin/python").symlink_to(python)
        (new / "bin/python3").symlink_to("python")
        script = new / "bin" / _PACKAGE
        script.write_text(_SCRIPT.format(python=self._place / "bin/python"))
        script.chmod(0o755)

    @cached_property
    def _files(self) -> list[tuple[Path, str]]:
        """Each file, and its name below site-packages."""
        package = Path(banledger.__file__).parent
        found = {f"{_PACKAGE}/{path.relative_to(package)}": path for path in package.rglob("*")}
        for one in _required(_PACKAGE, set()):
            for name in one.files or ():
                found.setdefault(str(name), Path(str(one.locate_file(name))))
        return sorted(
            (path, name)
            for name, path in found.items()
            if path.is_file() and not name.startswith("..") and not name.startswith("__editable__")
            and not (name.startswith(f"{_PACKAGE}/") and name.endswith(".pyc"))
        )  # fmt: skip

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(str(_interpreter()).encode())
        for path, name in self._files:
            if not name.endswith(".pyc"):
                digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        return digest.hexdigest() + "\n"


def _required(name: str, known: set[str]) -> Iterator[Distribution]:
    """The distribution, and those that it requires, as far as they are installed: others are for other systems."""
    if name in known:
        return
    known.add(name)
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return
    yield found
    for line in found.requires or ():
        words, _, marker = line.partition(";")
        if "extra" not in marker and (match := _NAME.match(words.strip())):
            yield from _required(match[0].lower().replace("_", "-"), known)


def _interpreter() -> Path:
    """An interpreter like this one that only root can change, and everybody can run. Raises BanledgerError."""
    candidates = [Path(getattr(sys, "_base_executable", sys.executable)).resolve(), Path("/usr/bin", _VERSION)]
    for path in candidates:
        if path.is_file() and trusted(path) and all(one.stat().st_mode & 0o001 for one in (path, *path.parents)):
            return path
    raise BanledgerError(
        f"there is no {_VERSION} that only root can change, and banledger runs in one that others can",
        hint="use the system's Python: pipx (or uv tool) install --python /usr/bin/python3 banledger",
    )
