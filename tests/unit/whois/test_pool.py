"""Turns of registries, and threads that ask."""

import time
from collections.abc import Callable

from banledger.ledger.network import Answer, Outcome
from banledger.whois.pool import Threads
from banledger.whois.throttle import Pace
from tests.support.world import Clock


def test_turns_of_a_registry_are_an_interval_apart_and_of_two_independent() -> None:
    clock = Clock(100.0)
    pace = Pace(clock, clock.sleep)
    assert not pace.try_take("ripe", 1.0)
    clock.now = 101.0
    moments = []
    for _ in range(3):
        pace.take("ripe", 1.0)
        moments.append(clock.now)
    assert moments == [101.0, 102.0, 103.0]
    assert not pace.try_take("ripe", 1.0) and pace.try_take("arin", 1.0)
    assert clock.now == 103.0


def test_who_wants_to_be_left_alone_is() -> None:
    clock = Clock(100.0)
    pace = Pace(clock, clock.sleep)
    pace.rest("ripe", 50.0)
    clock.now = 130.0
    assert pace.rests("ripe") and not pace.try_take("ripe", 1.0) and pace.take("ripe", 1.0) == 20.0
    assert clock.now == 130.0
    clock.now = 150.0
    assert not pace.rests("ripe") and pace.try_take("ripe", 1.0)


def test_who_begins_to_ask_gives_every_registry_a_rest() -> None:
    clock = Clock(100.0)
    pace = Pace(clock, clock.sleep)
    clock.now = 200.0
    pace.begin()
    assert not pace.try_take("lacnic", 6.0)
    assert pace.take("lacnic", 6.0) == 0.0
    assert clock.now == 206.0


def _answers(asker: Threads, count: int) -> list[Answer]:
    found: list[Answer] = []
    end = time.monotonic() + 10
    while len(found) < count and time.monotonic() < end:
        found += asker.take()
        time.sleep(0.01)
    return found


def test_threads_answer_later_and_a_bug_is_an_answer_too() -> None:
    def ask(address: str) -> Answer:
        if address == "bad":
            raise RuntimeError("oh")
        return Answer(address=address, registry="ripe", outcome=Outcome.NONE)

    asker = Threads(ask, 2)
    for address in ("192.0.2.1", "bad", "192.0.2.2"):
        asker.submit(address)
    answers = {answer.address: answer for answer in _answers(asker, 3)}
    assert answers["bad"].outcome is Outcome.FAILED and "oh" in answers["bad"].problem
    assert answers["192.0.2.1"].outcome is answers["192.0.2.2"].outcome is Outcome.NONE
    asker.close()


def test_taking_and_submitting_never_wait() -> None:
    gate: list[Callable[[], None]] = []

    def ask(address: str) -> Answer:
        while not gate:
            time.sleep(0.01)
        return Answer(address=address, registry="", outcome=Outcome.NONE)

    asker = Threads(ask, 1)
    for number in range(100):
        asker.submit(str(number))
    assert asker.take() == []
    gate.append(lambda: None)
    assert len(_answers(asker, 100)) == 100
    asker.close()
