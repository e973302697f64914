"""The one file that adds our action to the jails, and keeps every action that they have.

Theory of operation. The file is read last. It sets the default `action` to its present text and ours, and does the same
in each section that has an `action` of its own. What to write there depends on how that action is written:

- KEEP: `%(known/action)s`, which is what the files before say, also after a later change of them. It can't be used
  twice (`known/action` would then stand for itself).
- COPY: the text as written, where `%(known/action)s` is replaced by what it stands for now.
- LEAVE: nothing; the section refers to an action that ours was added to.
- FIX: the text with all references resolved. It is the last resort, as later changes of what it refers to are not seen.

fail2ban itself says what is right: `wrong` compares what it reads without the file and with it, and `next_forms` gives
another form to each jail where the two differ by anything but our action, once. Nothing here does I/O.
"""

import re
from collections.abc import Collection, Mapping
from enum import IntEnum

from msgspec import Struct

from banledger.setup.configuration import ACTION, JailConfiguration, ReadJail

_KNOWN = re.compile(r"%\(known/action\)s", re.IGNORECASE)
_OTHER = re.compile(r"%\(([^()]+)/action\)s")
_INDENT = " " * 9  # below `action = `
_HEAD = """\
# Made by `banledger setup`: banledger's action beside the actions that each jail has. Don't change it: run
# `banledger setup` again after you changed an `action` elsewhere, and `banledger setup --undo` to remove it.
"""


class SectionForm(IntEnum):
    """How a section adds our action. The order is that of the trials."""

    KEEP = 0
    COPY = 1
    LEAVE = 2
    FIX = 3


class Wish(Struct, frozen=True):
    """What the file is to say. jails: only these, empty: all. journal: jails that shall read systemd's journal."""

    options: Mapping[str, str]
    jails: tuple[str, ...] = ()
    journal: tuple[str, ...] = ()

    def line(self) -> str:
        """Our action's line."""
        words = [f'{name}="{_quoted(value)}"' for name, value in self.options.items()]
        return f"{ACTION}.py[{', '.join(words)}]"


SectionForms = Mapping[str, SectionForm]


def first_forms(before: JailConfiguration, wish: Wish) -> dict[str, SectionForm]:
    """The form of each section that needs one, to begin with."""
    forms = {}
    for jail in before.jails:
        if _has_ours(jail.action) or (wish.jails and jail.name not in wish.jails):
            continue
        if jail.own is not None or wish.jails:
            forms[jail.name] = (
                SectionForm.COPY if jail.own is not None and _KNOWN.search(jail.own) else SectionForm.KEEP
            )
    return forms


def compose(before: JailConfiguration, wish: Wish, forms: SectionForms) -> str:
    """The file's text."""
    sections: dict[str, list[str]] = {}
    if not wish.jails and not _has_ours(before.default):
        sections["DEFAULT"] = _action(before.default or "", wish)
    for jail in before.jails:
        lines = ["backend = systemd"] if jail.name in wish.journal else []
        if (form := forms.get(jail.name, SectionForm.LEAVE)) is not SectionForm.LEAVE:
            lines += _action(_text(jail, before.default or "", form), wish)
        if lines:
            sections[jail.name] = lines
    return _HEAD + "".join(f"\n[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())


def wrong(before: JailConfiguration, after: JailConfiguration, wish: Wish) -> dict[str, str]:
    """Jails that differ by anything but our action, each with the reason."""
    now = {jail.name: jail for jail in after.jails}
    found = {jail.name: _difference(jail, now.get(jail.name), wish) for jail in before.jails}
    return {name: reason for name, reason in found.items() if reason}


def next_forms(
    before: JailConfiguration, forms: SectionForms, wrongs: Collection[str]
) -> dict[str, SectionForm] | None:
    """The forms to try after these, None: there are no others."""
    own = {jail.name: jail.own for jail in before.jails}
    following = dict(forms)
    for name in wrongs:
        if name in forms and forms[name] < SectionForm.FIX:
            following[name] = SectionForm(forms[name] + 1)
        for other in _OTHER.findall(own[name] or ""):
            if (
                following.get(other) is SectionForm.KEEP
            ):  # `known/action` in it means this jail's when it is read from here
                following[other] = SectionForm.COPY
    return following if following != forms else None


def _difference(before: ReadJail, after: ReadJail | None, wish: Wish) -> str:
    if after is None:
        return "fail2ban no longer finds it"
    if after.enabled != before.enabled:
        return "it would be enabled or disabled by this"
    if before.error and not before.enabled:
        return ""  # as it is: nobody knows its actions
    if after.error != before.error:
        return after.error or "its error is gone"
    added = not wish.jails or before.name in wish.jails
    wanted = [*before.actions(), *([ACTION] if added and ACTION not in before.actions() else [])]
    if before.enabled and not before.error and after.actions() != wanted:
        return f"its actions would be {', '.join(after.actions()) or 'none'}"
    if added and before.enabled and not before.error and before.options() is None and after.options() != wish.options:
        return f"its action's options would be read as {after.options()}"
    same = before.name in wish.journal or before.without_ours() == after.without_ours()
    if not same:
        return "more than its actions would change"
    if not before.enabled and _lines(after.action) != _lines(before.action, wish if added else None):
        return "its action would be another"
    return ""


def _lines(action: str | None, wish: Wish | None = None) -> list[str]:
    lines = [line.strip() for line in (action or "").splitlines() if line.strip()]
    return lines if wish is None or _has_ours(action) else [*lines, wish.line().replace("%%", "%")]


def _text(jail: ReadJail, default: str, form: SectionForm) -> str:
    """An action's text before ours is added."""
    if form is SectionForm.KEEP:
        return "%(known/action)s"
    if form is SectionForm.COPY:
        known = default if jail.known is None else jail.known
        known = _KNOWN.sub(lambda _: default, known)
        return _KNOWN.sub(lambda _: known, jail.own if jail.own is not None else default)
    return (jail.action or "").replace("%", "%%")


def _action(text: str, wish: Wish) -> list[str]:
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    first, *others = [*lines, wish.line()]
    return [f"action = {first}", *(_INDENT + line.strip() for line in others)]


def _has_ours(action: str | None) -> bool:
    return f"{ACTION}.py" in (action or "")


def _quoted(value: str) -> str:
    return value.replace("%", "%%")
