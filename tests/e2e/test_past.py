"""The log and the database of a real fail2ban, imported beside what its action recorded live: each ban once."""

import gzip
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import permutations
from pathlib import Path
from typing import TypeAlias

import pytest

from banledger.demo.installation import Installation
from banledger.ledger.ban import Ban
from banledger.ledger.check import check
from banledger.ledger.opening import open_to_read
from tests.support.fail2ban import PrivateServer

from .conftest import Stage, wait_for

pytestmark = pytest.mark.e2e

Seen: TypeAlias = dict[str, tuple[object, ...]]
_SECOND = ("192.0.2.2", "192.0.2.5")


class Past:
    """What a server left: its live lines, its log with a rotation, its database; and ledgers made of them.

    log     the directory of the log and its rotation
    pieces  the same text in three pieces
    """

    def __init__(self, stage: Stage, server: PrivateServer) -> None:
        self.directory = stage.directory
        self.live = stage.directory / "live"
        shutil.copytree(stage.spool, self.live)
        self.log = stage.directory / "logs"
        self.log.mkdir()
        text = (_rotated(server).read_bytes(), server.log_file.read_bytes())
        (self.log / "fail2ban.log.1.gz").write_bytes(gzip.compress(text[0]))
        (self.log / "fail2ban.log").write_bytes(text[1])
        lines = b"".join(text).splitlines(keepends=True)
        first, second = len(lines) // 3, 2 * len(lines) // 3
        self.pieces = [stage.directory / name for name in ("x", "y.gz", "z")]
        self.pieces[0].write_bytes(b"".join(lines[:first]))
        self.pieces[1].write_bytes(gzip.compress(b"".join(lines[first:second])))
        self.pieces[2].write_bytes(b"".join(lines[second:]))
        self.database = server.database
        self._made = 0

    def ledger(self, *steps: Sequence[Path]) -> list[Ban]:
        """The bans of a new ledger after these steps: the live spool, or one import of these files."""
        self._made += 1
        home = self.directory / f"ledger{self._made}"
        (home / "spool").mkdir(parents=True)
        (home / "spool").chmod(0o2770)
        for paths in steps:
            if self.live in paths:
                for segment in self.live.glob("*.jsonl"):
                    shutil.copy(segment, home / "spool")
            else:
                banledger("import", *map(str, paths), "--server", "web1", "--spool", str(home / "spool"))
            banledger("record", "--once", "--spool", str(home / "spool"), "--store", str(home / "ledger.db"))
        with closing(open_to_read(str(home / "ledger.db"), "bans")) as reader:
            assert list(check(reader.store(), reader.keys)) == []
            ids = sorted({id_ for day in reader.days() for id_ in reader.ids_of_day(day)})
            return [ban for ban in reader.bans(ids) if ban is not None]


def banledger(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "banledger", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def seen(bans: Sequence[Ban]) -> Seen:
    """What must be the same, by id."""
    return {ban.id: (ban.jail, ban.fid, ban.time, ban.origin, ban.unbanned, ban.bantime, ban.bancount) for ban in bans}


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Past]:
    """Two days in the life of a server, in half a minute: bans, unbans, increments, restarts, reloads, a rotation."""
    stage = Stage(tmp_path_factory.mktemp("past"), request.getfixturevalue("installation"))
    jails = {"sshd": stage.jail(), "web-auth": stage.jail(**{"maxretry": "2", "bantime": "2h"})}
    server = stage.start(jails, defaults={"bantime.increment": "true"})
    try:
        _live(stage, server)
        server.stop()
        yield Past(stage, server)
    finally:
        server.stop()


def _live(stage: Stage, server: PrivateServer) -> None:
    for number in range(1, 9):
        stage.fail(f"192.0.2.{number}", user="root" if number % 2 else "pi")
    stage.fail("192.0.2.20")
    _logged(server, "Ban", "web-auth", 9)
    _logged(server, "Ban", "sshd", 9)
    server.client("set", "sshd", "banip", "198.51.100.0/24")
    server.client("set", "sshd", "unbanip", *_SECOND)
    _logged(server, "Unban", "sshd", 2)
    time.sleep(1.1)
    for address in _SECOND:
        stage.fail(address)
    _logged(server, "Ban", "sshd", 12)
    time.sleep(1)  # the observer writes to the database
    server.stop()
    server.start()
    _logged(server, "Restore Ban", "sshd", 10)
    server.log_file.rename(_rotated(server))
    server.client("flushlogs")
    stage.fail("192.0.2.9")
    _logged(server, "Ban", "sshd", 1)
    server.client("reload")
    server.client("reload", "--restart", "sshd")
    _logged(server, "Restore Ban", "sshd", 10)
    server.client("set", "sshd", "unbanip", "192.0.2.3")
    server.client("set", "web-auth", "unbanip", "192.0.2.4")
    time.sleep(1.5)


def _rotated(server: PrivateServer) -> Path:
    return server.log_file.with_name("fail2ban.log.1")


def _logged(server: PrivateServer, what: str, jail: str, count: int) -> None:
    wait_for(lambda: server.log_text().count(f"[{jail}] {what} ") >= count, 30)


def test_a_server_that_recorded_everything_gains_nothing_from_its_log_and_database(past: Past) -> None:
    live = seen(past.ledger([past.live]))
    assert len(live) == 13 + 10  # of sshd and of web-auth
    assert seen(past.ledger([past.live], [past.log, past.database])) == live
    assert seen(past.ledger([past.live], [past.log], [past.database], [past.log])) == live


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_the_order_of_live_lines_log_and_database_has_no_influence(past: Past, order: tuple[int, ...]) -> None:
    steps = [[past.live], [past.log], [past.database]]
    assert seen(past.ledger(*(steps[n] for n in order))) == seen(past.ledger([past.live]))


def test_without_live_lines_the_past_has_the_same_bans(past: Past) -> None:
    live = sorted(past.ledger([past.live]), key=_subject)
    bans = sorted(past.ledger([*past.pieces, past.database]), key=_subject)
    for ban, other in zip(bans, live, strict=True):
        assert (ban.jail, ban.fid, ban.origin, ban.open) == (other.jail, other.fid, "import", False)
        assert (ban.unbanned is None) == (other.unbanned is None)
        assert abs((ban.unbanned or 0) - (other.unbanned or 0)) < 1
        if ban.exact is None:
            assert (ban.time, ban.bantime, ban.bancount) == (other.time, other.bantime, other.bancount)
            assert ban.users == other.users
        else:  # fail2ban deletes the row of a ban that is lifted by hand
            assert ban.unbanned and abs(ban.time - other.time) <= 1
    assert sum(ban.exact is None for ban in bans) >= 19


def test_the_log_alone_has_as_many_bans_near_their_seconds(past: Past) -> None:
    live = sorted((ban.jail, ban.fid, ban.time) for ban in past.ledger([past.live]))
    bans = past.ledger([past.log])
    assert {ban.origin for ban in bans} == {"import"} and {ban.exact for ban in bans} <= {0, 1}
    for ban, (jail, fid, second) in zip(sorted(bans, key=_subject), live, strict=True):
        assert (ban.jail, ban.fid) == (jail, fid)
        assert abs(ban.time - second) <= 1


_TARGETS = [
    "",
    "[padding=off]",
    '[format="%(asctime)s %(levelname)s %(message)s"]',
    '[format="%(process)d | %(asctime)s | %(name)s | %(message)s"]',
    '[format="%(levelname)-5s | %(created)f | %(message)s"]',
    '[format="f2b %(relativeCreated)5d | %(asctime)s %(threadName)s: %(message)s", datetime=off]',
]


def test_logs_of_any_target_are_one_history(tmp_path: Path, installation: Installation) -> None:
    stage = Stage(tmp_path, installation)
    server = stage.start({"sshd": stage.jail()})
    logs = tmp_path / "logs"
    logs.mkdir()
    try:
        for number, target in enumerate(_TARGETS, 1):
            log = logs / f"{number}.log"
            server.client("set", "logtarget", f"{log}{target}")
            stage.fail(f"192.0.2.{number}")
            wait_for(lambda log=log: "] Ban " in log.read_text(), 30)  # type: ignore[misc]
    finally:
        server.stop()
    found = json.loads(banledger("import", str(logs), "--dry-run", "--json"))
    assert found["refused"] == []
    assert [(one["bans"], one["exact"], one["unbans_at_stops"]) for one in found["sources"]] == [
        *[(1, 1, 0)] * (len(_TARGETS) - 1),
        (1, 1, len(_TARGETS)),
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_import_that_was_interrupted_is_repeated(tmp_path: Path, number: signal.Signals) -> None:
    form = "2026-11-23 {:02d}:{:02d}:{:02d},{:03d} fail2ban.actions [4]: NOTICE  [sshd] Ban 10.{}.{}.{}\n"
    moments = [(n // 36_000, n // 600 % 60, n // 10 % 60, n % 10) for n in range(20_000)]
    log, spool, store = tmp_path / "log", tmp_path / "spool", tmp_path / "ledger.db"
    log.write_text("".join(form.format(*at, n >> 16, n >> 8 & 255, n & 255) for n, at in enumerate(moments)))
    spool.mkdir(mode=0o700)
    words = ("import", str(log), "--server", "web1", "--spool", str(spool))
    child = subprocess.Popen([sys.executable, "-m", "banledger", *words], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: any(path.stat().st_size for path in spool.glob("*.jsonl")), 30)
    child.send_signal(number)
    _, err = child.communicate(timeout=30)
    expected = (130, "interrupted") if number == signal.SIGINT else (-9, "")
    assert (child.returncode, err.partition(":")[0]) in (expected, (0, ""))  # a busy machine sends the signal too late

    banledger("record", "--once", "--spool", str(spool), "--store", str(store))
    with closing(open_to_read(str(store), "bans")) as reader:
        assert 0 < sum(reader.days().values()) <= 20_000
    banledger(*words)
    banledger("record", "--once", "--spool", str(spool), "--store", str(store))
    with closing(open_to_read(str(store), "bans")) as reader:
        assert sum(reader.days().values()) == 20_000
        assert list(check(reader.store(), reader.keys)) == []


def _subject(ban: Ban) -> tuple[object, ...]:
    return ban.jail, ban.fid, ban.time


_ORDERS: list[Callable[[Past], list[list[Path]]]] = [
    lambda past: [[past.pieces[2], past.pieces[0], past.pieces[1]]],
    lambda past: [[past.pieces[1], past.pieces[0]], [past.log]],
    lambda past: [[past.log], [past.log], past.pieces],
    lambda past: [[past.pieces[0]], [past.pieces[2]], [past.pieces[1]], past.pieces],
]


@pytest.mark.parametrize("steps", _ORDERS)
def test_pieces_of_a_log_in_any_order_and_repetition_are_the_log(
    past: Past, steps: Callable[[Past], list[list[Path]]]
) -> None:
    assert past.ledger(*steps(past)) == past.ledger([past.log])


def test_pieces_that_are_imported_one_by_one_count_no_ban_twice(past: Past) -> None:
    live = seen(past.ledger([past.live]))
    for order in permutations(past.pieces):
        assert seen(past.ledger(*([piece] for piece in order), [past.live], [past.database])) == live
