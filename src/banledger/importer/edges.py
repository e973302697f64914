"""The first and the last bans of all that is read: enough to recognise them elsewhere. Pure."""

from typing import NamedTuple

_EACH = 8
_KEPT = 8 * _EACH


class ToldBan(NamedTuple):
    """A ban as a source tells it. `moment`: of its Ban line, or its ticket's second; UTC epoch seconds."""

    moment: float
    jail: str
    fid: str


class Edges:
    """Takes bans in any order, and keeps the first and the last."""

    def __init__(self) -> None:
        self._kept: list[ToldBan] = []
        self._first, self._last = float("inf"), float("-inf")

    def add(self, moment: float, jail: str, fid: str) -> None:
        """Take one ban."""
        if moment < self._first or moment > self._last:
            self._kept.append(ToldBan(moment, jail, fid))
            if len(self._kept) >= _KEPT:
                first, last = self.first, self.last
                self._kept = [*first, *last]
                self._first, self._last = first[-1].moment, last[0].moment

    @property
    def first(self) -> list[ToldBan]:
        """The first bans."""
        return sorted(self._kept)[:_EACH]

    @property
    def last(self) -> list[ToldBan]:
        """The last bans."""
        return sorted(self._kept)[-_EACH:]
