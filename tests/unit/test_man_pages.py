"""The man pages: made from the commands, and accepted by those who read them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documented import every_command

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools/shell_pages.py"
SHARE = ROOT / "src/banledger/packaging/share"
PAGES = sorted((SHARE / "man").rglob("*.[15]"))


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """What the commands make now, in a process of their own: click keeps what it made of an option before."""
    code = f"import json, runpy; print(json.dumps(runpy.run_path({str(TOOL)!r})['documents']()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    documents: dict[str, str] = json.loads(done.stdout)
    return documents


def test_the_man_pages_are_what_the_commands_make(made: dict[str, str]) -> None:
    """If this fails: make docs."""
    pages = {str(path.relative_to(SHARE)): path.read_text() for path in PAGES}

    assert pages == {name: text for name, text in made.items() if name.startswith("man/")}


def test_every_command_has_a_page() -> None:
    names = {"-".join(["banledger", *words]) for words, _ in every_command()}

    assert {path.stem for path in PAGES if path.suffix == ".1"} == names


def test_there_is_a_completion_for_each_shell(made: dict[str, str]) -> None:
    scripts = {name for name in made if not name.startswith("man/")}

    assert scripts == {str(path.relative_to(SHARE)) for path in SHARE.rglob("*banledger*") if path not in PAGES}
    assert len(scripts) == 3


def _mandoc(directory: Path) -> Path:
    """mandoc of this machine, or unpacked from its Debian package."""
    if found := shutil.which("mandoc"):
        return Path(found)
    words = [str(ROOT / "tools/fetch-package"), "mandoc", str(directory)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        if os.environ.get("CI"):
            pytest.fail(done.stderr)
        pytest.skip("no mandoc here")
    return directory / "usr/bin/mandoc"


def test_mandoc_and_groff_have_nothing_to_warn_of(tmp_path: Path) -> None:
    pages = list(map(str, PAGES))
    lint = [str(_mandoc(tmp_path / "mandoc")), "-Tlint", "-Wwarning", *pages]
    done = subprocess.run(lint, capture_output=True, text=True, check=False, timeout=60)
    warnings = [line for line in done.stdout.splitlines() if 'missing date, using ""' not in line]  # none on purpose
    assert (warnings, done.stderr) == ([], "")

    if shutil.which("groff"):
        done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-z", *pages], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_page_reads_as_the_help_says(tmp_path: Path) -> None:
    done = subprocess.run(
        [_mandoc(tmp_path / "mandoc"), "-Tascii", SHARE / "man/man1/banledger-top.1"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.strip() for line in re.sub(r".\x08", "", done.stdout).splitlines()]  # overstruck: bold

    assert "banledger top network --country CN" in lines
    assert "banledger top user --since 7d --csv > users.csv" in lines
    assert "Bans of this address, or of all in this network." in lines
