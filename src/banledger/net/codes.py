"""Validate country codes and AS numbers from foreign data. Pure."""

import re

_COUNTRY = re.compile("[A-Z]{2}")
_NO_COUNTRY = {"AP", "EU", "XX", "ZZ"}  # registries use them for a region, or for no country
_ASN = re.compile("(?:AS)?([0-9]{1,10})")
_NOBODYS = ((64_496, 131_071), (4_200_000_000, 4_294_967_295))  # documentation, private, reserved: RFC 5398, 6996, 7300
_AS_TRANS = 23_456  # placeholder for a 32-bit number on old routers, RFC 6793


def country_code(value: object) -> str | None:
    """Return `value` if it is two capital letters that may be a country's ISO 3166 code, else None."""
    if isinstance(value, str) and _COUNTRY.fullmatch(value) and value not in _NO_COUNTRY:
        return value
    return None


def as_number(value: object) -> int | None:
    """Return the number of an autonomous system given as 15169, `15169` or `AS15169`, else None.

    Only numbers that IANA's registry "Autonomous System (AS) Numbers" assigns: not 0, AS_TRANS, private numbers, or
    numbers for documentation.
    """
    if isinstance(value, str):
        written = _ASN.fullmatch(value)
        value = int(written[1]) if written else None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 32 or value == _AS_TRANS:
        return None
    return None if any(first <= value <= last for first, last in _NOBODYS) else value
