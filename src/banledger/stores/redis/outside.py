"""Commands that make true what stands outside a slot, coalesced by key. Pure: no store."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from banledger.stores.change import Difference, Ranking, Score
from banledger.stores.pages import pages

Command: TypeAlias = tuple[str | bytes | int | float, ...]
"""A command's words."""

_MEMBERS = 2000  # of one command


class Outside:
    """Commands for many hashes."""

    def __init__(self) -> None:
        self._joins: dict[str, list[str]] = defaultdict(list)
        self._leaves: dict[str, list[str]] = defaultdict(list)
        self._scores: dict[str, list[str | float]] = defaultdict(list)
        self._unscored: dict[str, list[str]] = defaultdict(list)
        self.rankings: dict[Ranking, None] = {}

    def follow(self, wanted: Difference, tag: str) -> None:
        """What follows from one hash, but for keys with that tag, which are inside."""
        member = wanted.member
        for key in wanted.joins:
            if tag not in key:
                self._joins[key].append(member)
        for key in wanted.leaves:
            if tag not in key:
                self._leaves[key].append(member)
        for score in wanted.scores:
            if tag not in score.key:
                self.score(score)
        for ranking in wanted.rankings:
            self.rankings[ranking] = None

    def join(self, key: str, member: str) -> None:
        """One member of a set."""
        self._joins[key].append(member)

    def leave(self, key: str, member: str) -> None:
        """One that is it no longer."""
        self._leaves[key].append(member)

    def score(self, score: Score) -> None:
        """One entry of a sorted set."""
        if score.score is None:
            self._unscored[score.key].append(score.member)
        else:
            self._scores[score.key] += (score.score, score.member)

    def commands(self) -> list[Command]:
        """All of it, a command a key and as many members as a server likes to take at once."""
        return [
            *_by_key("SADD", self._joins),
            *_by_key("SREM", self._leaves),
            *_by_key("ZADD", self._scores),
            *_by_key("ZREM", self._unscored),
        ]


def ranking_commands(rankings: Sequence[Ranking], sizes: Sequence[int]) -> list[Command]:
    """Give each ranked member its size."""
    ranked: dict[str, list[str | float]] = defaultdict(list)
    gone: dict[str, list[str]] = defaultdict(list)
    for ranking, size in zip(rankings, sizes, strict=True):
        if size:
            ranked[ranking.key] += (size, ranking.member)
        else:
            gone[ranking.key].append(ranking.member)
    return [*_by_key("ZADD", ranked), *_by_key("ZREM", gone)]


def _by_key(command: str, words: Mapping[str, Sequence[str | float]]) -> Iterator[Command]:
    for key, several in words.items():
        if len(several) <= _MEMBERS:
            yield (command, key, *several)
        else:
            yield from [(command, key, *page) for page in pages(several, _MEMBERS)]
