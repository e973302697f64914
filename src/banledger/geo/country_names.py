"""Find a country's code by its name in a registry's postal address. Pure.

ARIN's answers have no field for the country: it is the last line of the registrant's address ("United States"). The
names are those of `countries`, with their variants.
"""

import re
import unicodedata

from banledger.geo.countries import SPELLINGS

_NAME_MOST = 64


def code_of(name: str) -> str | None:
    """The ISO 3166-1 alpha-2 code of a country's name, however it is capitalised, accented or punctuated."""
    return _CODES.get(_plain(name[:_NAME_MOST]))


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).replace("&", " and ")
    kept = "".join(char for char in letters if not unicodedata.combining(char)).casefold()
    words = re.findall("[a-z]+", kept.replace("'", "").replace("’", "").replace(".", ""))
    return " ".join(words[1:] if words[:1] == ["the"] else words)


_CODES = {_plain(name): code for code, names in SPELLINGS.items() if code != "XX" for name in names}
