"""The user names of a ban, as a record keeps them.

Theory of operation. fail2ban keeps the user names that one connection tried as a set. Its database stores the set as
the text of a list, and passes that text to the action when it restores the ticket. Earlier actions wrote the text as
one name, cut at 256 characters: `"users":["['root', 'pi']"]`. `whole` reads the names from it. A record never keeps
such a text, so `whole` does not change its result.
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
    """Return the names in a line, as a record keeps them. `restored`: they come from fail2ban's database."""
    users = _kept(names)
    return whole(users) if restored else users


def whole(users: tuple[str, ...]) -> tuple[str, ...]:
    """Return the users of a restored record, read from the text of a list. Returns `users` itself if it is not one."""
    while len(users) == 1 and (listed := _listed(users[0])) is not None:
        users = _kept(listed)
    return users


def _kept(names: Iterable[str]) -> tuple[str, ...]:
    """Sort and limit the names; sshd's filter passes `invalid user root` instead of `root`."""
    kept = {name.removeprefix(_INVALID_USER)[:_LONGEST] for name in names}
    kept.discard("")
    return tuple(sorted(kept)[:_MOST])


def _listed(text: str) -> list[str] | None:
    """Return the names in the text of a list, without a last name that was cut; None: not such a text."""
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
    """Return lone surrogates (bytes that were not UTF-8) as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()
