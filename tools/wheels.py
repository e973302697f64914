"""The wheels that banledger needs on a Python and an architecture other than this one's.

pip evaluates markers for the Python that it runs in, so requirements are followed here: level by level, with the
markers of the target. Wheels are kept in .cache/wheels as long as the requirements are the same.
"""

import hashlib
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

CACHE = Path(".cache/wheels")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_GLIBC = range(17, 37)  # 2.36 is Debian 12's


def wheels(architecture: str, python: str) -> list[Path]:
    """The wheels for a Debian architecture and a Python such as 3.11, ours not among them."""
    wanted = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    digest = hashlib.sha256("\n".join(sorted(wanted)).encode()).hexdigest()[:12]
    place = CACHE / f"{architecture}-{python}-{digest}"
    if not place.exists():
        new = place.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        _fetch(new, wanted, MACHINES[architecture], python)
        new.rename(place)
    return sorted(place.glob("*.whl"))


def _fetch(place: Path, requirements: list[str], machine: str, python: str) -> None:
    # The oldest patch level that Debian 12 has: what is needed there harms nowhere else.
    target = {"python_version": python, "python_full_version": f"{python}.2", "platform_machine": machine, "extra": ""}
    while missing := _missing(place, requirements, target):
        _download(place, missing, machine, python)
        requirements = [line for wheel in place.glob("*.whl") for line in _required(wheel)]


def _missing(place: Path, requirements: list[str], target: dict[str, str]) -> list[str]:
    have = {parse_wheel_filename(wheel.name)[0] for wheel in place.glob("*.whl")}
    wanted = [one for one in map(Requirement, requirements) if one.marker is None or one.marker.evaluate(target)]
    return sorted({f"{one.name}{one.specifier}" for one in wanted if canonicalize_name(one.name) not in have})


def _required(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist", [])


def _download(place: Path, requirements: list[str], machine: str, python: str) -> None:
    platforms = [f"manylinux2014_{machine}", *(f"manylinux_2_{minor}_{machine}" for minor in _GLIBC)]
    words = ["--no-deps", "--only-binary=:all:", "--python-version", python, "--implementation", "cp", "-d", str(place)]
    words += [word for platform in platforms for word in ("--platform", platform)]
    pip = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, *words, *requirements], check=True)
