"""Names of countries: ISO 3166-1 alpha-2 codes, short English names in plain ASCII.

A line of `countries.txt` is a code, the country's name, and what registries and their customers write instead.
"""

from pathlib import Path

SPELLINGS = {
    line[:2]: line[3:].split("; ")
    for line in Path(__file__).with_suffix(".txt").read_text(encoding="ascii").splitlines()
}
"""The names of each code, ours first."""

NAMES = {code: names[0] for code, names in SPELLINGS.items()}

ISO = frozenset(NAMES) - {"EU", "XK", "XX"}
"""The codes that ISO 3166-1 gives to countries. The others in `NAMES` are used, but not for a country of its list."""


def name_of(code: str) -> str:
    """The country's name, or the code itself if nobody knows it."""
    return NAMES.get(code, code)


def is_country(text: str) -> bool:
    """Whether an import may name this as a country: a code of ISO 3166-1. Not so AP, EU, ZZ, or XX for unknown."""
    return text in ISO
