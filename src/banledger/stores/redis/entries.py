"""Entries to write and to remove, grouped by key, and the commands that do it. Pure: no store."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from banledger.stores.change import Difference, Ranking, Score
from banledger.stores.pages import pages

Command: TypeAlias = tuple[str | bytes | int | float, ...]
"""The words of a command."""

_MEMBERS = 2000  # per command
_RAW = re.compile(r"\\x([89a-f][0-9a-f])")  # a byte that is no UTF-8, as a client reads it


class EntriesByKey:
    """The entries of many hashes in sets and sorted sets, by key.

    joins, leaves  members to add and to remove
    scores         score, member, score, member …, as text
    unscored       members to remove
    """

    def __init__(self) -> None:
        self.joins: dict[str, list[str]] = defaultdict(list)
        self.leaves: dict[str, list[str | bytes]] = defaultdict(list)
        self.scores: dict[str, list[str]] = defaultdict(list)
        self.unscored: dict[str, list[str | bytes]] = defaultdict(list)

    def __bool__(self) -> bool:
        return any((self.joins, self.leaves, self.scores, self.unscored))

    def follow(self, wanted: Difference, tag: str, *, inside: bool) -> None:
        """Add the difference of one hash: its part at keys that contain `tag`, inside its slot, or its part outside."""
        member = wanted.member
        for key in wanted.joins:
            if (tag in key) is inside:
                self.joins[key].append(member)
        for key in wanted.leaves:
            if (tag in key) is inside:
                self.leaves[key].append(member)
        for score in wanted.scores:
            if (tag in score.key) is inside:
                self.score(score)

    def score(self, score: Score) -> None:
        """Add an entry of a sorted set, to write or to remove."""
        if score.score is None:
            self.unscored[score.key].append(score.member)
        else:
            self.scores[score.key] += (repr(score.score), score.member)

    def remove_raw(self) -> None:
        """Also remove the members that are no text and are only read as those to be removed."""
        for several in (*self.leaves.values(), *self.unscored.values()):
            several += [raw for member in several if isinstance(member, str) and (raw := raw_of(member)) is not None]

    def commands(self) -> list[Command]:
        """Return all commands, with a bounded number of members each."""
        return [
            *_by_key("SADD", self.joins),
            *_by_key("SREM", self.leaves),
            *_by_key("ZADD", self.scores),
            *_by_key("ZREM", self.unscored),
        ]


def raw_of(text: str) -> bytes | None:
    """Return the bytes that are no UTF-8 and that a client reads as this text; None: there are none."""
    if not _RAW.search(text):
        return None
    raw = _RAW.sub(lambda found: chr(0xDC00 + int(found[1], 16)), text).encode("utf-8", "surrogateescape")
    return raw if raw.decode("utf-8", "backslashreplace") == text else None


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


def _by_key(command: str, words: Mapping[str, Sequence[str | bytes | float]]) -> Iterator[Command]:
    for key, several in words.items():
        if len(several) <= _MEMBERS:
            yield (command, key, *several)
        else:
            yield from [(command, key, *page) for page in pages(several, _MEMBERS)]
