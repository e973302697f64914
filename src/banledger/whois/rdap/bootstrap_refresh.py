"""The bootstrap in use: the packaged copy, until IANA has a newer one.

IANA is asked at most daily. Its files are kept in memory, and in a directory if there is one, so that a restart does
not ask again. After any error the current files stay; an older file is never used.
"""

import os
from collections.abc import Callable
from math import inf
from pathlib import Path
from threading import Lock
from typing import Protocol

from banledger.whois.http.client import Response, TransportError
from banledger.whois.rdap.bootstrap import Bootstrap, packaged, parse_bootstrap

URLS = ("https://data.iana.org/rdap/ipv4.json", "https://data.iana.org/rdap/ipv6.json")
INTERVAL_S = 86_400.0

_DEADLINE_S = 5.0
_NAMES = ("ipv4.json", "ipv6.json")


class Fetch(Protocol):
    """Send a request; see Transport.get."""

    def __call__(self, url: str, accept: str, *, deadline_s: float | None = None) -> Response: ...


class Refreshed:
    """See the module. Thread-safe.

    get    sends requests to IANA; None: IANA is not asked, and the packaged or stored copy stays
    first  makes the initial bootstrap
    cache  a directory for IANA's files; created when needed

    `current`: the current bootstrap.
    """

    def __init__(
        self, get: Fetch | None = None, *, first: Callable[[], Bootstrap] = packaged, cache: Path | None = None
    ) -> None:
        self._get = get
        self._cache = cache
        self._lock = Lock()
        self.current = first()
        self._asked = self._load()

    def refresh(self, now: float) -> None:
        """Ask IANA if it is due (UTC epoch seconds) and no other thread does. Raises nothing."""
        if self._get is None or not self._is_due(now) or not self._lock.acquire(blocking=False):
            return
        try:
            if self._is_due(now):
                self._asked = now
                self._ask(self._get)
        finally:
            self._lock.release()

    def _is_due(self, now: float) -> bool:
        """Whether IANA was last asked long ago, or by a wrong clock."""
        return abs(now - self._asked) >= INTERVAL_S

    def _ask(self, get: Fetch) -> None:
        try:
            responses = [get(url, "application/json", deadline_s=_DEADLINE_S) for url in URLS]
        except TransportError:
            return
        ipv4, ipv6 = (response.body for response in responses)
        if all(response.status == 200 for response in responses) and self._take(ipv4, ipv6):
            self._save(ipv4, ipv6)

    def _take(self, ipv4: bytes, ipv6: bytes) -> bool:
        """Use these files, unless one is broken or older than the current one."""
        try:
            found = parse_bootstrap(ipv4, ipv6)
        except ValueError:
            return False
        if any(theirs < ours for theirs, ours in zip(found.published, self.current.published, strict=True)):
            return False
        self.current = found
        return True

    def _load(self) -> float:
        """Use the files of the directory; return when IANA was asked for them."""
        if self._cache is None:
            return -inf
        places = [self._cache / name for name in _NAMES]
        try:
            taken = self._take(*(place.read_bytes() for place in places))
            return min(place.stat().st_mtime for place in places) if taken else -inf
        except OSError:
            return -inf

    def _save(self, ipv4: bytes, ipv6: bytes) -> None:
        if self._cache is None:
            return
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            for name, data in zip(_NAMES, (ipv4, ipv6), strict=True):
                new = self._cache / f".{name}.{os.getpid()}"
                new.write_bytes(data)
                new.replace(self._cache / name)
        except OSError:  # without a writable directory, a restart asks again
            return
