"""How often each registry may be asked. Threads share it."""

from collections.abc import Callable
from threading import Lock


class Pace:
    """Turns of each registry, at least its interval apart. `clock`: UTC epoch seconds."""

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = Lock()
        self._next: dict[str, float] = {}
        self._begun = clock()

    def begin(self) -> None:
        """From now on we ask: somebody else may just have done so, so every registry gets one interval of rest."""
        with self._lock:
            self._begun = self._clock()

    def free(self, registry: str, interval_s: float) -> bool:
        """Whether the registry may be asked now."""
        return self._free_at(registry, interval_s) <= self._clock()

    def take(self, registry: str, interval_s: float) -> None:
        """Take the registry's next turn, and wait until it has come."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._free_at(registry, interval_s))
            self._next[registry] = turn + interval_s
        if turn > now:
            self._sleep(turn - now)

    def _free_at(self, registry: str, interval_s: float) -> float:
        return max(self._next.get(registry, 0.0), self._begun + interval_s)
