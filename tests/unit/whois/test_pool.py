"""Turns of registries, and threads that ask."""

import time
from collections.abc import Callable

from banledger.ledger.ban import WAITING
from banledger.ledger.network import Answer, Outcome
from banledger.net.prefix import block
from banledger.whois.pool import ThreadPool
from banledger.whois.queue import Question
from banledger.whois.rdap.bootstrap import registry_at
from banledger.whois.rule import Knowledge
from banledger.whois.throttle import Throttle
from tests.support.world import Clock


def test_turns_of_a_registry_are_an_interval_apart_and_of_two_independent() -> None:
    clock = Clock(100.0)
    throttle = Throttle(clock, clock.sleep)
    throttle.begin()
    assert not throttle.try_take("ripe", 1.0)
    clock.now = 101.0
    moments = []
    for _ in range(3):
        throttle.take("ripe", 1.0)
        moments.append(clock.now)
    assert moments == [101.0, 102.0, 103.0]
    assert not throttle.try_take("ripe", 1.0) and throttle.try_take("arin", 1.0)
    assert clock.now == 103.0


def test_a_paused_registry_gets_no_question() -> None:
    clock = Clock(100.0)
    throttle = Throttle(clock, clock.sleep)
    throttle.pause("ripe", 50.0)
    clock.now = 130.0
    assert throttle.is_paused("ripe") and not throttle.try_take("ripe", 1.0) and throttle.take("ripe", 1.0) == 20.0
    assert clock.now == 130.0
    clock.now = 150.0
    assert not throttle.is_paused("ripe") and throttle.try_take("ripe", 1.0)


def test_a_turn_that_was_waited_for_has_not_come_if_the_registry_is_paused_meanwhile() -> None:
    clock = Clock(100.0)

    def sleep(seconds: float) -> None:
        clock.now += seconds
        throttle.pause("ripe", 30.0)

    throttle = Throttle(clock, sleep)
    assert throttle.take("ripe", 5.0) == 0.0
    assert throttle.take("ripe", 5.0) == 30.0


def test_a_recorder_that_begins_to_ask_leaves_every_registry_alone_for_an_interval() -> None:
    clock = Clock(100.0)
    throttle = Throttle(clock, clock.sleep)
    clock.now = 200.0
    throttle.begin()
    assert not throttle.try_take("lacnic", 6.0)
    assert throttle.take("lacnic", 6.0) == 0.0
    assert clock.now == 206.0


def question(address: str) -> Question:
    """A question about that address."""
    cell = block("192.0.2.0/24")
    return Question(registry_at("rdap.db.ripe.net"), address, Knowledge(WAITING, cell), [])


def _answers(pool: ThreadPool, count: int) -> list[Answer]:
    found: list[Answer] = []
    end = time.monotonic() + 10
    while len(found) < count and time.monotonic() < end:
        found += [answer for _, answer in pool.take()]
        time.sleep(0.01)
    return found


def test_threads_answer_later_and_a_bug_is_an_answer_too() -> None:
    def ask(address: str) -> Answer:
        if address == "bad":
            raise RuntimeError("oh")
        return Answer(address=address, registry="ripe", outcome=Outcome.NONE)

    pool = ThreadPool(ask, 2)
    for address in ("192.0.2.1", "bad", "192.0.2.2"):
        pool.submit(question(address))
    answers = {answer.address: answer for answer in _answers(pool, 3)}
    assert answers["bad"].outcome is Outcome.FAILED and "oh" in answers["bad"].problem
    assert answers["192.0.2.1"].outcome is answers["192.0.2.2"].outcome is Outcome.NONE
    pool.close()


def test_taking_and_submitting_never_wait() -> None:
    gate: list[Callable[[], None]] = []

    def ask(address: str) -> Answer:
        while not gate:
            time.sleep(0.01)
        return Answer(address=address, registry="", outcome=Outcome.NONE)

    pool = ThreadPool(ask, 1)
    for number in range(100):
        pool.submit(question(str(number)))
    assert pool.take() == []
    gate.append(lambda: None)
    assert len(_answers(pool, 100)) == 100
    pool.close()
