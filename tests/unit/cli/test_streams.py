"""stdout and stderr that can't be written, of every command."""

import fcntl
import os
import shlex
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from banledger.cli.main import commands
from banledger.cli.streams import ReaderGone, _Guarded
from tests.unit.cli.test_whois import ADDRESS, know

PRINTING = (
    "report", "report --json", "report --csv", "status", "status --json",
    "top ip", "top ip --json", "top ip --csv",
    "bans", "bans --json", "bans --csv",
    "show 192.0.2.1", "show 192.0.2.1 --json", "show 192.0.2.1 --csv",
    f"whois {ADDRESS}", f"whois {ADDRESS} --json", f"whois {ADDRESS} --raw",
    "kv KEYS *", "kv --no-raw HGETALL bans:meta", "kv DEL bans:meta",
    "store check", "store check --json", "store copy {store} {folder}/copy.db", "store rebuild",
    "record --once", "action path",
    "--version", "-V", "--help", "", "report --help", "store --help", "store copy --help", "import --help",
    "setup --help", "doctor --help", "forget --ip 192.0.2.1 --dry-run",
)  # fmt: skip
"""Commands that print something without a server or a fail2ban."""

TALKING = ("bans --jail sshdd", "report --since soon", "nope", "record --once --spool /nonexistent")
"""Commands that say something on stderr."""

ELSEWHERE = {
    "demo": "tests/e2e/test_demo.py::test_a_closed_pipe_leaves_no_process",
    "import": "tests/e2e/test_import.py::test_output_that_cannot_be_written_ends_an_import",
}
NO_SPACE = "error: can't write the output: No space left on device"
CLOSED = "error: can't write the output: Bad file descriptor"


class Terminal:
    """Runs commands with stdout and stderr led somewhere, buffered as on a user's machine unless told otherwise."""

    def __init__(self, store: Path, folder: Path) -> None:
        self._places = {"store": str(store), "folder": str(folder)}
        (folder / "spool").mkdir(exist_ok=True)
        ours = {"BANLEDGER_STORE": str(store), "BANLEDGER_SPOOL": str(folder / "spool")}
        self.env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | ours

    def words(self, line: str) -> list[str]:
        return [sys.executable, "-m", "banledger", *shlex.split(line.format(**self._places))]

    def run(self, line: str, redirection: str = "", **env: str) -> tuple[int, str, str]:
        """The exit code, stdout and stderr; `redirection`: in the shell's words."""
        script = f'exec "$@" {redirection}'
        done = subprocess.run(
            ["bash", "-c", script, "bash", *self.words(line)],
            capture_output=True, text=True, timeout=60, env=self.env | env,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def run_without_reader(self, line: str, descriptor: int, **env: str) -> tuple[int, str]:
        """The exit code, and what came out of the other one, with a pipe whose reader has gone at a descriptor."""
        read_end, write_end = os.pipe()
        os.close(read_end)
        streams = {"stdout": write_end, "stderr": subprocess.PIPE}
        if descriptor == 2:
            streams = {"stdout": subprocess.PIPE, "stderr": write_end}
        done = subprocess.run(self.words(line), text=True, timeout=60, env=self.env | env, **streams)  # type: ignore[call-overload]
        os.close(write_end)
        return done.returncode, done.stderr if descriptor == 1 else done.stdout


@pytest.fixture
def terminal(store: Path, tmp_path: Path) -> Terminal:
    """On a ledger that knows a network."""
    know(store)
    return Terminal(store, tmp_path)


def _talk_of(err: str) -> list[str]:
    """What was said, but for progress."""
    return [line for line in err.splitlines() if not line.endswith(" ...")]


@pytest.mark.parametrize("line", PRINTING)
def test_a_closed_pipe_ends_a_command_silently_with_141(terminal: Terminal, line: str) -> None:
    code, err = terminal.run_without_reader(line, 1)
    assert (code, _talk_of(err)) == (141, [])
    code, err = terminal.run_without_reader(line, 1, PYTHONUNBUFFERED="1")
    assert (code, _talk_of(err)) == (141, [])


@pytest.mark.parametrize("line", PRINTING)
def test_output_that_cannot_be_written_is_an_error(terminal: Terminal, line: str) -> None:
    for redirection, said in ((">/dev/full", NO_SPACE), (">&-", CLOSED), (">&- <&-", CLOSED)):
        code, out, err = terminal.run(line, redirection)
        assert (code, out, _talk_of(err)) == (11, "", [said]), redirection
    for redirection in (">/dev/full 2>/dev/full", ">&- 2>&-", ">&- 2>&- <&-"):
        assert terminal.run(line, redirection) == (11, "", ""), redirection


@pytest.mark.parametrize("line", PRINTING)
def test_a_stderr_that_cannot_be_written_changes_nothing(terminal: Terminal, line: str) -> None:
    for redirection in ("2>&-", "2>/dev/full"):
        code, out, err = terminal.run(line, redirection)
        assert (code, err) == (1 if line.startswith("kv DEL") else 0, "")
        assert out


@pytest.mark.parametrize("line", TALKING)
def test_a_closed_stderr_pipe_ends_a_command_with_141(terminal: Terminal, line: str) -> None:
    assert terminal.run_without_reader(line, 2) == (141, "")


def test_an_error_keeps_its_code_if_it_cannot_be_printed(terminal: Terminal) -> None:
    for redirection in ("2>&-", "2>/dev/full", ">&- 2>&-"):
        assert terminal.run("report --since soon", redirection) == (2, "", "")


def test_what_was_printed_comes_before_the_error(terminal: Terminal, store: Path) -> None:
    import sqlite3

    with sqlite3.connect(store) as database:
        database.execute("DELETE FROM ranking WHERE member = '192.0.2.1'")
    database.close()

    code, out, _ = terminal.run("store check", "2>&1")

    said = _talk_of(out)
    assert code == 9 and [line.partition(" ")[0] for line in said[-2:]] == ["error:", "hint:"]
    assert said[0].startswith("bans:")


def test_no_opened_file_gets_a_standard_descriptor(terminal: Terminal, store: Path) -> None:
    before = store.read_bytes()

    assert terminal.run("report", "<&- >&- 2>&-")[0] == 11
    assert store.read_bytes() == before


def test_a_pipe_that_does_not_block_gets_everything(terminal: Terminal) -> None:
    read_end, write_end = os.pipe()
    room = fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(write_end, False)
    child = subprocess.Popen(terminal.words("bans --json"), stdout=write_end, stderr=subprocess.PIPE, env=terminal.env)
    os.close(write_end)
    while child.poll() is None and _waiting_in(read_end) < room:
        time.sleep(0.01)
    with os.fdopen(read_end) as pipe:
        lines = pipe.read().splitlines()
    _, err = child.communicate(timeout=60)

    assert (child.returncode, err, len(lines)) == (0, b"", 31)


def _waiting_in(pipe: int) -> int:
    """How many bytes nobody has read yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_every_command_is_tried() -> None:
    tried = {line.partition(" ")[0] for line in PRINTING} | set(ELSEWHERE)

    assert tried >= set(commands.list_commands(click.Context(commands)))
    for test in ELSEWHERE.values():
        path, _, name = test.partition("::")
        assert f"def {name}(" in (Path(__file__).parents[3] / path).read_text()


@pytest.fixture
def broken() -> Iterator[int]:
    """A pipe without a reader."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    yield write_end
    os.close(write_end)


@pytest.mark.parametrize("data", [True, False])
def test_a_stream_fails_once_and_then_drops_output(broken: int, data: bool) -> None:
    stream = _Guarded(broken, data=data)

    with pytest.raises(ReaderGone) as raised:
        stream.write(b"lost")

    assert raised.value.code == 128 + signal.SIGPIPE
    assert stream.write(b"lost too") == 8
