"""URLs that we request: https, a host name, no ambiguous characters. Pure."""

import re
from urllib.parse import urljoin, urlsplit

from msgspec import Struct

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
_TARGET = re.compile(r"/[!-\[\]-~]*")  # no spaces, no backslash, ASCII only
_URL_MOST = 2048


class Url(Struct, frozen=True):
    """`https://host/target`. host: a name in lower case, never an address; target: path and query."""

    host: str
    target: str

    def __str__(self) -> str:
        return f"https://{self.host}{self.target}"


def https_url(text: str, base: Url | None = None) -> Url:
    """The URL in `text`, which may be relative to `base`. A fragment is left out.

    Raises ValueError for another scheme or port, a user name, or an address as host.
    """
    if len(text) > _URL_MOST or not text.isascii() or not text.isprintable():
        raise ValueError("not a URL")
    parts = urlsplit(urljoin(str(base), text) if base else text)
    if parts.scheme != "https":
        raise ValueError(f"not https: {text}")
    if parts.username is not None or parts.port not in (None, 443):
        raise ValueError(f"a user or a port in the URL: {text}")
    host = parts.hostname or ""
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise ValueError(f"not a host name: {text}")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _TARGET.fullmatch(target):
        raise ValueError(f"not a path: {text}")
    return Url(host, target)
