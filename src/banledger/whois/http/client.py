"""One GET over https with bounded time (`watchdog`), bounded size, and restricted addresses (`guard`).

It follows no redirects, repeats nothing, and keeps no connection open: there is one query a second.
"""

import http.client
import os
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import closing
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

import urllib3
from msgspec import Struct
from urllib3.connection import HTTPSConnection
from urllib3.response import BaseHTTPResponse

from banledger import __version__
from banledger.whois.http.guard import Resolve, connected, is_public, resolve
from banledger.whois.http.proxy import proxy_for
from banledger.whois.http.url import Url, https_url
from banledger.whois.http.watchdog import Watchdog

BODY_MOST = 256 << 10
"""Bytes of a body, unpacked."""

RETRY_MOST_S = 7 * 86_400.0

_CHUNK = 16 << 10
_TROUBLE = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError, LookupError, zlib.error)


class TransportError(Exception):
    """No response. The message says why; it may contain hostile text."""


class Response(Struct, frozen=True):
    """A response from `url`. body: decompressed; retry_after_s: 0 if absent; location: as sent."""

    status: int
    url: str
    body: bytes
    retry_after_s: float = 0.0
    location: str | None = None


class Transport:
    """HTTPS client. Thread-safe.

    contact     mail address or page for the User-Agent, so that people can complain
    proxy       `http://[user:password@]host:port`; empty: HTTPS_PROXY and NO_PROXY of `environment`. It may be in a
                private network, and resolves host names itself
    ca          file of trusted CA certificates, PEM; None: the system's
    deadline_s  time limit of one request, from the resolver's query to the last byte
    permitted   whether a connection to this address (text) is allowed; checked just before it is made
    clock       UTC epoch seconds, for dates in `Retry-After` of servers that do not say their own
    """

    def __init__(
        self,
        *,
        contact: str = "",
        proxy: str = "",
        ca: Path | None = None,
        deadline_s: float = 20.0,
        permitted: Callable[[str], bool] = is_public,
        resolve: Resolve = resolve,
        clock: Callable[[], float] = time.time,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._agent = user_agent(contact)
        self._proxy = proxy
        self._trust = ssl.create_default_context(cafile=ca)
        self._deadline_s = deadline_s
        self._permitted = permitted
        self._resolve = resolve
        self._clock = clock
        self._environment = environment

    def get(self, url: str, accept: str, *, deadline_s: float | None = None) -> Response:
        """The response to a GET for `accept` (a media type), whatever its status. Raises TransportError only."""
        seconds = self._deadline_s if deadline_s is None else deadline_s
        watchdog = Watchdog(seconds)
        try:
            where = https_url(url)
            with watchdog:
                return self._get(where, accept, watchdog)
        except TransportError:
            raise
        except _TROUBLE as error:
            why = f"no answer within {seconds:.3g} s" if watchdog.expired else _reason(error)
            raise TransportError(f"{url}: {why}") from error

    def _get(self, where: Url, accept: str, watchdog: Watchdog) -> Response:
        connection = self._connection(where, watchdog)
        try:
            connection.request("GET", where.target, headers=self._headers(accept), preload_content=False)
            with closing(connection.getresponse()) as response:
                body = read_body(response)
                watchdog.check()
                return Response(
                    response.status,
                    str(where),
                    body,
                    retry_after_s(response.headers.get("Retry-After", ""), self._moment_of(response)),
                    response.headers.get("Location"),
                )
        finally:
            connection.close()

    def _moment_of(self, response: BaseHTTPResponse) -> float:
        """Time of a response (UTC epoch), by the server's clock if it sends one: ours may be wrong."""
        said = _moment(response.headers.get("Date", ""))
        return self._clock() if said is None else said

    def _headers(self, accept: str) -> dict[str, str]:
        return {"Accept": accept, "Accept-Encoding": "identity", "User-Agent": self._agent, "Connection": "close"}

    def _connection(self, where: Url, watchdog: Watchdog) -> "_Connection":
        proxy = proxy_for(where.host, self._proxy, self._environment)
        if proxy is None:
            connect = partial(connected, where.host, 443, self._permitted, self._resolve, watchdog)
            return _Connection(connect, where.host, ssl_context=self._trust)
        connect = partial(connected, proxy.host, proxy.port, lambda _: True, self._resolve, watchdog)
        connection = _Connection(connect, proxy.host, proxy.port, ssl_context=self._trust)
        connection.set_tunnel(where.host, 443, headers=proxy.headers)
        return connection


class _Connection(HTTPSConnection):
    """A connection made by `connect`, to a checked address; the certificate is still verified for the name."""

    def __init__(self, connect: Callable[[], socket.socket], *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self._connect = connect

    def _new_conn(self) -> socket.socket:
        return self._connect()


def user_agent(contact: str) -> str:
    """The User-Agent header."""
    clean = re.sub(r"[^!-~]|[()\\]", "", contact)[:200]
    return f"banledger/{__version__}" + (f" (+{clean})" if clean else "")


# The response.


def read_body(response: BaseHTTPResponse) -> bytes:
    """The body, decompressed. Raises ValueError if it is too large or its encoding is unknown."""
    if int(response.headers.get("Content-Length", "0")[:20] or 0) > BODY_MOST:
        raise ValueError("the body is too large")
    chunks, size = [], 0
    while chunk := response.read(_CHUNK, decode_content=False):
        chunks.append(chunk)
        size += len(chunk)
        if size > BODY_MOST:
            raise ValueError("the body is too large")
    return unpacked(b"".join(chunks), response.headers.get("Content-Encoding", ""))


def unpacked(body: bytes, encoding: str) -> bytes:
    """The body without its content coding (RFC 9110, 8.4). Raises ValueError or zlib.error."""
    coding = encoding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"unknown content encoding {encoding[:40]!r}")
    machine = zlib.decompressobj(zlib.MAX_WBITS | 32)
    plain = machine.decompress(body, BODY_MOST)
    if not machine.eof:
        raise ValueError("the compressed body is too large or invalid")
    return plain


def retry_after_s(text: str, now: float) -> float:
    """Seconds that a `Retry-After` (RFC 9110, 10.2.3) asks to wait at UTC epoch `now`; 0 if it is invalid."""
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,12}", text):
        return min(float(text), RETRY_MOST_S)
    until = _moment(text)
    return 0.0 if until is None else min(max(until - now, 0.0), RETRY_MOST_S)


def _moment(text: str) -> float | None:
    """UTC epoch seconds of an HTTP date; None if it is invalid."""
    try:
        return parsedate_to_datetime(text[:64]).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _reason(error: BaseException) -> str:
    """An error's message in one line, without the system's error number."""
    said = error.strerror if isinstance(error, OSError) else None
    return " ".join(f"{said or error or type(error).__name__}".split())[:300]
