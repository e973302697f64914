"""Numbers as planes of bytes: first the lowest byte of each, then the next ones. Equal bytes compress. Pure."""

import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
from operator import sub

_SWAP = sys.byteorder == "big"


def planes(numbers: Iterable[int], width: int) -> bytes:
    """Return the planes of numbers of `width` bytes."""
    whole = array("Q", numbers)
    if _SWAP:
        whole.byteswap()
    data = whole.tobytes()
    return b"".join([data[place::8] for place in range(width)])


def numbers(data: bytes, width: int) -> "array[int]":
    """Return the numbers of planes."""
    code, size = ("H", 2) if width == 2 else ("I", 4) if width <= 4 else ("Q", 8)
    count = len(data) // width
    raw = bytearray(size * count)
    for place in range(width):
        raw[place::size] = data[place * count : (place + 1) * count]
    whole = array(code, raw)
    if _SWAP:
        whole.byteswap()
    return whole


def steps(rising: Sequence[int], width: int) -> bytes:
    """Return the planes of the differences between rising numbers, the first of which is compared with 0."""
    return planes(map(sub, rising, chain((0,), rising)), width)


def rising(data: bytes, width: int) -> list[int]:
    """Return the rising numbers whose differences `data` has, see `steps`."""
    return list(accumulate(numbers(data, width)))
