"""Delay Ctrl-C so that it can't leave a server behind.

A KeyboardInterrupt may come anywhere, even between the start of a process and the assignment of its handle. So signals
are only noted; waits end, the clean-up runs, and then the signals are delivered.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeAlias

Wait: TypeAlias = Callable[[float], None]
"""Wait for a number of seconds. Raises KeyboardInterrupt if a signal has come."""

_HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def postponed() -> Iterator[Wait]:
    """Hold back the signals that end a program until the block ends. For the main thread."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    def pause(seconds: float) -> None:
        if not came:
            time.sleep(seconds)
        if came:
            raise KeyboardInterrupt

    handled = [number for number in _HELD if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in handled}
    try:
        yield pause
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
