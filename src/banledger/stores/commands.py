"""Read-only key-value commands over any engine, with the same replies as Redis.

The type of a key comes from the engine's `kinds`. A reply is a `Reply`: text (a bulk string), a whole number, None
(nil), a list, or one of the two classes below.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from math import inf, isinf, nan, nextafter
from typing import TypeAlias

from msgspec import Struct

from banledger.stores.api import Hash, Reader, Scored


class Status(Struct, frozen=True):
    """A status, such as PONG."""

    text: str


class Failure(Struct, frozen=True):
    """An error, such as WRONGTYPE."""

    text: str


Reply: TypeAlias = "str | int | Status | Failure | list[Reply] | None"
_Run: TypeAlias = Callable[[Reader, Sequence[str]], Reply]


class _Refused(Exception):
    """The command can't be run; the text is the error that Redis gives."""


class _Command(Struct, frozen=True):
    """`arity`: as Redis counts it, with the name of the command; negative: a minimum. `kind`: the type of its key."""

    run: _Run
    arity: int
    kind: str = ""


def execute(reader: Reader, words: Sequence[str]) -> Reply:
    """The reply to a command and its arguments. Raises only StoreError."""
    name, *arguments = words
    command = COMMANDS.get(name.upper())
    if command is None:
        return Failure(
            f"ERR unknown or writing command '{name}': the ledger is read-only here; see banledger kv --help"
        )
    if len(words) != command.arity and (command.arity > 0 or len(words) < -command.arity):
        return Failure(f"ERR wrong number of arguments for '{name.lower()}' command")
    if not all(map(_is_text, arguments)):
        return Failure("ERR arguments must be UTF-8")
    if command.kind and reader.kinds(arguments[:1])[0] not in (command.kind, "none"):
        return Failure("WRONGTYPE Operation against a key holding the wrong kind of value")
    try:
        return command.run(reader, arguments)
    except _Refused as error:
        return Failure(str(error))


def _is_text(argument: str) -> bool:
    """Whether it is the text of a store: bytes of a command line that are not UTF-8 become lone surrogates."""
    return not any("\ud800" <= char <= "\udfff" for char in argument)


def score_text(score: float) -> str:
    """A score as Redis prints it."""
    if isinf(score):
        return "inf" if score > 0 else "-inf"
    return f"{score:.17g}"


def _hash(reader: Reader, key: str) -> Hash:
    return reader.hashes([key])[0]


def _has_member(reader: Reader, words: Sequence[str]) -> int:
    return int(any(member == words[1] for member in reader.members(words[0])))


def _scores(reader: Reader, key: str, members: Sequence[str]) -> list[Reply]:
    return [None if score is None else score_text(score) for score in reader.scores([key], members)[0]]


# Ranges of sorted sets. The engine counts from the highest score: rank 0.


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _Refused("ERR value is not an integer or out of range") from None


def _by_rank(reader: Reader, words: Sequence[str], *, reverse: bool, with_scores: bool) -> Reply:
    key, size = words[0], reader.sizes([words[0]])[0]
    start, stop = _whole(words[1]), _whole(words[2])
    start = max(0, start + size if start < 0 else start)
    stop = min(size - 1, stop + size if stop < 0 else stop)
    rows = _slice(reader, key, (start, stop + 1) if reverse else (size - 1 - stop, size - start))
    return _listed(rows if reverse else rows[::-1], with_scores=with_scores)


def _range(reader: Reader, words: Sequence[str]) -> Reply:
    """ZRANGE: by rank or by score, in either direction."""
    flags, limit = _range_options(words[3:], {"WITHSCORES", "REV", "BYSCORE"})
    if "BYSCORE" in flags:
        return _by_score(reader, words, limit, reverse="REV" in flags, with_scores="WITHSCORES" in flags)
    if limit is not None:
        raise _Refused("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
    return _by_rank(reader, words, reverse="REV" in flags, with_scores="WITHSCORES" in flags)


def _reverse_range(reader: Reader, words: Sequence[str]) -> Reply:
    """ZREVRANGE."""
    flags, limit = _range_options(words[3:], {"WITHSCORES"})
    if limit is not None:
        raise _Refused("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
    return _by_rank(reader, words, reverse=True, with_scores=bool(flags))


def _range_by_score(reader: Reader, words: Sequence[str], *, reverse: bool) -> Reply:
    """ZRANGEBYSCORE and ZREVRANGEBYSCORE."""
    flags, limit = _range_options(words[3:], {"WITHSCORES"})
    return _by_score(reader, words, limit, reverse=reverse, with_scores=bool(flags))


def _range_options(words: Sequence[str], known: set[str]) -> tuple[set[str], tuple[int, int] | None]:
    """The flags among the words that follow a range, and its LIMIT (offset, count)."""
    flags: set[str] = set()
    limit = None
    left = [word.upper() for word in words]
    while left:
        word = left.pop(0)
        if word in known:
            flags.add(word)
        elif word == "LIMIT" and len(left) >= 2:
            limit = (_whole(left.pop(0)), _whole(left.pop(0)))
        else:
            raise _Refused("ERR syntax error")
    return flags, limit


def _slice(reader: Reader, key: str, ranks: tuple[int, int]) -> list[Scored]:
    first, end = ranks
    return reader.ranking(key, first, end - first) if end > first else []


def _listed(rows: Sequence[Scored], *, with_scores: bool) -> Reply:
    if not with_scores:
        return [member for member, _ in rows]
    return [text for member, score in rows for text in (member, score_text(score))]


def _bound(text: str) -> tuple[float, bool]:
    """A bound of scores and whether it is excluded."""
    excluded = text.startswith("(")
    try:
        number = float(text[excluded:])
    except ValueError:
        number = nan
    if number != number or "_" in text or text.strip() != text:
        raise _Refused("ERR min or max is not a float")
    return number, excluded


def _ranks_between(reader: Reader, key: str, low: str, high: str) -> tuple[int, int]:
    """The ranks (first, end) of the members with scores from `low` to `high`."""
    least, not_least = _bound(low)
    most, not_most = _bound(high)
    end = (
        reader.sizes([key], nextafter(least, inf) if not_least else least)[0]
        if (least, not_least) != (inf, True)
        else 0
    )
    above = most if not_most else nextafter(most, inf)
    first = 0 if most == inf and not not_most else reader.sizes([key], above)[0]
    return first, max(first, end)


def _by_score(
    reader: Reader, words: Sequence[str], limit: tuple[int, int] | None, *, reverse: bool, with_scores: bool
) -> Reply:
    low, high = (words[2], words[1]) if reverse else (words[1], words[2])
    offset, count = limit or (0, -1)
    first, end = _ranks_between(reader, words[0], low, high)
    if offset < 0:
        return []
    kept = end - first - offset if count < 0 else min(count, end - first - offset)
    if kept <= 0:
        return []
    first = first + offset if reverse else end - offset - kept
    rows = _slice(reader, words[0], (first, first + kept))
    return _listed(rows if reverse else rows[::-1], with_scores=with_scores)


def _count(reader: Reader, words: Sequence[str]) -> int:
    first, end = _ranks_between(reader, words[0], words[1], words[2])
    return end - first


def _scan(reader: Reader, words: Sequence[str]) -> Reply:
    """Everything in one page: the cursor that follows is 0."""
    options = [word.upper() for word in words[1::2]]
    if len(words) % 2 == 0 or not set(options) <= {"MATCH", "COUNT", "TYPE"}:
        raise _Refused("ERR syntax error")
    if not words[0].isdecimal():
        raise _Refused("ERR invalid cursor")
    chosen = dict(zip(options, words[2::2], strict=True))
    if _whole(chosen.get("COUNT", "1")) < 1:
        raise _Refused("ERR syntax error")
    kind = chosen.get("TYPE", "").lower()
    found = sorted(reader.keys(chosen.get("MATCH", "*")))
    if kind:
        found = [key for key, holds in zip(found, reader.kinds(found), strict=True) if holds == kind]
    return ["0", [*found]]


def _ping(_reader: Reader, words: Sequence[str]) -> Reply:
    if len(words) > 1:
        raise _Refused("ERR wrong number of arguments for 'ping' command")
    return words[0] if words else Status("PONG")


COMMANDS = {
    "HGETALL": _Command(lambda r, w: list(chain.from_iterable(_hash(r, w[0]).items())), 2, "hash"),
    "HGET": _Command(lambda r, w: _hash(r, w[0]).get(w[1]), 3, "hash"),
    "HMGET": _Command(lambda r, w: list(map(_hash(r, w[0]).get, w[1:])), -3, "hash"),
    "HKEYS": _Command(lambda r, w: list(_hash(r, w[0])), 2, "hash"),
    "HVALS": _Command(lambda r, w: list(_hash(r, w[0]).values()), 2, "hash"),
    "HLEN": _Command(lambda r, w: len(_hash(r, w[0])), 2, "hash"),
    "HEXISTS": _Command(lambda r, w: int(w[1] in _hash(r, w[0])), 3, "hash"),
    "SMEMBERS": _Command(lambda r, w: list(r.members(w[0])), 2, "set"),
    "SCARD": _Command(lambda r, w: r.sizes([w[0]])[0], 2, "set"),
    "SISMEMBER": _Command(_has_member, 3, "set"),
    "ZRANGE": _Command(_range, -4, "zset"),
    "ZREVRANGE": _Command(_reverse_range, -4, "zset"),
    "ZRANGEBYSCORE": _Command(lambda r, w: _range_by_score(r, w, reverse=False), -4, "zset"),
    "ZREVRANGEBYSCORE": _Command(lambda r, w: _range_by_score(r, w, reverse=True), -4, "zset"),
    "ZSCORE": _Command(lambda r, w: _scores(r, w[0], w[1:])[0], 3, "zset"),
    "ZMSCORE": _Command(lambda r, w: _scores(r, w[0], w[1:]), -3, "zset"),
    "ZCARD": _Command(lambda r, w: r.sizes([w[0]])[0], 2, "zset"),
    "ZCOUNT": _Command(_count, 4, "zset"),
    "TYPE": _Command(lambda r, w: Status(r.kinds(w[:1])[0]), 2),
    "EXISTS": _Command(lambda r, w: sum(kind != "none" for kind in r.kinds(w)), -2),
    "KEYS": _Command(lambda r, w: [*sorted(r.keys(w[0]))], 2),
    "SCAN": _Command(_scan, -2),
    "PING": _Command(_ping, -1),
    "DBSIZE": _Command(lambda r, _: sum(1 for _ in r.keys("*")), 1),
}
"""All commands, by name."""
