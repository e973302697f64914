"""Remove from texts whatever could identify people or machines: addresses, names, passwords.

Theory of operation. What is known to be secret or a name is replaced first. Of the rest only what is known to be
harmless stays: words that banledger's own sources contain, numbers, times, versions, names of files. Any other word
becomes a placeholder that says its kind: `ip-1`, `host-2`, `mail-1`, `name-3`. The same text always becomes the same
placeholder. A value after `password=` and the like is removed whole.

A name that is also a word of our sources stays, unless it is known: a host called `report` that no setting names.
"""

import errno
import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

REMOVED = "<removed>"
_OPEN, _CLOSE = "\ue000", "\ue001"  # around placeholders
_PIECE = re.compile(rf"{_OPEN}[^{_CLOSE}]*{_CLOSE}|[^\s\"'`()<>{{}},;=|/\\{_OPEN}{_CLOSE}]+")
_SECRET = re.compile(
    r"(?im)^(.*?(?:pass|secret|token|credential|auth|apikey|api_key)[^\s=:]*(?<!/)\s*[=:]\s*)(?!//)(\S.*)$"
)
_QUAD = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}")
_PLAIN = re.compile(
    r"[-+]?\d{1,15}([.,]\d{1,9})?(%|[bskmghd]|ms|min|us|[kmgt]i?b)?"  # numbers, sizes, durations
    r"|\d{4}-\d\d-\d\d(t\d\d:\d\d:\d\d([.,]\d+)?(z|[-+]\d\d:?\d\d)?)?|\d\d:\d\d(:\d\d([.,]\d+)?)?"  # times
    r"|v?\d{1,4}\.\d{1,6}(\.\d{1,6})?"  # versions
    r"|python\d(\.\d{1,2})?|\d{13}-[0-9a-f]{8}-\d{1,9}\.jsonl|-+|\++"
    r"|fail2ban\.([a-z]+reader|actions?|filter|server|jail|transmitter|database|observer|banledger)|x86_64|aarch64"
)
_WITH_DIGITS = frozenset({"fail2ban", "sqlite3", "python3", "ipv4", "ipv6", "utf8", "sha256", "urllib3"})
_ENDINGS = frozenset(
    {"py", "pyc", "log", "conf", "local", "db", "toml", "txt", "json", "jsonl", "service", "socket", "sock", "sqlite3"}
    | {"gz", "d", "pid", "lock", "new", "target", "scope"}
)
_SYSTEMD = frozenset(
    {"deactivated", "successfully", "scheduled", "job", "counter", "main", "exited", "killed", "signal", "dumped"}
    | {"watchdog", "timeout", "consumed", "cpu", "time", "triggered", "entered", "control", "status", "term", "core"}
)
_PARTS = re.compile(r"[._:+\-#%&*~^$!?\[\]]+")


def vocabulary() -> frozenset[str]:
    """The words of banledger's own sources, of the system's errors, and of systemd about a service."""
    words = (word for text in _texts(files("banledger")) for word in re.findall(r"[a-z]+", text.lower()))
    errors = (word for code in errno.errorcode for word in re.findall(r"[a-z]+", os.strerror(code).lower()))
    return frozenset(words) | frozenset(errors) | _SYSTEMD


def _texts(place: Traversable) -> Iterable[str]:
    for entry in place.iterdir():
        if entry.is_dir():
            yield from _texts(entry)
        elif entry.name.endswith((".py", ".service", ".toml")):
            yield entry.read_text(encoding="utf-8")


class Redaction:
    """secrets: removed wherever they are. names: replaced, each with its kind. words: what may stay."""

    def __init__(self, words: frozenset[str], secrets: Iterable[str], names: Mapping[str, str]) -> None:
        self._words = words | _WITH_DIGITS
        self._names = {name.casefold(): kind for name, kind in names.items() if name}
        known = sorted({*filter(None, secrets), *filter(None, names)}, key=len, reverse=True)
        self._secrets = {secret.casefold() for secret in secrets}
        self._known = re.compile("|".join(map(re.escape, known)), re.IGNORECASE) if known else None
        self._placeholders: dict[tuple[str, str], str] = {}

    def value(self, value: Any) -> Any:
        """The same value, with all its texts redacted, also the keys of mappings."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self.value(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(inner) for inner in value]
        return value

    def text(self, text: str) -> str:
        """The text, redacted."""
        text = text.replace(_OPEN, " ").replace(_CLOSE, " ")
        if self._known is not None:
            text = self._known.sub(self._replace_known, text)
        text = _SECRET.sub(lambda found: f"{found[1]}{_OPEN}{REMOVED}{_CLOSE}", text)
        return _PIECE.sub(self._replace_piece, text).replace(_OPEN, "").replace(_CLOSE, "")

    def _replace_known(self, found: re.Match[str]) -> str:
        text = found[0].casefold()
        shown = REMOVED if text in self._secrets else self._placeholder(self._names.get(text, "name"), text)
        return f"{_OPEN}{shown}{_CLOSE}"

    def _replace_piece(self, found: re.Match[str]) -> str:
        piece = found[0]
        if piece.startswith(_OPEN):
            return piece
        bare = piece.strip(".:!?[]")
        if not bare:
            return piece
        kind = self._kind(bare)
        return piece if not kind else piece.replace(bare, f"{_OPEN}{self._placeholder(kind, bare.casefold())}{_CLOSE}")

    def _placeholder(self, kind: str, text: str) -> str:
        count = sum(1 for one, _ in self._placeholders if one == kind)
        return self._placeholders.setdefault((kind, text), f"{kind}-{count + 1}")

    def _kind(self, piece: str) -> str:
        """What a piece of text may be that must not stay; empty if it may stay."""
        lower = piece.lower()
        if _PLAIN.fullmatch(lower):
            return ""
        if "@" in piece:
            return "mail"
        if _QUAD.search(piece) or _is_address(piece):
            return "ip"
        *_, last = lower.split(".")
        if "." in piece and _PARTS.split(last)[0] not in _ENDINGS:
            return "host"
        allowed = self._words | _ENDINGS
        return "" if all(part in allowed for part in _PARTS.split(lower) if part) else "name"


def _is_address(text: str) -> bool:
    """Whether it is an address of IPv6, perhaps with a scope or a port."""
    for one in (text, text.partition("%")[0], text.rpartition(":")[0].strip("[]")):
        try:
            ipaddress.ip_address(one)
        except ValueError:
            continue
        return True
    return False
