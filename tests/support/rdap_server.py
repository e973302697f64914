"""All registries on the loopback, for tests: real TLS and HTTP, with answers, limits and misbehaviour on order.

    with RdapServer(directory) as server:
        server.answer("ripe", network)  # a dictionary, as RDAP has it; see `tests/support/rdap_answers.py`
        assert server.lookup().ask("193.0.6.139").network
        assert server.requests[0].path == "/ip/193.0.6.139"

Every host of HOSTS is here, behind one port, with a certificate that an authority of ours signed. Clients get here by
their own wiring (`resolve`, `ca`), or as any program does: `environment` names a proxy and the authority.
"""

import gzip
import json
import re
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeAlias

from banledger.whois.http.client import Transport
from banledger.whois.rdap.bootstrap_refresh import Refreshed
from banledger.whois.rdap.client import Lookup
from tests.support.servers import missing

HOSTS = {
    "arin": "rdap.arin.net",
    "ripe": "rdap.db.ripe.net",
    "apnic": "rdap.apnic.net",
    "lacnic": "rdap.lacnic.net",
    "afrinic": "rdap.afrinic.net",
    "jpnic": "jpnic.rdap.apnic.net",
    "krnic": "krnic.rdap.apnic.net",
    "idnic": "idnic.rdap.apnic.net",
    "twnic": "twnic.rdap.apnic.net",
    "nicbr": "rdap.registro.br",
    "iana": "data.iana.org",
}
BASES = {"arin": "/registry/", "lacnic": "/rdap/", "afrinic": "/rdap/"}

Fault = Literal[
    "close",  # without a byte
    "close mid-body",
    "deep nesting",
    "drip body",
    "drip headers",
    "endless body",
    "endless headers",
    "error",  # status 500
    "gzip",  # packed, though nobody asked for it
    "gzip bomb",
    "misnamed",  # a certificate for another name
    "not JSON",
    "redirect",  # to `target`
    "redirect endless",  # to a new place every time
    "redirect loop",
    "slow",
    "wrong network",
]
Limit = Literal["429", "503", "notice"]
Json: TypeAlias = dict[str, Any]

_BOMB = gzip.compress(b" " * (64 << 20), 6)
_DRIP_S = 0.02
_LONG_S = 60.0


class Request(NamedTuple):
    """One request as it came: to whom (a key of HOSTS), the path, headers in lower case, and when (server's clock)."""

    registry: str
    path: str
    headers: Mapping[str, str]
    moment: float


class _Limited(NamedTuple):
    most: int
    window_s: float
    how: Limit
    retry_after: str


class RdapServer:
    """See above. Its methods may be called while it runs, from any thread. `clock`: any seconds; for limits and log."""

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.requests: list[Request] = []
        self.tunnels: list[tuple[str, Mapping[str, str]]] = []
        self.ca = directory / "rdap-ca.crt"
        self.over = threading.Event()
        self._clock = clock
        self._networks: dict[str, list[Json]] = {}
        self._redirects: dict[str, list[tuple[str, str]]] = {}
        self._faults: dict[str, tuple[Fault, str]] = {}
        self._limits: dict[str, _Limited] = {}
        self._files: dict[str, bytes] = {}
        _certify(directory)
        self._contexts = {name: _context(directory, name) for name in ("rdap", "misnamed")}
        self._contexts["rdap"].sni_callback = self._choose
        self._web = _Server(self, _Web)
        self._proxy = _Server(self, _Tunnel)

    def __enter__(self) -> Self:
        for server in (self._web, self._proxy):
            threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.over.set()
        for server in (self._web, self._proxy):
            server.shutdown()
            server.server_close()

    # What it says

    def answer(self, registry: str, network: Json) -> None:
        """From now on that registry has this network, among others; the smallest around an address is told."""
        self._networks.setdefault(registry, []).insert(0, network)

    def redirect(self, registry: str, cidr: str, to: str) -> None:
        """From now on that registry sends whoever asks about an address of `cidr` on to another one."""
        self._redirects.setdefault(registry, []).append((cidr, to))

    def fault(self, registry: str, fault: Fault, target: str = "") -> None:
        """From now on that registry misbehaves."""
        self._faults[registry] = fault, target

    def limit(
        self, registry: str, most: int = 0, window_s: float = 60.0, how: Limit = "429", retry_after: str = ""
    ) -> None:
        """From now on that registry answers at most so many requests in so many seconds of the clock."""
        self._limits[registry] = _Limited(most, window_s, how, retry_after)

    def file(self, name: str, content: bytes) -> None:
        """From now on IANA has this bootstrap file (`ipv4.json`, `ipv6.json`)."""
        self._files[f"/rdap/{name}"] = content

    def behave(self) -> None:
        """No faults and limits any more."""
        self._faults.clear()
        self._limits.clear()

    # Ways in

    def resolve(self, host: str, _port: int) -> list[tuple[str, int]]:
        """A `peer.Resolve`: every host that is here; OSError for any other."""
        if host not in HOSTS.values():
            raise OSError(f"no test knows {host}")
        return [("127.0.0.1", self.port)]

    @property
    def port(self) -> int:
        """Of https, whatever the host."""
        return self._web.server_address[1]

    @property
    def proxy(self) -> str:
        """An HTTP proxy that takes CONNECT to the hosts that are here, and to no others."""
        return f"http://127.0.0.1:{self._proxy.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead any client here: the proxy, and whom to trust."""
        return {"HTTPS_PROXY": self.proxy, "https_proxy": self.proxy, "NO_PROXY": "", "SSL_CERT_FILE": str(self.ca)}

    def transport(self, **options: Any) -> Transport:
        """A transport that gets here."""
        mine: dict[str, Any] = {"ca": self.ca, "resolve": self.resolve, "permitted": lambda _: True, "environment": {}}
        return Transport(**(mine | options))

    def lookup(self, *, deadline_s: float = 10.0, **options: Any) -> Lookup:
        """A look-up that asks here."""
        return Lookup(self.transport().get, Refreshed(), deadline_s=deadline_s, **options)

    # Inside

    def context(self) -> ssl.SSLContext:
        """For a new connection."""
        return self._contexts["rdap"]

    def note(self, registry: str, path: str, headers: Mapping[str, str]) -> None:
        """Write a request down."""
        self.requests.append(Request(registry, path, {name.lower(): headers[name] for name in headers}, self._clock()))

    def fault_of(self, registry: str) -> tuple[Fault | None, str]:
        """What it is to do wrong, and its target."""
        return self._faults.get(registry, (None, ""))

    def reply(self, registry: str, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of what it is to say."""
        limit = self._limits.get(registry)
        if limit is not None and self._asked_within(registry, limit.window_s) > limit.most:
            return _limited(limit)
        if registry == "iana":
            return (200, {}, self._files[path]) if path in self._files else (404, {}, b"")
        base = BASES.get(registry, "/") + "ip/"
        asked = path.removeprefix(base).partition("?")[0] if path.startswith(base) else ""
        for cidr, to in self._redirects.get(registry, []):
            if asked and _covers(cidr, asked):
                return 302, {"Location": f"https://{HOSTS[to]}{BASES.get(to, '/')}ip/{asked}"}, b""
        network = self._network(registry, asked) if asked else None
        if network is None:
            return 404, {}, json.dumps({"errorCode": 404, "title": "Not Found"}).encode()
        return 200, {}, json.dumps(network).encode()

    def _asked_within(self, registry: str, seconds: float) -> int:
        now = self._clock()
        return sum(one.registry == registry and now - one.moment < seconds for one in self.requests)

    def _network(self, registry: str, asked: str) -> Json | None:
        around = [
            (_size(network), number)
            for number, network in enumerate(self._networks.get(registry, []))
            if any(_covers(cidr, asked) for cidr in _cidrs(network))
        ]
        return self._networks[registry][min(around)[1]] if around else None

    def _choose(self, connection: ssl.SSLObject, host: str | None, _context: ssl.SSLContext) -> None:
        names = [name for name, known in HOSTS.items() if known == host]
        if any(self.fault_of(name)[0] == "misnamed" for name in names):
            connection.context = self._contexts["misnamed"]


def _limited(limit: _Limited) -> tuple[int, dict[str, str], bytes]:
    if limit.how == "notice":
        said = "Rate Limit is maxed at 10 queries per 1 minutes."
        notice = {"title": "Rate Limit Notice", "description": [said]}
        return 200, {}, json.dumps({"rdapConformance": ["rdap_level_0"], "notices": [notice]}).encode()
    return int(limit.how), {"Retry-After": limit.retry_after} if limit.retry_after else {}, b"{}"


def _cidrs(network: Json) -> Iterator[str]:
    for cidr in network.get("cidr0_cidrs", []):
        yield f"{cidr.get('v4prefix') or cidr.get('v6prefix')}/{cidr['length']}"
    ends = [network[end].partition("/")[0] for end in ("startAddress", "endAddress")]
    first, last = ends if ":" in ends[0] else (re.sub(r"\b0+(?=\d)", "", end) for end in ends)
    yield f"{first}-{last}"


def _covers(cidr: str, asked: str) -> bool:
    address = ip_network(asked).network_address
    if "-" in cidr:
        first, last = map(ip_address, cidr.split("-"))
        return address.version == first.version and int(first) <= int(address) <= int(last)
    network = ip_network(cidr)
    return address.version == network.version and address in network


def _size(network: Json) -> int:
    first, last = list(_cidrs(network))[-1].split("-")
    return int(ip_address(last)) - int(ip_address(first))


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, owner: RdapServer, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.owner = owner

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away in the middle are what this server is for; other errors are told."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Web(BaseHTTPRequestHandler):
    """One connection of https."""

    server: _Server
    timeout = _LONG_S

    def setup(self) -> None:
        self.request.settimeout(_LONG_S)
        self.request = self.server.owner.context().wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        with suppress(OSError):
            self.request.close()

    def do_GET(self) -> None:
        owner = self.server.owner
        host = self.headers.get("Host", "")
        registry = next((name for name, known in HOSTS.items() if known == host), host)
        owner.note(registry, self.path, dict(self.headers))
        fault, target = owner.fault_of(registry)
        status, headers, body = owner.reply(registry, self.path)
        self.close_connection = True
        with suppress(OSError):
            if fault is None or fault == "misnamed":
                self._say(status, headers, body)
            else:
                self._misbehave(fault, target, body)

    def log_message(self, format: str, *args: Any) -> None:
        """Not on the terminal."""

    def _say(self, status: int, headers: dict[str, str], body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/rdap+json"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def _misbehave(self, fault: Fault, target: str, body: bytes) -> None:
        said: dict[Fault, Callable[[], None]] = {
            "close": lambda: None,
            "close mid-body": lambda: self._say(200, {}, body[: len(body) // 2], len(body) + 1),
            "deep nesting": lambda: self._say(200, {}, b"[" * 100_000),
            "drip body": lambda: self._drip(b"HTTP/1.1 200 OK\r\n\r\n", b" "),
            "drip headers": lambda: self._drip(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
            "endless body": lambda: self._pour(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65_536),
            "endless headers": lambda: self._pour(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
            "error": lambda: self._say(500, {}, b"oh"),
            "gzip": lambda: self._say(200, {"Content-Encoding": "gzip"}, gzip.compress(body)),
            "gzip bomb": lambda: self._say(200, {"Content-Encoding": "gzip"}, _BOMB),
            "not JSON": lambda: self._say(200, {"Content-Type": "text/html"}, b"<html>Service</html>"),
            "redirect": lambda: self._say(302, {"Location": target}, b""),
            "redirect endless": lambda: self._say(302, {"Location": f"?{len(self.server.owner.requests)}"}, b""),
            "redirect loop": lambda: self._say(301, {"Location": self.path}, b""),
            "slow": lambda: self._wait(_LONG_S),
            "wrong network": lambda: self._say(200, {}, json.dumps(_ELSEWHERE).encode()),
        }
        said[fault]()

    def _wait(self, seconds: float) -> None:
        if self.server.owner.over.wait(seconds):
            raise OSError("the server ends")

    def _drip(self, first: bytes, drop: bytes) -> None:
        self.wfile.write(first)
        while True:
            self.wfile.write(drop)
            self._wait(_DRIP_S)

    def _pour(self, first: bytes, more: bytes) -> None:
        self.wfile.write(first)
        while True:
            self.wfile.write(more)


_ELSEWHERE = {
    "objectClassName": "ip network",
    "handle": "ELSEWHERE",
    "startAddress": "198.51.100.0",
    "endAddress": "198.51.100.255",
}


class _Tunnel(socketserver.StreamRequestHandler):
    """One CONNECT."""

    server: _Server

    def handle(self) -> None:
        where = self.rfile.readline(4096).split()[1].decode()
        headers: dict[str, str] = {}
        while (line := self.rfile.readline(4096).decode().strip()) != "":
            headers[line.partition(":")[0].lower()] = line.partition(":")[2].strip()
        headers.pop("host", None)  # some versions of the client send it
        self.server.owner.tunnels.append((where, headers))
        if where.removesuffix(":443") not in HOSTS.values():
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self.server.owner.port)) as there:
            back = threading.Thread(target=_pump, args=(there, self.request), daemon=True)
            back.start()
            _pump(self.request, there)
            back.join(_LONG_S)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


# Certificates

_EXTENSIONS = f"""\
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[rdap]
subjectAltName = {", ".join(f"DNS:{host}" for host in HOSTS.values())}
extendedKeyUsage = serverAuth
authorityKeyIdentifier = keyid
[misnamed]
subjectAltName = DNS:elsewhere.example
extendedKeyUsage = serverAuth
authorityKeyIdentifier = keyid
"""


def _certify(directory: Path) -> None:
    """An authority, a certificate for HOSTS and one for another name; nothing if they are there."""
    if (directory / "misnamed.crt").exists():
        return
    program = shutil.which("openssl") or missing("openssl")
    config = directory / "rdap.cnf"
    config.write_text(_EXTENSIONS)

    def openssl(*words: str) -> None:
        subprocess.run([program, *words], cwd=directory, check=True, capture_output=True, timeout=60)

    def request(name: str, *words: str) -> None:
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", config.name]
        openssl("req", "-new", *kind, "-keyout", f"{name}.key", "-subj", f"/CN=test {name}", *words)

    request("rdap-ca", "-x509", "-days", "2", "-extensions", "ca", "-out", "rdap-ca.crt")
    for serial, name in enumerate(("rdap", "misnamed"), 2):
        request(name, "-out", f"{name}.csr")
        by = ["-CA", "rdap-ca.crt", "-CAkey", "rdap-ca.key", "-set_serial", str(serial), "-days", "2"]
        use = ["-extfile", config.name, "-extensions", name]
        openssl("x509", "-req", "-in", f"{name}.csr", *by, *use, "-out", f"{name}.crt")


def _context(directory: Path, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / f"{name}.crt", directory / f"{name}.key")
    return context
