"""What a shell offers after `banledger`, asked by the scripts that are installed, in the shells themselves."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.lines import ban
from tests.unit.report.conftest import write

SHARE = Path(__file__).parents[3] / "src/banledger/packaging/share"
HOSTILE = ("$(touch /tmp/owned)", "two words", "new\nline", "`id`", "-o")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two jails with plain names, and some whose names a shell would read as more than a word."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    jails = ("sshd", "sshd-strict", *HOSTILE)
    write(path, [ban("192.0.2.1", 1_790_000_000 + n, jail=jail) for n, jail in enumerate(jails)])
    return path


@pytest.fixture
def environment(ledger: Path, tmp_path: Path) -> dict[str, str]:
    """A `banledger` in the path, with that ledger in its settings."""
    command = tmp_path / "banledger"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m banledger "$@"\n')
    command.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path), "BANLEDGER_STORE": str(ledger), "LC_ALL": "C.UTF-8"}


def shell(environment: dict[str, str], *words: str) -> list[str]:
    if shutil.which(words[0]) is None:
        pytest.skip(f"no {words[0]} here")
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return sorted(done.stdout.splitlines())


def bash(environment: dict[str, str], *words: str) -> list[str]:
    """What bash offers for the last word."""
    script = SHARE / "bash-completion/completions/banledger"
    line = (
        f"source {shlex.quote(str(script))}; complete -p banledger | grep -q -- '-F _banledger_completion '; "
        f"COMP_WORDS=(banledger {shlex.join(words)}); COMP_CWORD={len(words)}; _banledger_completion banledger; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return shell(environment, "bash", "--norc", "-euc", line)


def test_bash_offers_every_command(environment: dict[str, str]) -> None:
    from banledger.cli.main import COMMANDS

    assert bash(environment, "") == sorted(COMMANDS)


def test_bash_offers_options_and_commands_of_a_group(environment: dict[str, str]) -> None:
    assert bash(environment, "bans", "--js") == ["--json"]
    assert bash(environment, "store", "c") == ["check", "copy"]


def test_bash_offers_dimensions(environment: dict[str, str]) -> None:
    assert bash(environment, "top", "us") == ["user"]
    assert {"ip", "country", "jail", "day"} <= set(bash(environment, "top", ""))


def test_bash_offers_recorded_jails_whose_names_are_plain_words(environment: dict[str, str]) -> None:
    assert bash(environment, "report", "--jail", "") == ["sshd", "sshd-strict"]
    assert bash(environment, "report", "--jail", "sshd-") == ["sshd-strict"]


def test_the_ledger_that_the_line_names_is_asked(environment: dict[str, str], ledger: Path) -> None:
    environment["BANLEDGER_STORE"] = "/nowhere/ledger.db"

    assert bash(environment, "report", "--jail", "") == [""]
    assert bash(environment, "report", "--store", str(ledger), "--jail", "") == ["sshd", "sshd-strict"]


@pytest.mark.parametrize("store", ["redis://192.0.2.1/0", "nonsense://x", "/etc/passwd"])
def test_a_server_or_a_file_that_is_no_ledger_offers_nothing(environment: dict[str, str], store: str) -> None:
    environment["BANLEDGER_STORE"] = store

    assert bash(environment, "report", "--jail", "") == [""]


def test_fish_offers_commands_and_dimensions(environment: dict[str, str]) -> None:
    script = SHARE / "fish/vendor_completions.d/banledger.fish"
    offered = shell(environment, "fish", "-N", "-c", f"source {script}; complete -C 'banledger top us'")

    assert [line.split("\t")[0] for line in offered] == ["user"]


def test_zsh_loads_the_completion(environment: dict[str, str]) -> None:
    line = f"fpath=({SHARE}/zsh/site-functions $fpath); autoload -Uz compinit; compinit -D; print $_comps[banledger]"

    assert shell(environment, "zsh", "-f", "-c", line) == ["_banledger"]
