"""Follow a ledger's networks and cells: read all of them page by page, then only new ones.

Theory of operation. Both indexes are sorted by the time an entry was written, by its writer's clock. The newest come
first, so new entries stand above those read before, apart from clock differences between machines. So entries within
`_SKEW_S` of the newest one (or of our own clock, if that is behind) are read again if the newest entry or the number of
entries has changed. During the first reading an entry may be rewritten and move to the top: the next reading finds it
there.
"""

from collections.abc import Callable, Iterable

from banledger.ledger.networks import NetworksReader
from banledger.stores.api import Scored
from banledger.stores.pages import pages

_PAGE = 500
_SKEW_S = 120.0  # machines' clocks may differ by that


class Followers:
    """Reads the indexes of networks and cells: first all pages, then new entries."""

    def __init__(
        self, networks: Callable[[NetworksReader, list[str]], None], cells: Callable[[NetworksReader, list[str]], None]
    ) -> None:
        self._networks = _Follower("networks", networks)
        self._cells = _Follower("cells", cells)

    def read(self, there: NetworksReader, now: float) -> bool:
        """Read a page, or the new entries (UTC epoch `now`); return whether that was all."""
        return self._networks.read(there, now) and self._cells.read(there, now)


class _Follower:
    """One index. `take` receives new and removed entries."""

    def __init__(self, what: str, take: Callable[[NetworksReader, list[str]], None]) -> None:
        self._what = what
        self._take = take
        self._start = 0
        self._loaded = False
        self._newest = 0.0
        self._recent: dict[str, float] = {}

    def read(self, there: NetworksReader, now: float) -> bool:
        window = min(self._newest, now) - _SKEW_S
        if self._loaded:
            self._read_news(there, window)
        else:
            self._read_page(there, now)
        return self._loaded

    def _read_page(self, there: NetworksReader, now: float) -> None:
        page = there.newest(self._what, self._start, _PAGE)
        self._newest = max(self._newest, page[0][1] if page else 0.0)
        self._recent.update(_within(page, min(self._newest, now) - _SKEW_S))
        if page:
            self._take(there, [cidr for cidr, _ in page])
        self._start += len(page)
        self._loaded = len(page) < _PAGE

    def _read_news(self, there: NetworksReader, window: float) -> None:
        """Entries that were added or removed since that moment."""
        self._recent = dict(_within(self._recent.items(), window))
        newest = there.newest(self._what, 0, 1)
        same = there.put_since(self._what, window) == len(self._recent)
        if same and self._newest == (newest[0][1] if newest else 0.0):
            return
        seen = self._seen(there, window)
        changed = [cidr for cidr, moment in seen.items() if self._recent.get(cidr) != moment]
        gone = [cidr for cidr in self._recent if cidr not in seen]
        for page in pages([*changed, *gone], _PAGE):
            self._take(there, page)
        self._newest = max([0.0, *(moment for _, moment in newest)])
        self._recent = seen

    def _seen(self, there: NetworksReader, window: float) -> dict[str, float]:
        """Every entry of the window, as it is now."""
        seen: dict[str, float] = {}
        while True:
            page = there.newest(self._what, len(seen), 20 * _PAGE)
            seen.update(_within(page, window))
            if len(page) < 20 * _PAGE or page[-1][1] < window:
                return seen


def _within(entries: Iterable[Scored], window: float) -> list[Scored]:
    return [(cidr, moment) for cidr, moment in entries if moment >= window]
