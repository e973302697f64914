"""Commands that write entries outside a slot, grouped by key. Pure: no store."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from banledger.stores.change import Difference, Ranking, Score
from banledger.stores.pages import pages

Command: TypeAlias = tuple[str | bytes | int | float, ...]
"""The words of a command."""

_MEMBERS = 2000  # per command


class Outside:
    """Commands for many hashes."""

    def __init__(self) -> None:
        self._joins: dict[str, list[str]] = defaultdict(list)
        self._leaves: dict[str, list[str]] = defaultdict(list)
        self._scores: dict[str, list[str | float]] = defaultdict(list)
        self._unscored: dict[str, list[str]] = defaultdict(list)
        self.rankings: dict[Ranking, None] = {}

    def follow(self, wanted: Difference, tag: str) -> None:
        """Add the difference of one hash, without the keys that contain `tag`: they are inside its slot."""
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
        """Add a member to a set."""
        self._joins[key].append(member)

    def leave(self, key: str, member: str) -> None:
        """Remove a member from a set."""
        self._leaves[key].append(member)

    def score(self, score: Score) -> None:
        """Write or remove an entry of a sorted set."""
        if score.score is None:
            self._unscored[score.key].append(score.member)
        else:
            self._scores[score.key] += (score.score, score.member)

    def commands(self) -> list[Command]:
        """Return all commands, with a bounded number of members each."""
        return [
            *_by_key("SADD", self._joins),
            *_by_key("SREM", self._leaves),
            *_by_key("ZADD", self._scores),
            *_by_key("ZREM", self._unscored),
        ]


def ranking_commands(rankings: Sequence[Ranking], sizes: Sequence[int]) -> list[Command]:
    """Return commands that give each ranked member its score; those of size 0 are removed."""
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
