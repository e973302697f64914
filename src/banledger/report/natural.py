"""Natural order for ties: addresses and numbers by value, text alphabetically. Pure."""

import re

from banledger.net.address import canonical_address
from banledger.net.prefix import block

_NUMBER = re.compile(r"([0-9]{1,18})")

Key = tuple[int, tuple[int, int, int], tuple[tuple[int, int, str], ...], str]


def natural(name: str) -> Key:
    """A sort key: addresses and networks first, IPv4 before IPv6; `a2` before `a10`."""
    if canonical := canonical_address(name):
        there = block(canonical)
        return 0, (there.version, there.first, there.prefix), (), name
    words = tuple((0, int(word), "") if word.isdecimal() else (1, 0, word) for word in _NUMBER.split(name.casefold()))
    return 1, (0, 0, 0), words, name
