"""Clocks: the wall clock may be wrong, so it is checked against elapsed time.

Theory of operation. A wall clock may be years off when a machine starts, be corrected later, or jump for seconds. So
elapsed time is measured with a clock that cannot be set. Nothing is removed because of the wall clock unless it is
*settled*: it agreed with elapsed time for an hour. A stored time may come from another machine's clock, so it is used
only if it is plausible.
"""

import time
from collections.abc import Callable

SETTLED_S = 3600.0
"""How long both clocks must have agreed before anything is removed because of the wall clock."""

JUMP_S = 60.0
"""How far the clocks may differ without a jump: slewing takes hours to reach it."""

AHEAD_S = 86_400.0
"""How far another machine's clock may plausibly be ahead of ours."""


def elapsed_s() -> float:
    """Seconds since the machine started, including suspension. Never goes back."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def is_fresh(moment: float, now: float, fresh_s: float) -> bool:
    """Whether a stored time (UTC epoch) is at most `fresh_s` ago. A time from a wrong clock counts as long ago."""
    return now - moment < fresh_s and not is_future(moment, now)


def is_future(moment: float, now: float) -> bool:
    """Whether a stored past time comes from a wrong clock (UTC epoch seconds)."""
    return moment >= now + AHEAD_S


def left_s(until: float, now: float, longest_s: float) -> float:
    """Seconds left of a wait of at most `longest_s` that ends at `until` (UTC epoch).

    0: the wait is over, or `until` comes from a wrong clock.
    """
    left = until - now
    return min(left, longest_s) if 0 < left <= longest_s + AHEAD_S else 0.0


class ClockWatch:
    """Compare readings of the wall clock with elapsed time. Used by one thread.

    elapsed  seconds that never go back
    jumps    how often the wall clock jumped so far
    """

    def __init__(self, elapsed: Callable[[], float] = elapsed_s) -> None:
        self.elapsed = elapsed
        self.jumps = 0
        self._offset: float | None = None
        self._since = 0.0

    def see(self, now: float) -> None:
        """Note the wall clock's reading (UTC epoch seconds)."""
        offset = now - self.elapsed()
        if self._offset is None:
            self._offset, self._since = offset, self.elapsed()
        elif abs(offset - self._offset) > JUMP_S:
            self._offset, self._since = offset, self.elapsed()
            self.jumps += 1

    @property
    def settled(self) -> bool:
        """Whether things may be removed by the wall clock's last reading."""
        return self._offset is not None and self.elapsed() - self._since >= SETTLED_S
