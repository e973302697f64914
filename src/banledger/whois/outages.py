"""Log outages of registries: one line when an outage begins, one when it ends.

A registry that fails intermittently would fill the journal, so each is logged at most once a day.
"""

import logging

_SAID_AGAIN_S = 86_400.0

_log = logging.getLogger("banledger")


class Outages:
    """Outages that were logged. Times: UTC epoch seconds. Used by one thread."""

    def __init__(self) -> None:
        self._current: set[str] = set()
        self._said: dict[tuple[str, str], float] = {}

    def limited(self, registry: str, pause_s: float, now: float) -> None:
        """The registry asked for a pause in seconds."""
        if self._is_news(registry, "limited", now):
            _log.info("whois: rate limited by %r for %d s", registry, pause_s)

    def unreachable(self, registry: str, problem: str, now: float) -> None:
        """The registry sent no valid answer; `problem` is hostile text."""
        if self._is_news(registry, "unreachable", now):
            _log.warning("whois: no answer from %r (%.200r); bans are recorded; it is tried again", registry, problem)

    def over(self, registry: str) -> None:
        """The registry answered."""
        if registry in self._current:
            self._current.remove(registry)
            _log.info("whois: %r answers again", registry)

    def _is_news(self, registry: str, kind: str, now: float) -> bool:
        if registry in self._current or 0 <= now - self._said.get((registry, kind), 0.0) < _SAID_AGAIN_S:
            return False
        self._current.add(registry)
        self._said[registry, kind] = now
        return True
