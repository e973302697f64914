"""The wall clock judged by elapsed time, and which stored moments are plausible."""

import pytest

from banledger.clock import AHEAD_S, JUMP_S, SETTLED_S, ClockWatch, elapsed_s, is_fresh, is_future, left_s

NOW = 1_800_000_000.0
YEARS_S = 10 * 365 * 86_400.0


class Hand:
    """Elapsed time, moved by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def test_elapsed_time_does_not_go_back() -> None:
    assert 0 < elapsed_s() <= elapsed_s()


def test_a_clock_is_settled_after_an_hour_without_a_jump() -> None:
    hand = Hand()
    watch = ClockWatch(hand)
    assert not watch.settled
    for _ in range(60):
        watch.see(NOW + hand.at)
        assert not watch.settled
        hand.at += SETTLED_S / 60
    watch.see(NOW + hand.at)
    assert watch.settled and watch.jumps == 0


@pytest.mark.parametrize("ahead", [-YEARS_S, -7200.0, -61.0, 61.0, 7200.0, YEARS_S])
def test_a_jump_in_either_direction_unsettles_the_clock_for_an_hour(ahead: float) -> None:
    hand = Hand()
    watch = ClockWatch(hand)
    watch.see(NOW + hand.at)
    hand.at += SETTLED_S
    watch.see(NOW + hand.at + ahead)
    assert not watch.settled and watch.jumps == 1
    hand.at += 5
    watch.see(NOW + hand.at)
    assert not watch.settled and watch.jumps == 2
    hand.at += SETTLED_S - 1
    watch.see(NOW + hand.at)
    assert not watch.settled
    hand.at += 1
    assert watch.settled


def test_small_steps_add_up_to_a_jump() -> None:
    hand = Hand()
    watch = ClockWatch(hand)
    for step in range(10):
        watch.see(NOW + hand.at + step * JUMP_S / 4)
    assert watch.jumps == 1


def test_a_past_time_in_the_future_comes_from_a_wrong_clock() -> None:
    assert is_future(NOW + AHEAD_S, NOW)
    assert not is_future(NOW + AHEAD_S - 1, NOW) and not is_future(0.0, NOW)


def test_a_time_is_fresh_for_a_while_and_never_if_it_lies_ahead() -> None:
    assert is_fresh(NOW - 99.0, NOW, 100.0) and is_fresh(NOW + 60, NOW, 100.0)
    assert not is_fresh(NOW - 100.0, NOW, 100.0) and not is_fresh(NOW + YEARS_S, NOW, 100.0)


@pytest.mark.parametrize(
    ("until", "left"),
    [(-1.0, 0.0), (0.0, 0.0), (10.0, 10.0), (60.0, 60.0), (3600.0, 60.0), (AHEAD_S + 61, 0.0), (YEARS_S, 0.0)],
)
def test_a_wait_is_never_longer_than_it_can_be(until: float, left: float) -> None:
    assert left_s(NOW + until, NOW, 60.0) == left
