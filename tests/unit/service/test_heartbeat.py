"""The heartbeat that a recorder writes."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from banledger.clock import SETTLED_S, ClockWatch
from banledger.errors import LedgerChanged
from banledger.ledger.heartbeat import Heartbeat
from banledger.ledger.heartbeats import BEAT_S, KEPT_S
from banledger.ledger.keys import Keyspace
from banledger.ledger.opening import open_to_read
from banledger.ledger.writer import Ledger, open_to_write
from banledger.service.heartbeat import LOOK_S
from banledger.service.recorder import Recorder
from banledger.service.systemd import Notifier
from banledger.spool.events import GapLine
from banledger.spool.reader import SpoolReader
from banledger.stores.api import Repair
from tests.conftest import MakeServer
from tests.support.lines import encode, gap, nowhere
from tests.support.segments import NOW, Writer
from tests.support.servers import flavour_named
from tests.support.world import Clock

ME = "0123456789ab"
Make: TypeAlias = Callable[..., Recorder]
Read: TypeAlias = Callable[[], list[Heartbeat]]


def me(**fields: Any) -> Heartbeat:
    all_: dict[str, Any] = {"written": NOW, "since": NOW, "host": "web1", "pid": 7, "version": "1", "id": ME} | fields
    return Heartbeat(**all_)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@pytest.fixture
def elapsed() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def connect(tmp_path: Path) -> Callable[[], Ledger]:
    return lambda: open_to_write(str(tmp_path / "ledger.db"), "bans", "UTC")


@pytest.fixture
def make(spool: Path, elapsed: Clock, connect: Callable[[], Ledger]) -> Iterator[Make]:
    made: list[Recorder] = []

    def make_(connect: Callable[[], Ledger] = connect, **more: Any) -> Recorder:
        chosen: dict[str, Any] = {"watch": ClockWatch(elapsed), "me": me()} | more
        made.append(Recorder(SpoolReader(spool), connect, nowhere, **chosen))
        return made[-1]

    yield make_
    for one in made:
        one.close()


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read_() -> list[Heartbeat]:
        with closing(open_to_read(str(tmp_path / "ledger.db"), "bans")) as ledger:
            return ledger.heartbeats()

    return read_


@pytest.fixture
def writer(spool: Path) -> Iterator[Writer]:
    made = Writer(spool)
    yield made
    made.close()


def test_the_first_step_writes_it(make: Make, read: Read) -> None:
    make().step(NOW)
    (beat,) = read()
    assert (beat.id, beat.host, beat.written, beat.whois) == (ME, "web1", NOW, "disabled")
    assert beat.ahead is not None


def test_without_an_identity_none_is_written(make: Make, read: Read) -> None:
    one = make(me=None)
    one.step(NOW)
    one.close()
    assert read() == []


def test_it_is_written_again_when_nothing_changed_and_seldom(make: Make, elapsed: Clock, read: Read) -> None:
    one, written = make(), []
    for second in range(int(3 * BEAT_S)):
        one.step(NOW + second)
        written.append(read()[0].written)
        elapsed.now += 1.0
    assert len(set(written)) == 3


def test_a_ban_is_in_it_soon(make: Make, elapsed: Clock, read: Read, writer: Writer) -> None:
    one = make()
    one.step(NOW)
    writer.write("192.0.2.1", "192.0.2.2")
    for second in range(1, int(LOOK_S) + 1):
        elapsed.now += 1.0
        one.step(NOW + second)
    (beat,) = read()
    assert (beat.lines, beat.labels, beat.waiting) == (2, ("web1",), 0)
    assert beat.last_recorded == NOW + 1
    assert beat.delay_s is not None


def test_the_last_ban_is_named_by_its_id(
    make: Make, elapsed: Clock, read: Read, writer: Writer, tmp_path: Path
) -> None:
    writer.write("192.0.2.1")
    make().step(NOW)
    (beat,) = read()
    with closing(open_to_read(str(tmp_path / "ledger.db"), "bans")) as ledger:
        (ban_,) = ledger.bans([beat.last_id])
    assert ban_ is not None
    assert ban_.ip == "192.0.2.1"
    assert beat.last_ban == ban_.seen


def test_a_line_that_is_read_again_is_no_new_ban(make: Make, read: Read, spool: Path, writer: Writer) -> None:
    writer.write("192.0.2.1")
    one = make(keep=False)
    one.step(NOW)
    one.close()
    before = read()[0]
    make(keep=False).step(NOW + 60)
    assert read()[0].lines == 1
    assert (read()[0].last_recorded, read()[0].delay_s) == (before.last_recorded, None)


def test_a_backlog_is_told_with_its_age(make: Make, elapsed: Clock, read: Read, writer: Writer) -> None:
    writer.write(*(f"192.0.2.{number}" for number in range(100)))
    make(batch=10).step(NOW)
    (beat,) = read()
    assert 60 < beat.waiting < 120
    assert beat.waiting_bytes > 0
    assert beat.oldest_s > 0


class Twice:
    """Ends the loop after two steps."""

    def __init__(self) -> None:
        self.waits = 0

    @property
    def stopped(self) -> bool:
        return self.waits >= 2

    def wait(self, _seconds: float) -> None:
        self.waits += 1


def test_a_spool_that_cannot_be_read_is_told(make: Make, spool: Path, read: Read) -> None:
    one = make()
    one.step(NOW)
    shutil.rmtree(spool)
    one.run(Twice(), Notifier(""))
    (beat,) = read()
    assert beat.waits.startswith("can't read the spool")
    assert beat.waits_since > 0
    spool.mkdir()
    one.run(Twice(), Notifier(""))
    assert (read()[0].waits, read()[0].waits_since) == ("", 0.0)


def test_what_waits_is_what_was_seen_last_while_it_cannot_be_seen(
    make: Make, read: Read, spool: Path, writer: Writer, elapsed: Clock
) -> None:
    for number in range(100):  # more segments than are opened at once
        writer.write(f"192.0.2.{number}")
        writer.rotate()
    one = make(batch=10)
    one.step(NOW)
    waiting = read()[0].waiting
    spool.rename(spool.with_name("away"))
    spool.touch()  # no directory can be listed there
    one.run(Twice(), Notifier(""))
    (beat,) = read()
    assert (beat.unseen, beat.waiting) == (True, waiting)
    spool.unlink()
    spool.with_name("away").rename(spool)
    one.run(Twice(), Notifier(""))
    assert not read()[0].unseen


def test_lost_events_are_counted(make: Make, read: Read, writer: Writer) -> None:
    line = gap()
    (writer.path.parent / "1700000000000-0000000b-1.jsonl").write_bytes(encode(line))
    make().step(NOW)
    assert isinstance(line, GapLine)
    assert read()[0].lost == line.bans + line.others


def test_rejected_lines_are_counted_once(make: Make, read: Read, writer: Writer, elapsed: Clock) -> None:
    (writer.path.parent / "1700000000000-0000000b-1.jsonl").write_bytes(b"no line\n")
    one = make()
    one.step(NOW)
    elapsed.now += LOOK_S
    one.step(NOW + LOOK_S)
    assert read()[0].rejected == 1


def test_a_clean_stop_is_told(make: Make, read: Read) -> None:
    one = make()
    one.step(NOW)
    one.close()
    assert read()[0].stopped > 0


def test_a_recorder_that_never_recorded_does_not_stop_another(make: Make, read: Read) -> None:
    make().step(NOW)
    make(me=me(pid=8)).close()
    (beat,) = read()
    assert (beat.pid, beat.stopped) == (7, 0.0)


def test_the_next_run_takes_over_labels_and_the_last_ban(make: Make, read: Read, writer: Writer) -> None:
    writer.write("192.0.2.1")
    writer.close()
    one = make(keep=False)
    one.step(NOW)
    one.close()
    make(me=me(pid=8, since=NOW + 60)).step(NOW + 60)
    (beat,) = read()
    assert (beat.pid, beat.stopped, beat.lines) == (8, 0.0, 0)
    assert beat.labels == ("web1",)
    assert (beat.last_id, beat.last_recorded) != ("", 0.0)


def test_an_embedded_ledger_has_one_recorder(
    make: Make, read: Read, connect: Callable[[], Ledger], elapsed: Clock
) -> None:
    with closing(connect()) as ledger:
        ledger.beat(me(id="ffffffffffff", host="before"))
    make().step(NOW)
    assert [beat.host for beat in read()] == ["web1"]


def test_on_a_server_heartbeats_of_others_are_removed_when_they_are_gone_for_long(
    make: Make, elapsed: Clock, private_server: MakeServer
) -> None:
    server = private_server(flavour_named("redis-7"))
    one = make(connect=lambda: open_to_write(server.url, "bans", "UTC"))
    one.step(NOW)
    with closing(open_to_write(server.url, "bans", "UTC")) as ledger:
        ledger.beat(me(id="a" * 12, host="gone", stopped=NOW, written=NOW - KEPT_S))
        ledger.beat(me(id="b" * 12, host="lately", stopped=NOW, written=NOW - KEPT_S + 4 * SETTLED_S))
        elapsed.now += SETTLED_S - 1
        one.step(NOW + SETTLED_S - 1)
        assert {beat.host for beat in ledger.heartbeats()} == {"web1", "gone", "lately"}  # our clock may be wrong
        elapsed.now += SETTLED_S
        one.step(NOW + 2 * SETTLED_S - 1)
        assert {beat.host for beat in ledger.heartbeats()} == {"web1", "lately"}


def test_settings_of_a_server_are_told_until_they_are_mended(
    make: Make, elapsed: Clock, private_server: MakeServer
) -> None:
    server = private_server(flavour_named("redis-7"), appendonly=False)
    one = make(connect=lambda: open_to_write(server.url, "bans", "UTC"))
    one.step(NOW)
    with closing(open_to_read(server.url, "bans")) as ledger:
        assert ["append-only file" in caution for beat in ledger.heartbeats() for caution in beat.cautions] == [True]
        server.cli("CONFIG", "SET", "appendonly", "yes")
        elapsed.now += BEAT_S
        one.step(NOW + BEAT_S)
        assert [beat.cautions for beat in ledger.heartbeats()] == [()]


def test_a_broken_key_stops_no_recording(
    make: Make, read: Read, connect: Callable[[], Ledger], writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    keys = Keyspace("bans")
    with closing(connect()) as ledger:
        ledger._engine.mend(Repair(joins=[(keys.heartbeats, "a set")]))
    writer.write("192.0.2.1")
    assert make().step(NOW).new == 1
    assert "can't write a heartbeat" in caplog.text


def test_a_ledger_that_changed_is_noticed_by_the_heartbeat_and_said(
    make: Make, read: Read, writer: Writer, elapsed: Clock, tmp_path: Path
) -> None:
    one = make()
    one.step(NOW)
    (tmp_path / "ledger.db-wal").unlink()
    elapsed.now += 2 * BEAT_S
    with pytest.raises(LedgerChanged):
        one.step(NOW + 60)
    writer.write("192.0.2.1")
    assert one.step(NOW + 61).new == 1
