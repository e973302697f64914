"""Fields of a hash, read strictly: each function returns the field's value or raises `Damaged`, which names the field.

Anybody who may write to a store may put anything there. What is read here is bounded, so that no later step meets a
number that is no date, a text of many megabytes or a control character in a code. The limits stand here and nowhere
else.
"""

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache

import msgspec

from banledger.net.address import canonical_address
from banledger.net.prefix import block

MOST_TEXT = 2 << 20
"""Characters of one field. A spooled line has at most 1 MiB, a registry's answer at most 1.4 MiB as text."""

MOST_NUMBER = 2**53
"""The largest number."""

YEAR_3000 = 32_503_680_000
"""UTC epoch seconds. No moment is later."""

UNREADABLE = ""
"""Name of the one field of a hash that could not be read at all. Its value says why."""

_WORD = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,255}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_EPOCH_DAY = date(1970, 1, 1).toordinal()

_texts = msgspec.json.Decoder(tuple[str, ...])
_numbers = msgspec.json.Decoder(dict[str, float])


class Damaged(ValueError):
    """A field is not what a ledger writes. `field` may be empty: the hash as a whole. The text has no rubbish."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field} {why}" if field else why)
        self.field = field
        self.why = why


def required(fields: Mapping[str, str], name: str) -> str:
    """The text of a field that must be there."""
    found = text(fields, name)
    if found is None:
        raise Damaged("", fields[UNREADABLE]) if UNREADABLE in fields else Damaged(name, "is missing")
    return found


def text(fields: Mapping[str, str], name: str, most: int = MOST_TEXT) -> str | None:
    """Any text of up to `most` characters; None: absent."""
    found = fields.get(name)
    if found is not None and len(found) > most:
        raise Damaged(name, f"is too long ({len(found):,} characters)")
    return found


def whole(fields: Mapping[str, str], name: str, least: int = 0, most: int = MOST_NUMBER) -> int:
    """A whole number."""
    found = required(fields, name)
    try:
        number = int(found) if len(found) <= 20 else None
    except ValueError:
        number = None
    if number is None or str(number) != found or not least <= number <= most:
        raise Damaged(name, f"is no whole number from {least} to {most}")
    return number


def whole_or_none(fields: Mapping[str, str], name: str, least: int = 0, most: int = MOST_NUMBER) -> int | None:
    """The same; None: absent."""
    return whole(fields, name, least, most) if name in fields else None


def moment(fields: Mapping[str, str], name: str, least: float = 0.0) -> float:
    """Seconds, before the year 3000."""
    found = required(fields, name)
    try:
        number = float(found) if len(found) <= 32 else None
    except ValueError:
        number = None
    if number is None or not least <= number < YEAR_3000:
        raise Damaged(name, "is no time")
    return number


def moment_or_none(fields: Mapping[str, str], name: str) -> float | None:
    """The same; None: absent."""
    return moment(fields, name) if name in fields else None


def word(fields: Mapping[str, str], name: str) -> str | None:
    """Up to 256 printable ASCII characters; None: absent."""
    found = fields.get(name)
    if found is not None and not _WORD.fullmatch(found):
        raise Damaged(name, "is no word")
    return found


def one_of(fields: Mapping[str, str], name: str, words: frozenset[str] | Mapping[str, object]) -> str:
    """One of these words."""
    found = required(fields, name)
    if found not in words:
        raise Damaged(name, f"is none of: {', '.join(sorted(words))}")
    return found


def country(fields: Mapping[str, str], name: str) -> str | None:
    """Two letters; None: absent."""
    found = fields.get(name)
    if found is not None and not _COUNTRY.fullmatch(found):
        raise Damaged(name, "is no ISO 3166 code")
    return found


def address(fields: Mapping[str, str], name: str) -> str | None:
    """An address or network in its one spelling; None: absent."""
    found = fields.get(name)
    if found is not None and (len(found) > 64 or canonical_address(found) != found):
        raise Damaged(name, "is no address or network")
    return found


def cidr(fields: Mapping[str, str], name: str) -> str | None:
    """See `is_cidr`; None: absent."""
    found = fields.get(name)
    if found is not None and not is_cidr(found):
        raise Damaged(name, "is no network")
    return found


def is_cidr(found: str) -> bool:
    """Whether this is a network with its prefix length, also of a single address, in its one spelling."""
    return len(found) <= 64 and _is_cidr(found)


@lru_cache(maxsize=4096)
def _is_cidr(found: str) -> bool:
    canonical = canonical_address(found) if "/" in found else None
    return canonical is not None and block(canonical).cidr == found


def texts(fields: Mapping[str, str], name: str) -> tuple[str, ...]:
    """A JSON array of text; absent: empty."""
    found = text(fields, name)
    try:
        return _texts.decode(found) if found is not None else ()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Damaged(name, "is no JSON array of text") from None


def moments(fields: Mapping[str, str], name: str, names: frozenset[str]) -> tuple[tuple[str, float], ...]:
    """A JSON object of seconds by `names`, sorted; absent: empty."""
    found = text(fields, name)
    try:
        numbers = _numbers.decode(found) if found is not None else {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Damaged(name, "is no JSON object of numbers") from None
    if not (numbers.keys() <= names and all(abs(number) < YEAR_3000 for number in numbers.values())):
        raise Damaged(name, "holds what is no time of a ban")
    return tuple(sorted(numbers.items()))


@lru_cache(maxsize=4096)
def day_number(found: str) -> int | None:
    """Days since 1970-01-01 of a day's text (YYYY-MM-DD, before the year 3001); None: it is none."""
    try:
        day = date.fromisoformat(found) if len(found) == 10 else None
    except ValueError:
        return None
    if day is None or day.isoformat() != found or not 1969 <= day.year <= 3000:
        return None
    return day.toordinal() - _EPOCH_DAY


def day(fields: Mapping[str, str], name: str, around: int) -> str:
    """A local day (YYYY-MM-DD) at that UTC epoch second, whichever the zone is."""
    found = required(fields, name)
    number = day_number(found) if len(found) == 10 else None
    if number is None or abs(number - around // 86_400) > 1:
        raise Damaged(name, "is no day, or not the one of its time")
    return found


def count_of(score: float) -> int:
    """A score of a sorted set as a number of bans; 0 for what is none."""
    return int(score) if abs(score) <= MOST_NUMBER else 0
