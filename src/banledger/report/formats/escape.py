"""Make outside text safe to print.

User names, jails, log lines and names of servers are written by attackers. What could steer a terminal (control
characters, escape and OSC sequences), turn text around (bidi overrides), hide (zero width) or break an encoder (lone
surrogates) is shown as a visible escape: `\\x1b`, `\\u202e`. What could be a formula in a spreadsheet is quoted.
"""

import unicodedata

# Letters and marks that print as nothing.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_FORMULA = frozenset("=+-@\t\r")


MOST_SHOWN = 4096
"""Characters of one value that are printed."""


def visible(text: str, most: int = MOST_SHOWN) -> str:
    """Return `text` on one line with harmless characters only; longer text than `most` is cut, with a note."""
    if len(text) > most:
        return f"{visible(text[:most], most)}... ({len(text) - most:,} more characters)"
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _prints(char) else _escape(char) for char in text)


def _prints(char: str) -> bool:
    return char.isprintable() and char not in _BLANK and not unicodedata.category(char).startswith("M")


def _escape(char: str) -> str:
    number = ord(char)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def many(number: int, noun: str) -> str:
    """A number with its noun: `1 ban`, `2,000 addresses`."""
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """The plural of an English noun; right for the nouns used here."""
    return f"{noun[:-1]}ies" if noun.endswith("ry") else noun + ("es" if noun.endswith(("s", "sh")) else "s")


def cell(text: str) -> str:
    """Return `text` as a cell of CSV: escaped, and not a formula."""
    guard = "'" if text[:1] in _FORMULA else ""
    return guard + visible(text, len(text))
