"""Over a real server: the recorder dies before any round trip, and several recorders write at once."""

from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banledger.ledger.check import check
from banledger.ledger.writer import Ledger
from banledger.spool.events import Event
from banledger.stores.connect import Access, _client
from banledger.stores.redis.engine import RedisEngine
from tests.contract.conftest import KEYS, dump
from tests.contract.test_ledger import fresh
from tests.support.lines import ban, events, nowhere, prolong, unban
from tests.support.servers import StoreServer
from tests.support.world import ADDRESSES, Clock, live, wrong


class Crash(BaseException):
    """The process died."""


class Dying(RedisEngine):
    """Dies before it sends or receives for the n-th time, or just after that."""

    left = 1_000_000
    after = False

    def call(self, *command: Any) -> Any:
        return self._perhaps(lambda: super(Dying, self).call(*command))

    def _send(self, *args: Any) -> None:
        self._perhaps(lambda: super(Dying, self)._send(*args))

    def _receive(self, *args: Any) -> list[Any]:
        answer: list[Any] = self._perhaps(lambda: super(Dying, self)._receive(*args))
        return answer

    def _perhaps(self, ask: Callable[[], Any]) -> Any:
        self.left -= 1
        if self.left < 0 and not self.after:
            raise Crash
        answer = ask()
        if self.left < 0:
            raise Crash
        return answer


def engine(server: StoreServer) -> Dying:
    """A mortal engine over the server."""
    return Dying(_client(server.url, Access()), server.url, KEYS)


_batches = st.lists(st.lists(events, max_size=6), max_size=3)
_crashes = st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=5)


@given(_batches, _crashes)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_a_crash_before_or_after_any_request_or_reply_is_healed(
    redis_server: StoreServer, batches: list[list[Event]], crashes: list[tuple[int, bool]]
) -> None:
    _, model = fresh()
    for batch in batches:
        model.record(batch, nowhere)
    redis_server.flush()
    for left, after in [*crashes, (1_000_000, False)]:
        mortal = engine(redis_server)
        mortal.left, mortal.after = left, after
        try:
            ledger = Ledger(mortal, KEYS, "Europe/Berlin")
            for batch in batches:
                ledger.record(batch, nowhere)
        except Crash:
            mortal.close()
    assert dump(mortal) == dump(model.store())
    assert list(check(mortal, KEYS)) == []
    mortal.close()


def test_whois_resumes_after_a_crash_before_or_after_any_request(redis_server: StoreServer) -> None:
    lines = [ban(address, 1_795_400_000 + number) for number, address in enumerate(ADDRESSES)]
    left, died = 0, True
    while died:
        redis_server.flush()
        clock = Clock(1_795_400_100.0)
        mortal = engine(redis_server)
        mortal.left, mortal.after, died = left, bool(left % 2), False
        try:
            live(Ledger(mortal, KEYS, "UTC", "machine"), lines, clock)
        except Crash:
            died = True
        mortal.close()
        clock.now += 61.0  # the lease of the dead runs out
        next_one = Ledger(engine(redis_server), KEYS, "UTC", "machine")
        live(next_one, lines, clock)
        assert wrong(next_one) == [], left
        next_one.close()
        left += 3 if left > 30 else 1
    assert left > 60


def test_recorders_that_write_the_same_bans_at_once_leave_each_ban_once(redis_server: StoreServer) -> None:
    lines: list[Event] = []
    for number in range(300):
        fid = f"192.0.2.{number % 50}"
        time = 1_795_400_000 + number // 50
        lines += [ban(fid, time), prolong(fid, time, seen=time + 2), unban(fid, time, seen=time + number % 7)]
    _, model = fresh()
    model.record(lines, nowhere)

    def work(own: list[Event]) -> None:
        ledger = Ledger(engine(redis_server), KEYS, "Europe/Berlin")
        for start in range(0, len(own), 37):
            ledger.record(own[start : start + 37], nowhere)
        ledger.close()

    threads = [Thread(target=work, args=(own,)) for own in (lines, lines[::-1], lines[1::2] + lines[::2])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = engine(redis_server)
    assert dump(last) == dump(model.store())
    assert list(check(last, KEYS)) == []
    last.close()


class Late(RedisEngine):
    """Something else happens before it does what follows outside."""

    meanwhile: Callable[[], None] | None = None

    def _make_true(self, *args: Any) -> None:
        if self.meanwhile:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        super()._make_true(*args)


@pytest.mark.parametrize("starts_late", [False, True])
def test_a_late_recorder_keeps_changes_another_made_meanwhile(redis_server: StoreServer, *, starts_late: bool) -> None:
    lines: list[Event] = [ban("192.0.2.1", 1_795_400_000), ban("192.0.2.2", 1_795_400_000)]
    more: list[Event] = [unban("192.0.2.1", 1_795_400_000, seen=1_795_400_060)]
    _, model = fresh()
    model.record([*lines, *more], nowhere)
    slow = Late(_client(redis_server.url, Access()), redis_server.url, KEYS)
    ledger = Ledger(slow, KEYS, "Europe/Berlin")
    other = None if starts_late else Ledger(engine(redis_server), KEYS, "Europe/Berlin")

    def amend() -> None:  # who starts settles what the slow one has not finished
        (other or Ledger(engine(redis_server), KEYS, "Europe/Berlin")).record(more, nowhere)

    slow.meanwhile = amend
    ledger.record(lines, nowhere)
    assert dump(slow) == dump(model.store())
    assert list(check(slow, KEYS)) == []
    ledger.close()
