"""The messages of fail2ban's log from 0.8 to 1.1, without what stands before them. Pure.

    [sshd] Found 192.0.2.1 - 2026-11-23 02:13:20     from 0.9.4 with the failure's time; also `192.0.2.1, bad - TIME, …`
    [sshd] Ban 192.0.2.1                             0.9 logs restored bans so too
    [sshd] Restore Ban 192.0.2.1                     from 0.10
    [sshd] Increase Ban 192.0.2.1 (2 # 20m -> TIME)  from 0.11; the end may be `infinite`
    [sshd] Unban 192.0.2.1                           also for each ban when a jail or the server stops
    [sshd] 192.0.2.1 already banned
    [sshd] Repeal Ban 192.0.2.1                      from 1.1.1, instead of Unban at a stop
    [sshd] Reban 192.0.2.1, action 'x'
    [sshd] Flush ticket(s) with x
    Jail 'sshd' started                              from Python 2 also u'sshd'
    Starting Fail2ban v1.0.2                         also `Start`, `Changed logging target to … for Fail2ban v0.8.6`

A jail has any name without "] ", what it bans is any text.
"""

import re
from typing import NamedTuple

from banledger.importer.log_event import Kind

_OF_JAIL = (
    rb"(?:\[(%b{1,255})\] (?:"
    rb"(Found|Ban|Unban|Restore Ban|Increase Ban|Repeal Ban|Reban|Flush ticket\(s\) with) ([^\n]{1,4500})"
    rb"|([^\n]{1,4500}) already banned\r?)"
)
_OTHER = (
    rb"|(Jail u?'[^\n]{1,255}?' (?:started|stopped)|Start(?:ing)? Fail2ban v[^\n]{1,64}"
    rb"|Changed logging target to [^\n]{1,1024} for Fail2ban v[^\n]{1,64}"
    rb"|Stopping all jails|Exiting Fail2ban)[^\n]{0,64})$"
)

MESSAGE = _OF_JAIL % rb"(?:[^\]\n]|\](?! ))" + _OTHER
"""A message that matters, to its line's end: groups jail, verb, rest; what is already banned; another message."""

PLAIN_MESSAGE = _OF_JAIL % rb"[^][\n]" + _OTHER
"""The same of a jail without brackets in its name, to be found somewhere in a line."""

KINDS = {
    b"Found": Kind.FOUND,
    b"Ban": Kind.BAN,
    b"Unban": Kind.UNBAN,
    b"Restore Ban": Kind.RESTORE,
    b"Increase Ban": Kind.INCREASE,
    b"Repeal Ban": Kind.REPEAL,
    b"Reban": Kind.REBAN,
    b"Flush ticket(s) with": Kind.FLUSH,
}

_INCREASE = re.compile(rb"(.+) \((\d{1,9}) # [^()]{1,64} -> (infinite|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\)", re.DOTALL)
_DATED = re.compile(rb"(.+?)(?:, bad)? - (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:, .*)?", re.DOTALL)
_JAIL = re.compile(rb"Jail u?'(.+)' (started|stopped)")
_VERSION = re.compile(rb"Fail2ban v(\S+)")

INFINITE = b"infinite"
"""The end of a ban without end."""


def text_of_bytes(raw: bytes) -> str:
    """Return a name as text; bytes that are not UTF-8 as a ledger has them."""
    return raw.decode("utf-8", "surrogateescape").encode("utf-8", "backslashreplace").decode()


class Message(NamedTuple):
    """A parsed message: `text` what was banned or the version, `date` local (see LogEvent), empty: none."""

    kind: Kind
    jail: bytes = b""
    text: bytes = b""
    date: bytes = b""
    number: int = 0


def ticket_message(jail: bytes, verb: bytes, rest: bytes) -> Message:
    """Parse the message of a jail from groups of MESSAGE."""
    kind, rest = KINDS[verb], rest.rstrip(b"\r")
    if kind is Kind.FOUND and (dated := _DATED.fullmatch(rest)):
        return Message(kind, jail, dated[1], dated[2])
    if kind is Kind.INCREASE and (longer := _INCREASE.fullmatch(rest)):
        return Message(kind, jail, longer[1], longer[3], int(longer[2]))
    if kind is Kind.REBAN:
        return Message(kind, jail, rest.partition(b", action ")[0])
    return Message(kind, jail, b"" if kind is Kind.FLUSH else rest)


def other_message(text: bytes) -> Message:
    """Parse the last group of MESSAGE: what a jail or the server does."""
    if jail := _JAIL.match(text):
        return Message(Kind.JAIL_STARTED if jail[2] == b"started" else Kind.JAIL_STOPPED, jail[1])
    if version := _VERSION.search(text):
        return Message(Kind.SERVER_STARTED, text=version[1])
    return Message(Kind.STOPPING if text.startswith(b"Stopping") else Kind.EXITED)
