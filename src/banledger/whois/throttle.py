"""How often each registry may be asked, and which want to be left alone. Threads share it."""

from collections.abc import Callable
from threading import Lock


class Pace:
    """Turns of each registry, at least its interval apart. `clock`: seconds that never go back."""

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = Lock()
        self._next: dict[str, float] = {}
        self._rests: dict[str, float] = {}
        self._begun = clock()

    def begin(self) -> None:
        """From now on we ask: somebody else may just have done so, so every registry gets one interval of rest."""
        with self._lock:
            self._begun = self._clock()

    def rest(self, registry: str, seconds: float) -> None:
        """From now on the registry is left alone for so long; 0: it no longer is."""
        with self._lock:
            self._rests[registry] = self._clock() + seconds

    def rests(self, registry: str) -> bool:
        """Whether the registry is left alone."""
        return self._rests.get(registry, 0.0) > self._clock()

    def try_take(self, registry: str, interval_s: float) -> bool:
        """Take the registry's turn if it has come; whether it has. Never waits."""
        with self._lock:
            now = self._clock()
            if max(self._free_at(registry, interval_s), self._rests.get(registry, 0.0)) > now:
                return False
            self._next[registry] = now + interval_s
            return True

    def take(self, registry: str, interval_s: float) -> float:
        """Wait for the registry's next turn. 0: it has come; else it is left alone for so many seconds yet."""
        with self._lock:
            now = self._clock()
            if (left := self._rests.get(registry, 0.0) - now) > 0:
                return left
            turn = max(now, self._free_at(registry, interval_s))
            self._next[registry] = turn + interval_s
        if turn > now:
            self._sleep(turn - now)
        return 0.0

    def _free_at(self, registry: str, interval_s: float) -> float:
        return max(self._next.get(registry, 0.0), self._begun + interval_s)
