"""`banledger demo` as a user runs it: what it shows, what it leaves, what it doesn't."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from banledger.demo import directory
from banledger.demo.installation import Installation
from banledger.ledger.check import check
from banledger.ledger.opening import open_to_read
from banledger.ledger.reader import LedgerReader
from tests.conftest import MakeServer
from tests.support.servers import flavour_named

from .conftest import wait_for

pytestmark = pytest.mark.e2e


@dataclass
class Theatre:
    """A directory for a demo and all that it could write to; its processes bear a mark."""

    directory: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        for name in ("home", "tmp"):
            (self.directory / name).mkdir()

    @property
    def kept(self) -> Path:
        return self.directory / "kept"

    def start(self, *options: str, keep: bool = True, redirection: str = "", **env: str) -> subprocess.Popen[str]:
        script = f'exec "$@" {redirection}'
        words = [sys.executable, "-m", "banledger", "demo", *options, *(["--keep", str(self.kept)] if keep else [])]
        home, tmp = self.directory / "home", self.directory / "tmp"
        ours = {"HOME": str(home), "TMPDIR": str(tmp), "BANLEDGER_TEST": self.mark, "COLUMNS": "80"}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "PYTHON"))}
        return subprocess.Popen(
            ["bash", "-c", script, "bash", *words],
            env=inherited | ours | env,
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *options: str, keep: bool = True, **env: str) -> tuple[int, str, str]:
        child = self.start(*options, keep=keep, **env)
        out, err = child.communicate(timeout=120)
        return child.returncode, out, err

    def processes(self) -> list[str]:
        """Command lines of the processes that come from here and live."""
        return [words for path in Path("/proc").glob("[0-9]*") if (words := self._words(path))]

    def _words(self, path: Path) -> str:
        try:
            ours = self.mark.encode() in (path / "environ").read_bytes()
            return (path / "cmdline").read_bytes().replace(b"\0", b" ").decode() if ours else ""
        except OSError:
            return ""

    def left(self) -> set[str]:
        """What lies where nothing should be left."""
        return {str(path.relative_to(self.directory)) for name in ("home", "tmp") for path in self.children(name)}

    def children(self, name: str) -> Iterator[Path]:
        return (self.directory / name).rglob("*")


@pytest.fixture
def theatre(installation: Installation) -> Iterator[Theatre]:
    with tempfile.TemporaryDirectory(prefix="demo-") as directory:  # a socket's path must be short
        yield Theatre(Path(directory))


def ledger(theatre: Theatre) -> LedgerReader:
    return open_to_read(str(theatre.kept / directory.LEDGER), "bans")


def test_a_demo_shows_many_bans_and_leaves_only_its_ledger(theatre: Theatre) -> None:
    code, out, err = theatre.run()

    assert (code, err) == (0, "")
    reader = ledger(theatre)
    days = reader.days()
    assert sum(days.values()) >= 100 and len(days) >= 14 and reader.distinct("country") >= 5
    assert reader.distinct("jail") == 2
    assert list(check(reader.store(), reader.keys)) == []
    assert f"It made {sum(days.values())} bans" in out
    assert f"{sum(days.values())} in force now" in out
    assert theatre.processes() == []
    assert theatre.left() == set()
    reader.close()


def test_the_demos_report_is_real_and_fits_the_screen(theatre: Theatre) -> None:
    _, out, _ = theatre.run(BANLEDGER_STORE="/nonexistent/of-the-settings.db")
    shown = out.splitlines()

    assert [line for line in shown if len(line) > 80 and str(theatre.kept) not in line and "PATH=" not in line] == []
    assert "\x1b" not in out
    asked = [line for line in shown if line.startswith("$ banledger kv ")]
    assert [line.split()[3] for line in asked] == ["ZREVRANGE", "SCARD", "SMEMBERS", "HGETALL"]
    for line in asked:
        question = line.removeprefix("$ ")
        script = f'banledger() {{ "{sys.executable}" -m banledger "$1" --no-raw "${{@:2}}"; }}; {question}'
        env = os.environ | {"BANLEDGER_STORE": str(theatre.kept / directory.LEDGER)}
        answer = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=True).stdout
        at = shown.index(line) + 1
        assert [text[:79] for text in answer.splitlines()[:3]] == [text[:79] for text in shown[at : at + 3]][
            : len(answer.splitlines())
        ]


def test_a_demo_may_be_repeated_in_the_same_place_and_twice_at_once(theatre: Theatre) -> None:
    first, second = theatre.start(), theatre.start()
    outs = [child.communicate(timeout=120) for child in (first, second)]

    assert (first.returncode, second.returncode) == (0, 0)
    assert sorted(err for _, err in outs)[0] == ""
    assert theatre.run()[0] == 0
    reader = ledger(theatre)
    assert sum(reader.days().values()) < 300
    reader.close()
    assert theatre.processes() == []


def test_without_a_directory_the_demo_prints_the_path_of_its_ledger(theatre: Theatre) -> None:
    code, out, _ = theatre.run(keep=False)

    assert code == 0
    [home] = (theatre.directory / "tmp").iterdir()
    assert f"export BANLEDGER_STORE={home / directory.LEDGER}" in out
    assert out.endswith(f"\n  rm -r {home}\n  unset BANLEDGER_STORE\n")


def test_a_demo_on_a_store_records_bans_once_when_repeated(theatre: Theatre) -> None:
    store = theatre.directory / "mine.db"
    for expected in ("199 new bans.", "0 new bans, 199 known before."):
        code, out, err = theatre.run("--store", str(store))
        assert (code, err) == (0, "")
        assert expected in out
    assert not (theatre.kept / directory.LEDGER).exists()


@pytest.mark.parametrize("first", ["the demo", "its log"])
def test_the_log_of_a_demo_adds_no_ban(theatre: Theatre, first: str) -> None:
    assert theatre.run()[0] == 0
    spool, store = theatre.directory / "spool", theatre.directory / "mine.db"
    spool.mkdir(mode=0o2770)
    log = theatre.kept / "fail2ban.log"
    for step in (first, "the demo" if first == "its log" else "its log"):
        if step == "its log":
            words = ("import", str(log), "--server", "demo", "--spool", str(spool))
            subprocess.run([sys.executable, "-m", "banledger", *words], capture_output=True, check=True)
            words = ("record", "--once", "--spool", str(spool), "--store", str(store))
            subprocess.run([sys.executable, "-m", "banledger", *words], capture_output=True, check=True)
        else:
            assert theatre.run("--store", str(store))[0] == 0
    with closing(open_to_read(str(store), "bans")) as reader:
        assert sum(reader.days().values()) == 199
        assert list(check(reader.store(), reader.keys)) == []


def test_a_demo_records_into_a_server(theatre: Theatre, private_server: MakeServer) -> None:
    server = private_server(flavour_named("redis-7"))
    code, out, err = theatre.run("--store", server.url)

    assert (code, err) == (0, "")
    assert re.search(r"\nIts dates were moved: \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d\.\n", out)
    assert "199 new bans." in out and f"export BANLEDGER_STORE={server.url}" in out
    assert server.cli("ZCARD", "bans:top:jail") == "2"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["server is born", "server reads"])
def test_an_interrupted_demo_leaves_nothing(theatre: Theatre, number: signal.Signals, moment: str) -> None:
    child = theatre.start()
    wait_for(lambda: any("fail2ban-server" in words for words in theatre.processes()))
    if moment == "server reads":
        wait_for(lambda: any("Found" in log.read_text() for log in theatre.directory.rglob("fail2ban.log")))
    child.send_signal(number)
    child.send_signal(number)
    child.communicate(timeout=60)

    assert child.returncode == (130 if number == signal.SIGINT else -number)
    assert theatre.processes() == []
    assert theatre.left() == set()
    assert [path.name for path in theatre.kept.iterdir()] == [directory.MARK]


def test_a_closed_pipe_leaves_no_process(theatre: Theatre) -> None:
    child = theatre.start()
    assert child.stdout is not None and child.stderr is not None
    child.stdout.close()
    assert child.wait(timeout=60) == 141
    assert child.stderr.read() == ""
    child.stderr.close()

    assert theatre.processes() == []
    assert theatre.left() == set()


@pytest.mark.parametrize(
    ("redirection", "code"),
    [(">/dev/full", 11), (">&-", 11), (">&- 2>&- <&-", 11), ("2>&-", 0), ("2>/dev/full", 0)],
)
def test_output_that_cannot_be_written_leaves_no_process(theatre: Theatre, redirection: str, code: int) -> None:
    child = theatre.start(redirection=redirection)
    out, err = child.communicate(timeout=120)

    assert (child.returncode, bool(out)) == (code, code == 0)
    assert err == (err and f"error: can't write the output: {os.strerror(28 if 'full' in redirection else 9)}\n")
    assert bool(err) == ("2>" not in redirection)
    assert theatre.processes() == []
    assert theatre.left() == set()


def test_a_missing_fail2ban_is_reported_and_nothing_is_made(theatre: Theatre) -> None:
    code, out, err = theatre.run(BANLEDGER_FAIL2BAN=str(theatre.directory / "home"))

    assert (code, out) == (8, "")
    assert err.startswith("error: ") and "\nhint: " in err
    assert not theatre.kept.exists()


def test_a_foreign_ledger_is_refused_before_anything_runs(theatre: Theatre) -> None:
    store = theatre.directory / "production.db"
    theatre.run("--store", str(store))
    _relabel(store)

    code, _, err = theatre.run("--store", str(store))

    assert code == 1
    assert err.startswith("error: this ledger has bans of other servers: web1\n")


def _relabel(store: Path) -> None:
    import sqlite3

    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE ranking SET member = 'web1' WHERE member = 'demo'")
    connection.close()
