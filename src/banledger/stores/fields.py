"""Strict readers of hash fields: each function returns the field's value or raises `Damaged`, which names the field.

Other programs may write anything to a store. The values that these readers return are bounded: later steps never get a
number that is not a date, a text of many megabytes, or a control character in a code. All limits are defined here.
"""

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache

import msgspec

from banledger.net.address import canonical_address
from banledger.net.prefix import block

MOST_TEXT = 2 << 20
"""Maximum length of a field, characters. A spooled line has at most 1 MiB, a registry's answer 1.4 MiB as text."""

MOST_NUMBER = 2**53
"""The largest number."""

YEAR_3000 = 32_503_680_000
"""UTC epoch seconds. All moments are earlier."""

UNREADABLE = ""
"""Name of the only field of a hash that could not be read. Its value is the reason."""

_WORD = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,255}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_EPOCH_DAY = date(1970, 1, 1).toordinal()

_texts = msgspec.json.Decoder(tuple[str, ...])
_numbers = msgspec.json.Decoder(dict[str, float])


class Damaged(ValueError):
    """A field has a value that no ledger writes. `field` empty: the whole hash. The message never quotes the value."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field} {why}" if field else why)
        self.field = field
        self.why = why


def required(fields: Mapping[str, str], name: str) -> str:
    """Read a required text."""
    found = text(fields, name)
    if found is None:
        raise Damaged("", fields[UNREADABLE]) if UNREADABLE in fields else Damaged(name, "is missing")
    return found


def text(fields: Mapping[str, str], name: str, most: int = MOST_TEXT) -> str | None:
    """Read a text of up to `most` characters; None: absent."""
    found = fields.get(name)
    if found is not None and len(found) > most:
        raise Damaged(name, f"is too long ({len(found):,} characters)")
    return found


def whole(fields: Mapping[str, str], name: str, least: int = 0, most: int = MOST_NUMBER) -> int:
    """Read a required whole number."""
    found = required(fields, name)
    try:
        number = int(found) if len(found) <= 20 else None
    except ValueError:
        number = None
    if number is None or str(number) != found or not least <= number <= most:
        raise Damaged(name, f"is not a whole number from {least} to {most}")
    return number


def moment(fields: Mapping[str, str], name: str, least: float = 0.0) -> float:
    """Read a required number of seconds, before the year 3000."""
    found = required(fields, name)
    try:
        number = float(found) if len(found) <= 32 else None
    except ValueError:
        number = None
    if number is None or not least <= number < YEAR_3000:
        raise Damaged(name, "is not a time")
    return number


def word(fields: Mapping[str, str], name: str) -> str | None:
    """Read up to 256 printable ASCII characters; None: absent."""
    found = fields.get(name)
    if found is not None and not _WORD.fullmatch(found):
        raise Damaged(name, "is not 1 to 256 printable ASCII characters")
    return found


def one_of(fields: Mapping[str, str], name: str, words: frozenset[str] | Mapping[str, object]) -> str:
    """Read a required field that is one of these words."""
    found = required(fields, name)
    if found not in words:
        raise Damaged(name, f"is not one of: {', '.join(sorted(words))}")
    return found


def country(fields: Mapping[str, str], name: str) -> str | None:
    """Read a country code of two letters; None: absent."""
    found = fields.get(name)
    if found is not None and not _COUNTRY.fullmatch(found):
        raise Damaged(name, "is not an ISO 3166 code")
    return found


def address(fields: Mapping[str, str], name: str) -> str | None:
    """Read a canonical address or network; None: absent."""
    found = fields.get(name)
    if found is not None and (len(found) > 64 or canonical_address(found) != found):
        raise Damaged(name, "is not a canonical address or network")
    return found


def cidr(fields: Mapping[str, str], name: str) -> str | None:
    """Read a network, see `is_cidr`; None: absent."""
    found = fields.get(name)
    if found is not None and not is_cidr(found):
        raise Damaged(name, "is not a network")
    return found


def is_cidr(found: str) -> bool:
    """Whether this is a canonical network with its prefix length (a single address too)."""
    return len(found) <= 64 and _is_cidr(found)


@lru_cache(maxsize=4096)
def _is_cidr(found: str) -> bool:
    canonical = canonical_address(found) if "/" in found else None
    return canonical is not None and block(canonical).cidr == found


def texts(fields: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Read a JSON array of strings; absent: empty."""
    found = text(fields, name)
    try:
        return _texts.decode(found) if found is not None else ()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Damaged(name, "is not a JSON array of strings") from None


def moments(fields: Mapping[str, str], name: str, names: frozenset[str]) -> tuple[tuple[str, float], ...]:
    """Read a JSON object from some of `names` to seconds, sorted; absent: empty."""
    found = text(fields, name)
    try:
        numbers = _numbers.decode(found) if found is not None else {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Damaged(name, "is not a JSON object of numbers") from None
    if not (numbers.keys() <= names and all(abs(number) < YEAR_3000 for number in numbers.values())):
        raise Damaged(name, "has an unknown name or an invalid time")
    return tuple(sorted(numbers.items()))


@lru_cache(maxsize=4096)
def day_number(found: str) -> int | None:
    """Return the days since 1970-01-01 of a date (YYYY-MM-DD, before the year 3001); None: not a date."""
    try:
        day = date.fromisoformat(found) if len(found) == 10 else None
    except ValueError:
        return None
    if day is None or day.isoformat() != found or not 1969 <= day.year <= 3000:
        return None
    return day.toordinal() - _EPOCH_DAY


def day(fields: Mapping[str, str], name: str, around: int) -> str:
    """Read the local day (YYYY-MM-DD) of the UTC epoch second `around`, in any time zone."""
    found = required(fields, name)
    number = day_number(found) if len(found) == 10 else None
    if number is None or abs(number - around // 86_400) > 1:
        raise Damaged(name, "is not a date, or not the date of its time")
    return found


def count_of(score: float) -> int:
    """Return a score of a sorted set as a number of bans; 0 if it is not one."""
    return int(score) if abs(score) <= MOST_NUMBER else 0
