"""What a ledger knows of networks and cells: all of it at first, page by page, then what is new.

Theory of operation. Both indexes are ranked by when an entry was put there, by the clock of whoever put it. So the
newest come first, and what is new stands above what was read, but for machines' clocks: what lies within `_SKEW_S` of
the newest is looked at again. While the pages of the first reading are turned, an entry may be put anew and so slip to
the top: the next reading finds it there.
"""

from collections.abc import Callable

from banledger.store.networks import NetworksReader

_PAGE = 500
_SKEW_S = 120.0  # machines' clocks may differ by that


class Followers:
    """Reads the indexes of networks and cells: all of it at first, page by page, then what is new."""

    def __init__(
        self, networks: Callable[[NetworksReader, list[str]], None], cells: Callable[[NetworksReader, list[str]], None]
    ) -> None:
        self._networks = _Follower(NetworksReader.newest_networks, networks)
        self._cells = _Follower(NetworksReader.newest_cells, cells)

    def read(self, there: NetworksReader) -> bool:
        """Read a page, or what is new; whether that was all."""
        return self._networks.read(there) and self._cells.read(there)


class _Follower:
    """One index. Entries come newest first; what stands within `_SKEW_S` of the newest may still get neighbours."""

    def __init__(
        self,
        page: Callable[[NetworksReader, int, int], list[tuple[str, float]]],
        take: Callable[[NetworksReader, list[str]], None],
    ) -> None:
        self._page = page
        self._take = take
        self._start = 0
        self._loaded = False
        self._newest = self._top = 0.0
        self._recent: dict[str, float] = {}

    def read(self, there: NetworksReader) -> bool:
        while True:
            page = self._page(there, self._start, _PAGE)
            new = {cidr: score for cidr, score in page if self._is_new(cidr, score)}
            if new:
                self._take(there, list(new))
                self._remember(new)
            if len(page) < _PAGE or (self._loaded and page[-1][1] <= self._newest - _SKEW_S):
                break
            self._start += _PAGE
            if not self._loaded:
                return False
        self._start, self._loaded, self._newest = 0, True, self._top
        return True

    def _remember(self, new: dict[str, float]) -> None:
        self._top = max(self._top, *new.values())
        recent = (self._recent | new).items()
        self._recent = {cidr: score for cidr, score in recent if score > self._top - _SKEW_S}

    def _is_new(self, cidr: str, score: float) -> bool:
        return self._recent.get(cidr) != score and (not self._loaded or score > self._newest - _SKEW_S)
