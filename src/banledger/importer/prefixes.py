"""What stands before a message in a log: the forms of prefixes, and which of them a text has. Pure.

    own      2026-11-23 02:13:20,123 fail2ban.actions        [504]: NOTICE  MESSAGE       fail2ban's own file
             2026-11-23 02:13:20,123 fail2ban.actions: WARNING MESSAGE                    0.8
    syslog   Nov 23 02:13:20 web1 fail2ban.actions[504]: NOTICE MESSAGE                   logtarget SYSLOG
             2026-11-23T02:13:20.123456+01:00 web1 fail2ban.actions[504]: NOTICE MESSAGE
             Nov 23 02:13:20 web1 fail2ban[504]: MESSAGE                                  logtarget SYSTEMD-JOURNAL
             Nov 23 02:13:20 web1 fail2ban-server[504]: fail2ban.actions [504]: NOTICE MESSAGE     STDOUT
    custom   anything of which a time is a part                                           logtarget[format="…"]

A prefix is matched from the line's beginning: what another program logged is never taken for fail2ban's. A custom form
is only looked for where most lines have it.
"""

import re
from collections import Counter
from typing import NamedTuple

from banledger.importer.messages import MESSAGE, PLAIN_MESSAGE

_LOCAL = rb"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d"
_NAME = rb"fail2ban(?:\.\w+){1,5} *(?:\[\d+\])? ?: *[A-Z]+ +"
_ISO = _LOCAL + rb"(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)"
_YEARLESS = rb"[A-Z][a-z][a-z] [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,6})?"
_UNIX = rb"\d{9,10}\.\d{3,6}"
_SENDER = rb" [^ \n]{1,255} (?:fail2ban(?:-server|-client)?(?:\[\d+\])?: +(?:" + _LOCAL + rb"[.,]\d{1,6} +)?)?(?:"
_SENDER += _NAME + rb")?"
_FROM_US = rb"(?= [^ \n]{1,255} fail2ban)"

_MOST_SAMPLES = 200
_MOST_FORMS = 8
_LONGEST = 1024  # a pattern of 100,000 words takes seconds to be compiled
_ENOUGH = 0.5  # of the lines


class Prefix(NamedTuple):
    """A form of prefixes.

    clock    the method of `Stamps` that reads its time
    before   matches it from the line's beginning; group 1 is the time, group 2 its fraction
    pattern  the same with a message: the groups of MESSAGE follow
    """

    clock: str
    before: re.Pattern[bytes]
    pattern: re.Pattern[bytes]


def _prefix(clock: str, before: bytes) -> Prefix:
    return Prefix(clock, re.compile(rb"(?m)^" + before), re.compile(rb"(?m)^" + before + MESSAGE))


_OWN = _prefix("local", rb"(" + _LOCAL + rb")(?:[.,](\d{1,6}))? +" + _NAME)
_PRIORITY = rb"(?:<\d{1,3}>)?"
FIXED = (
    _OWN,
    _prefix("yearless", _PRIORITY + rb"(" + _YEARLESS + rb")()" + _FROM_US + _SENDER),
    _prefix("iso", _PRIORITY + rb"(" + _ISO + rb")()" + _FROM_US + _SENDER),
    _prefix("unix", rb"(" + _UNIX + rb")()" + _FROM_US + _SENDER),
)
"""The forms that fail2ban and syslog have by themselves."""

NO_PREFIX = re.compile(rb"(?:(?:" + _LOCAL + rb"[.,]\d{1,6} +)?" + _NAME + rb")?" + MESSAGE)
"""A message of the journal, which says the time and the sender beside it. Groups: those of MESSAGE."""

_SYSLOG = re.compile(
    _PRIORITY + rb"(?:" + _YEARLESS + rb"|" + _ISO + rb"|" + _UNIX + rb") [^ ]{1,255} [^ :\[]{1,255}(?:\[\d+\])?: "
)
_MESSAGE_IN_LINE = re.compile(PLAIN_MESSAGE)
_TIMES = (
    ("iso", re.compile(rb"(?<![\d-])" + _ISO)),
    ("local", re.compile(rb"(?<![\d-])" + _LOCAL)),
    ("unix", re.compile(rb"(?<![\d.])" + _UNIX + rb"(?![\d.])")),
    ("yearless", re.compile(_YEARLESS)),
)
_WORD = re.compile(rb"([\w.<>-]+)|( +)")


def prefixes_of(head: bytes) -> list[Prefix]:
    """The forms of prefixes that a text has; the fixed ones before custom ones."""
    found = [form for form in FIXED if form.before.search(head)]
    return found or _custom(head)


def is_dateless(head: bytes) -> bool:
    """Whether a text has fail2ban's messages without any time."""
    return any(NO_PREFIX.match(line) for line in head.split(b"\n", _MOST_SAMPLES)[:_MOST_SAMPLES])


def looks_like_syslog(head: bytes) -> bool:
    """Whether most lines of a text are of some program's messages in syslog's form."""
    lines = [line for line in head.split(b"\n", _MOST_SAMPLES)[:_MOST_SAMPLES] if line]
    return sum(bool(_SYSLOG.match(line)) for line in lines) >= max(1, _ENOUGH * len(lines))


def _custom(head: bytes) -> list[Prefix]:
    """Forms with a time that most lines of the text have. In syslog, others could make lines up: it has none."""
    if looks_like_syslog(head):
        return []
    lines = [line for line in head.split(b"\n") if line.strip()]
    samples = (message for line in lines if (message := _MESSAGE_IN_LINE.search(line)))
    seen: Counter[tuple[str, bytes]] = Counter()
    for _, message in zip(range(_MOST_SAMPLES), samples, strict=False):
        if form := _generalised(message.string[: message.start()]):
            seen[form] += 1
    forms = [_prefix(*form) for form, _ in seen.most_common(_MOST_FORMS)]
    fits = sum(any(form.before.match(line) for form in forms) for line in lines)
    return forms if fits >= _ENOUGH * len(lines) else []


def _generalised(before: bytes) -> tuple[str, bytes] | None:
    """The form of a prefix: its time, any word for a word, blanks for blanks; None: it has no time, or is too long."""
    if len(before) > _LONGEST:
        return None
    found = ((clock, pattern, time) for clock, pattern in _TIMES if (time := pattern.search(before)))
    clock, pattern, time = next(found, ("", None, None))
    if pattern is None or time is None:
        return None
    after = before[time.end() :]
    fraction = re.match(rb"[.,]\d{1,6}", after) if clock == "local" else None
    middle = rb"(?:[.,](\d{1,6}))?" if fraction else rb"()"
    after = after[fraction.end() :] if fraction else after
    form = _words(before[: time.start()]) + rb"(" + pattern.pattern + rb")" + middle + _words(after)
    return clock, form


def _words(text: bytes) -> bytes:
    pieces, at = [], 0
    for word in _WORD.finditer(text):
        pieces += [re.escape(text[at : word.start()]), rb"[\w.<>-]+" if word[1] else rb" +"]
        at = word.end()
    return b"".join(pieces) + re.escape(text[at:])
