"""Names of countries: ISO 3166-1 alpha-2 codes, short English names in plain ASCII.

Each line of `countries.txt`: a code, the country's name, and variants that registries and their customers write.
"""

from pathlib import Path

SPELLINGS = {
    line[:2]: line[3:].split("; ")
    for line in Path(__file__).with_suffix(".txt").read_text(encoding="ascii").splitlines()
}
"""The names of each code; the first is the one we show."""

NAMES = {code: names[0] for code, names in SPELLINGS.items()}

ISO = frozenset(NAMES) - {"EU", "XK", "XX"}
"""Codes that ISO 3166-1 assigns to countries. `NAMES` has other codes in use too."""


def name_of(code: str) -> str:
    """The country's name, or the code itself if it is unknown."""
    return NAMES.get(code, code)


def is_country(text: str) -> bool:
    """Whether an import may use this code as a country: it is in ISO 3166-1, so not AP, EU, ZZ, or XX for unknown."""
    return text in ISO
