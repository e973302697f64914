"""A server's history, imported in separate commands: each ban once, and after all files together the same ledger."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert

from banledger.importer.database import DatabaseRow
from banledger.importer.past_lines import line_of_ban
from banledger.importer.survey import ImportedBan, survey
from banledger.ledger.ban import Ban
from banledger.ledger.progress import silent
from banledger.spool.events import BanLine
from tests.contract.test_ledger import Ticket, faults, fresh
from tests.contract.test_past import bans, lasting, record
from tests.support.lines import T0, ban, unban

_OFFENDERS = ("192.0.2.1", "192.0.2.2", "2001:db8::1")
_BANTIME = 600


@dataclass
class Server:
    """A fail2ban that writes its log; what the action tells live; the rows of its database.

    whole  places in the log, by the number of lines before them, where it isn't cut: within a stop
    """

    now: float = T0
    log: list[str] = field(default_factory=list)
    live: list[Ticket] = field(default_factory=list)
    rows: dict[tuple[str, int], DatabaseRow] = field(default_factory=dict)
    active: dict[str, int] = field(default_factory=dict)
    whole: set[int] = field(default_factory=set)
    count: int = 0

    def _write(self, logger: str, message: str) -> None:
        self.now = round(self.now + 0.013, 3)
        moment = datetime.fromtimestamp(self.now, UTC)
        self.log.append(f"{moment:%Y-%m-%d %H:%M:%S},{moment.microsecond // 1000:03d} fail2ban.{logger} {message}\n")

    def wait(self, seconds: float) -> None:
        """Let time pass; bans run out."""
        self.now += seconds
        for fid in [fid for fid, second in self.active.items() if second + _BANTIME < self.now]:
            self._write("actions [4]: NOTICE ", f"[sshd] Unban {fid}")
            self._lifted(fid)

    def _lifted(self, fid: str) -> None:
        self.live.append(unban(fid, self.active.pop(fid), self.now))

    def fail(self, fid: str, times: int) -> None:
        """Ban an offender for failures, unless it is banned."""
        for _ in range(times):
            self.wait(1.1)
            moment = datetime.fromtimestamp(self.now, UTC)
            self._write("filter [4]: INFO ", f"[sshd] Found {fid} - {moment:%Y-%m-%d %H:%M:%S}")
        second = int(self.now)
        if fid in self.active:
            self._write("actions [4]: NOTICE ", f"[sshd] {fid} already banned")
            return
        self.now += 0.7
        self._write("actions [4]: NOTICE ", f"[sshd] Ban {fid}")
        self.count += 1
        self.active[fid] = second
        self.live.append(ban(fid, second, self.now, failures=times))
        self.rows[fid, second] = DatabaseRow(second, "sshd", fid, _BANTIME, 1, times)

    def lift(self, fid: str) -> None:
        """Unban by hand: fail2ban deletes the row."""
        if fid in self.active:
            del self.rows[fid, self.active[fid]]
            self._write("actions [4]: NOTICE ", f"[sshd] Unban {fid}")
            self._lifted(fid)

    def restart(self) -> None:
        begun = len(self.log)
        self._write("server [4]: INFO ", "Stopping all jails")
        for fid in self.active:
            self._write("actions [4]: NOTICE ", f"[sshd] Unban {fid}")
        self._write("server [4]: INFO ", "Exiting Fail2ban")
        self._write("server [4]: INFO ", "Starting Fail2ban v1.0.2")
        self._write("jail [4]: INFO ", "Jail 'sshd' started")
        for fid, second in self.active.items():
            self._write("actions [4]: NOTICE ", f"[sshd] Restore Ban {fid}")
            self.live.append(ban(fid, second, self.now, restored=1, bancount=2))
        self.whole |= set(range(begun + 1, len(self.log)))


@st.composite
def servers(draw: st.DrawFn) -> Server:
    """A server's history of some minutes."""
    server = Server()
    for _ in range(draw(st.integers(1, 12))):
        fid = draw(st.sampled_from(_OFFENDERS))
        what = draw(st.sampled_from(["fail", "fail", "fail", "lift", "restart", "wait"]))
        server.wait(draw(st.sampled_from([0.3, 3.0, 30.0])))
        if what == "fail":
            server.fail(fid, draw(st.integers(1, 4)))
        elif what == "lift":
            server.lift(fid)
        elif what == "restart":
            server.restart()
        else:
            server.wait(draw(st.sampled_from([100.0, 650.0, 4000.0])))
    return server


@st.composite
def commands(draw: st.DrawFn, server: Server) -> list[list[str]]:
    """Parts of the log, one for each command: cut anywhere, in any order, some overlapping, some repeated."""
    end = len(server.log)
    places = [place for place in range(end) if place not in server.whole]
    cuts = sorted({0, *draw(st.lists(st.sampled_from(places or [0]), max_size=4)), end})
    pairs = list(pairwise(cuts))
    if len(cuts) > 2 and draw(st.booleans()):
        pairs.append((cuts[0], cuts[2]))
    pairs += draw(st.lists(st.sampled_from(pairs), max_size=2)) if pairs else []
    return [server.log[first:last] for first, last in draw(st.permutations(pairs))]


def imported(directory: Path, *parts: Sequence[str]) -> list[BanLine]:
    """The lines that one import of these logs writes."""
    for number, part in enumerate(parts):
        (directory / str(number)).write_text("".join(part))
    made: list[ImportedBan] = []
    paths = [str(directory / str(number)) for number in range(len(parts))]
    survey(paths, ZoneInfo("UTC"), T0 + 86_400.0, made.append, silent)
    return lines_of(made)


def lines_of(made: Sequence[ImportedBan]) -> list[BanLine]:
    lines = ({"seq": 0, **line_of_ban(one, "web1")} for one in made)
    return [convert({**line, "kind": "ban"}, BanLine) for line in lines]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@given(servers(), st.data())
def test_parts_of_a_log_make_each_ban_once_and_all_of_them_the_same_ledger(
    directory: Path, server: Server, data: st.DataObject
) -> None:
    _, ledger = fresh()
    for part in data.draw(commands(server)):
        record(ledger, *imported(directory, part))
    assert len(bans(ledger)) == server.count
    record(ledger, *imported(directory, server.log))
    _, at_once = fresh()
    record(at_once, *imported(directory, server.log))
    assert lasting(ledger.store()) == lasting(at_once.store())
    assert faults(ledger) == []


@given(servers(), st.data())
def test_parts_of_a_log_and_the_database_make_each_live_ban_once(
    directory: Path, server: Server, data: st.DataObject
) -> None:
    steps: list[Sequence[Ticket]] = [imported(directory, part) for part in data.draw(commands(server))]
    steps += [server.live, lines_of([*server.rows.values()])]
    _, ledger = fresh()
    for step in data.draw(st.permutations(steps)):
        record(ledger, *step)
    _, live = fresh()
    record(live, *server.live)
    assert {one.id: _end(one) for one in bans(ledger)} == {one.id: _end(one) for one in bans(live)}
    assert faults(ledger) == []


def _end(one: Ban) -> tuple[object, ...]:
    return one.origin, one.unbanned, one.bantime, one.bancount, one.failures


def test_a_server_writes_what_is_read(directory: Path) -> None:
    server = Server()
    server.fail("192.0.2.1", 3)
    server.restart()
    server.wait(700)
    (line,) = imported(directory, server.log)
    assert (line.time, line.found - line.first, line.failures) == (T0 + 3, 2, 3)
    assert line.unbanned > T0 + 600
    assert server.count == 1 and len(server.live) == 3
