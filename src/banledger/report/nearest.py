"""Suggest the known name that a mistyped one is nearest to."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

_NONE: Mapping[str, str] = MappingProxyType({})


def nearest(value: str, known: Iterable[str], synonyms: Mapping[str, str] = _NONE) -> str:
    """`; did you mean 'sshd'?` for the known name that is nearest to the value, else an empty text.

    synonyms: known names by other words for them. Upper and lower case are the same.
    """
    from difflib import get_close_matches  # needed for errors only

    names = {word.casefold(): name for word, name in synonyms.items()} | {
        name.casefold(): name for name in sorted(known)
    }
    near = get_close_matches(value.casefold(), names, n=1)
    return f"; did you mean {names[near[0]]!r}?" if near else ""
