"""Country codes and AS numbers as other people's data give them: checked, or None. Pure."""

import re

_COUNTRY = re.compile("[A-Z]{2}")
_NO_COUNTRY = {"AP", "EU", "XX", "ZZ"}  # registries write them where they mean a region, or nothing
_ASN = re.compile("(?:AS)?([0-9]{1,10})")
_NOBODYS = ((64_496, 131_071), (4_200_000_000, 4_294_967_295))  # documentation, private, reserved: RFC 5398, 6996, 7300
_AS_TRANS = 23_456  # stands for a number that an old router can't write, RFC 6793


def country_code(value: object) -> str | None:
    """`value` if it is two capital letters that may be a country's ISO 3166 code."""
    if isinstance(value, str) and _COUNTRY.fullmatch(value) and value not in _NO_COUNTRY:
        return value
    return None


def as_number(value: object) -> int | None:
    """The number of an autonomous system, given as 15169, `15169` or `AS15169`.

    Only what IANA's registry "Autonomous System (AS) Numbers" gives to somebody: not 0, AS_TRANS, private ones,
    or those for documentation.
    """
    if isinstance(value, str):
        written = _ASN.fullmatch(value)
        value = int(written[1]) if written else None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 32 or value == _AS_TRANS:
        return None
    return None if any(first <= value <= last for first, last in _NOBODYS) else value
