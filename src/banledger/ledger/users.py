"""The user names of a ban, as a record keeps them.

Theory of operation. fail2ban keeps the names that one connection tried as a set. Its database stores the set as the
text of a list, and hands the text to the action when it restores the ticket. Earlier actions wrote that text as
one name, cut at 256 characters: `"users":["['root', 'pi']"]`. `whole` reads the names out of it. What a record keeps
is never such a text, so reading it again changes nothing.
"""

import re
from ast import literal_eval
from collections.abc import Iterable

_MOST = 10
_LONGEST = 256
_INVALID_USER = "invalid user "

_ESCAPE = r"\\(?:[\\'nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})"
_ITEM = re.compile(rf"""('(?:[^'\\]|{_ESCAPE})*'|"(?:[^"\\]|{_ESCAPE})*")(?:, |\]\Z|,?\Z)""")


def tried(names: Iterable[str], *, restored: bool) -> tuple[str, ...]:
    """The names that a line bears, as a record keeps them. `restored`: fail2ban had them from its database."""
    users = _kept(names)
    return whole(users) if restored else users


def whole(users: tuple[str, ...]) -> tuple[str, ...]:
    """The users of a restored record, read out of the text of a list. Returns `users` itself if it is none."""
    while len(users) == 1 and (listed := _listed(users[0])) is not None:
        users = _kept(listed)
    return users


def _kept(names: Iterable[str]) -> tuple[str, ...]:
    """Sorted and bounded; sshd's filter hands `invalid user root` where root is meant."""
    kept = {name.removeprefix(_INVALID_USER)[:_LONGEST] for name in names}
    kept.discard("")
    return tuple(sorted(kept)[:_MOST])


def _listed(text: str) -> list[str] | None:
    """The names in the text of a list, without one that the cut left incomplete; None if it is no such text."""
    if not text.startswith(("['", '["')):
        return None
    names: list[str] = []
    at = 1
    while item := _ITEM.match(text, at):
        names.append(item[1])
        at = item.end()
    if len(text) < _LONGEST and not (at == len(text) and text.endswith("]")):
        return None
    try:
        return [_visible(literal_eval(name)) for name in names]
    except (SyntaxError, ValueError):
        return None


def _visible(name: str) -> str:
    """Lone surrogates (bytes that were not UTF-8) as escapes, as `model` reads them."""
    return name.encode("utf-8", "backslashreplace").decode()
