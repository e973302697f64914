"""Outages of registries in the journal: one line when one begins, one when it is over.

A registry that answers now and then would fill the journal, so each outage is logged once a day at most.
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
        """It asked for a pause of so many seconds."""
        if self._is_news(registry, "limited", now):
            _log.info("whois: rate limited by %r for %d s", registry, pause_s)

    def unreachable(self, registry: str, problem: str, now: float) -> None:
        """It does not answer, or not what was asked; `problem` is hostile text."""
        if self._is_news(registry, "unreachable", now):
            _log.warning(
                "whois: no answer from %r (%.200r); bans are recorded, and it is asked again", registry, problem
            )

    def over(self, registry: str) -> None:
        """It answered."""
        if registry in self._current:
            self._current.remove(registry)
            _log.info("whois: %r answers again", registry)

    def _is_news(self, registry: str, kind: str, now: float) -> bool:
        if registry in self._current or 0 <= now - self._said.get((registry, kind), 0.0) < _SAID_AGAIN_S:
            return False
        self._current.add(registry)
        self._said[registry, kind] = now
        return True
