"""Ids in 12 bytes instead of 20 characters. Pure.

    second   4 bytes, big-endian: UTC epoch seconds
    bits     8 bytes, big-endian: the 50 bits that end the id

Packed ids sort by (second, bits), which is the order of their texts except around the turn of a century.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from banledger.stores.id_form import DIGITS, PAIRS

_PYTHONS = "0123456789abcdefghijklmnopqrstuv"
_TO_PYTHONS = bytes.maketrans(DIGITS.encode(), _PYTHONS.encode())
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400


def pack_id(id_: str) -> bytes:
    """Return an id packed. Raises ValueError for a text that is no id."""
    number = int(id_[6:].encode().translate(_TO_PYTHONS), 32)  # bytes: eight times as fast as text
    second = number >> 50
    if second >= _DAY_S or (second := second + _seconds_to(id_[:6])) < 0:
        raise ValueError("not an id")
    return ((second << 64) | (number & 0x3FFFFFFFFFFFF)).to_bytes(12, "big")


def unpack_id(packed: bytes) -> str:
    """Return the id. Raises ValueError for bytes that are no packed id."""
    number = int.from_bytes(packed, "big")
    day, second = divmod(number >> 64, _DAY_S)
    bits = number & 0xFFFFFFFFFFFFFFFF
    if len(packed) != 12 or bits >> 50:
        raise ValueError("not a packed id")
    return (
        f"{_digits_of(day)}{PAIRS[second >> 10]}{PAIRS[second & 1023]}"
        f"{PAIRS[bits >> 40]}{PAIRS[bits >> 30 & 1023]}{PAIRS[bits >> 20 & 1023]}"
        f"{PAIRS[bits >> 10 & 1023]}{PAIRS[bits & 1023]}"
    )


@lru_cache(maxsize=4096)
def _seconds_to(day: str) -> int:
    at = datetime.strptime(day, "%y%m%d").replace(tzinfo=UTC)
    return int(at.timestamp())


@lru_cache(maxsize=4096)
def _digits_of(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).strftime("%y%m%d")
