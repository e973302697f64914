"""Rates and pauses of the registries. Shared by threads."""

from collections.abc import Callable, Mapping
from math import inf
from threading import Lock
from time import monotonic, sleep

from banledger.ledger.network import LONGEST_PAUSE_S, Pause
from banledger.whois.outages import Outages
from banledger.whois.queue import doubled

_FIRST_PAUSE_S, _LAST_PAUSE_S = 60.0, 3600.0
_STRIKES = 3


class Throttle:
    """Turns of each registry, and of Cymru, at least its interval apart. `clock`: elapsed seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic, sleep: Callable[[float], None] = sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = Lock()
        self._next: dict[str, float] = {}
        self._paused_until: dict[str, float] = {}
        self._begun = -inf

    def begin(self) -> None:
        """Start asking: another recorder may just have asked, so wait one interval for each registry."""
        with self._lock:
            self._begun = self._clock()

    def pause(self, registry: str, seconds: float) -> None:
        """Pause the registry for `seconds` from now on; 0: end the pause."""
        with self._lock:
            self._paused_until[registry] = self._clock() + seconds

    def is_paused(self, registry: str) -> bool:
        """Whether the registry is paused."""
        return self._pause_left(registry, self._clock()) > 0

    def try_take(self, registry: str, interval_s: float) -> bool:
        """Take the registry's turn if it has come; return whether it has. Never waits."""
        return self.take(registry, interval_s, patience_s=0.0) == 0.0

    def take(self, registry: str, interval_s: float, patience_s: float = inf) -> float:
        """Wait for the registry's next turn. 0: it has come; otherwise the seconds until it comes.

        It has not come if the registry is paused, now or after the wait, or the turn is further off than `patience_s`.
        """
        with self._lock:
            now = self._clock()
            if left := self._pause_left(registry, now):
                return left
            turn = max(now, self._next.get(registry, 0.0), self._begun + interval_s)
            if turn - now > patience_s:
                return turn - now
            self._next[registry] = turn + interval_s
        if turn > now:
            self._sleep(turn - now)
        return self._pause_left(registry, self._clock())

    def _pause_left(self, registry: str, now: float) -> float:
        return max(0.0, self._paused_until.get(registry, 0.0) - now)


class Backoff:
    """Consecutive failures of registries, and the pauses that follow. Used by one thread.

    failures  consecutive failures over all registries
    outages   of registries
    """

    def __init__(self, throttle: Throttle) -> None:
        self.failures = 0
        self.throttle = throttle
        self._strikes: dict[str, int] = {}
        self._applied: dict[str, Pause] = {}
        self.outages = Outages()

    def apply(self, pauses: Mapping[str, Pause], now: float) -> None:
        """Honour pauses recorded by any recorder, each once: elapsed time ends them."""
        for name, pause in pauses.items():
            if self._applied.get(name) != pause and (left_s := pause.left_s(now)):
                self._applied[name] = pause
                self.throttle.pause(name, left_s)

    def limited(self, name: str, retry_s: float, now: float) -> Pause:
        """Note a registry's request to pause for `retry_s` seconds (0: not given). Return the pause to share."""
        strikes = self._strike(name)
        pause_s = min(retry_s or doubled(_FIRST_PAUSE_S, _LAST_PAUSE_S, strikes), LONGEST_PAUSE_S)
        self.outages.limited(name, pause_s, now)
        return self._pause(name, pause_s, now)

    def failed(self, name: str, problem: str, now: float) -> Pause | None:
        """Note a failure of a registry. Return a pause to share after too many."""
        strikes = self._strike(name)
        self.failures += 1
        if strikes < _STRIKES:
            return None
        self.outages.unreachable(name, problem, now)
        return self._pause(name, doubled(_FIRST_PAUSE_S, _LAST_PAUSE_S, strikes - _STRIKES + 1), now)

    def answered(self, *names: str) -> None:
        """Note that these registries answered."""
        self.failures = 0
        for name in names:
            self._strikes[name] = 0
            self.outages.over(name)

    def _strike(self, name: str) -> int:
        self._strikes[name] = strikes = self._strikes.get(name, 0) + 1
        return strikes

    def _pause(self, name: str, seconds: float, now: float) -> Pause:
        self._applied[name] = pause = Pause(now + seconds, seconds)
        self.throttle.pause(name, seconds)
        return pause
