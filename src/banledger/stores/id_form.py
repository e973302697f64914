"""The form of ids, which engines may store in fewer bytes: a UTC day (YYMMDD), then digits of base 32. Pure."""

import re

ID_LENGTH = 20

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's alphabet: its order is ASCII's, so text order is number order."""

PAIRS = tuple(a + b for a in DIGITS for b in DIGITS)
"""Two digits, by their number."""

_match = re.compile(f"[0-9]{{6}}[{DIGITS}]{{{ID_LENGTH - 6}}}").fullmatch


def has_id_form(text: str) -> bool:
    """Whether a text has the form of an id."""
    return _match(text) is not None
