"""Outages of registries: which there are, and one line in the log when one begins and when it ends.

A registry that fails intermittently would fill the journal, so each is logged at most once a day.
"""

import logging

from banledger.ledger.heartbeat import RegistryTrouble, bounded

_SAID_AGAIN_S = 86_400.0

_log = logging.getLogger("banledger")


class Outages:
    """Outages that last, and those that were logged. Times: UTC epoch seconds. Used by one thread."""

    def __init__(self) -> None:
        self._lasting: dict[str, RegistryTrouble] = {}
        self._current: set[str] = set()  # those of which the log has the beginning
        self._said: dict[tuple[str, str], float] = {}

    @property
    def lasting(self) -> tuple[RegistryTrouble, ...]:
        """The registries that refuse, or can't be reached."""
        return tuple(self._lasting.values())

    def limited(self, registry: str, pause_s: float, now: float) -> None:
        """The registry asked for a pause in seconds."""
        self._note(registry, f"rate limited, for {pause_s:.0f} s", now)
        if self._is_news(registry, "limited", now):
            _log.info("whois: rate limited by %r for %d s", registry, pause_s)

    def unreachable(self, registry: str, problem: str, now: float) -> None:
        """The registry sent no valid answer; `problem` is hostile text."""
        self._note(registry, f"no answer: {problem}", now)
        if self._is_news(registry, "unreachable", now):
            _log.warning("whois: no answer from %r (%.200r); bans are recorded; it is tried again", registry, problem)

    def over(self, registry: str) -> None:
        """The registry answered."""
        self._lasting.pop(registry, None)
        if registry in self._current:
            self._current.remove(registry)
            _log.info("whois: %r answers again", registry)

    def _note(self, registry: str, why: str, now: float) -> None:
        before = self._lasting.get(registry)
        since = before.since if before else max(0.0, now)
        self._lasting[registry] = RegistryTrouble(bounded(registry), bounded(why), since)

    def _is_news(self, registry: str, kind: str, now: float) -> bool:
        if registry in self._current or 0 <= now - self._said.get((registry, kind), 0.0) < _SAID_AGAIN_S:
            return False
        self._current.add(registry)
        self._said[registry, kind] = now
        return True
