"""What is said of a server that can't be used is true, and the hint helps. Each against what really is there."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer
from threading import Thread

import pytest

from banledger.cli.main import run
from banledger.errors import StoreError
from banledger.ledger.check import check
from banledger.ledger.opening import open_to_read
from banledger.ledger.writer import open_to_write
from banledger.stores.connect import Access
from tests.conftest import MakeServer
from tests.support.lines import ban, nowhere
from tests.support.servers import Certificates, Flavour, StoreServer, flavour_named

from .recording import Recording
from .test_acl import SECRET, USERS, allow, url, write_all_sorts
from .test_import import predecessor_keys

SELDOM_USED = ("CLIENT", "CONFIG", "DEBUG", "INFO", "KEYS", "SCRIPT", "FLUSHALL", "FLUSHDB", "MONITOR", "SAVE", "ACL")


def refusal(store: str, access: Access = Access()) -> str:  # noqa: B008  # frozen
    """What is said when a ban is to be written there, and the hint."""
    with pytest.raises(StoreError) as caught, closing(open_to_write(store, "bans", "UTC", access)) as ledger:
        ledger.record([ban()], nowhere)
    return f"{caught.value} / {caught.value.hint}"


def without(*commands: str) -> tuple[str, ...]:
    """The words of a server's command line that hide commands."""
    return tuple(word for command in commands for word in ("--rename-command", command, ""))


def assert_no_question_whether_it_runs(said: str) -> None:
    assert "server runs" not in said, said


# Something else answers.


class _Greeting(BaseRequestHandler):
    """Says who it is as soon as somebody connects, as SSH and mail servers do."""

    def handle(self) -> None:
        self.request.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        self.request.recv(65_536)


class _Closing(BaseRequestHandler):
    """A proxy whose server is down."""

    def handle(self) -> None:
        """Nothing."""


@pytest.fixture
def listen() -> Iterator[Callable[[type[BaseRequestHandler], type[TCPServer]], int]]:
    """Runs a small server; its port."""
    with ExitStack() as stack:

        def start(handler: type[BaseRequestHandler], kind: type[TCPServer] = TCPServer) -> int:
            server = stack.enter_context(kind(("127.0.0.1", 0), handler))
            stack.callback(server.shutdown)
            Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            return int(server.server_address[1])

        yield start


class _Quiet(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # its name there
        """Nothing."""


@pytest.mark.parametrize(("handler", "kind"), [(_Quiet, HTTPServer), (_Greeting, TCPServer)])
def test_a_server_of_another_protocol_is_reported_as_not_redis(
    handler: type[BaseRequestHandler], kind: type[TCPServer], listen: Callable[..., int]
) -> None:
    said = refusal(f"redis://127.0.0.1:{listen(handler, kind)}?timeout=2")
    assert "is not a Redis or Valkey server" in said and "check host and port" in said
    assert_no_question_whether_it_runs(said)


def test_a_proxy_without_its_server_is_not_reported_as_a_server_down(listen: Callable[..., int]) -> None:
    said = refusal(f"redis://127.0.0.1:{listen(_Closing)}?timeout=2")
    assert "closed the connection before it answered" in said and "a proxy whose server is down" in said
    assert_no_question_whether_it_runs(said)


def test_a_port_without_tls_is_reported_as_such(listen: Callable[..., int]) -> None:
    said = refusal(f"rediss://127.0.0.1:{listen(_Greeting)}?timeout=2")
    assert "does not speak TLS at that port" in said


def test_a_port_that_requires_tls_or_a_client_certificate_is_reported_as_such(
    private_server: MakeServer, certificates: Certificates
) -> None:
    server = private_server(flavour_named("redis-7"), tls=certificates.tls(clients="yes"))
    said = refusal(f"redis://localhost:{server.tls_port}?timeout=1")
    assert "check whether the port requires TLS (rediss://)" in said
    said = refusal(server.tls_url, Access(tls_ca=str(certificates.ca)))
    assert "can't be reached over TLS" in said and "tls_cert, tls_key" in said
    assert_no_question_whether_it_runs(said)


# Nothing is there.


@pytest.mark.parametrize(
    ("store", "words", "hint"),
    [
        ("redis://127.0.0.1:1", "nothing listens there", "check that the server runs there"),
        ("unix:///nowhere/socket", "there is no such socket", "check that the server runs there"),
        ("redis://no.such.host.invalid", "its name can't be resolved", "this machine's DNS"),
    ],
)
def test_the_reason_of_an_unreachable_server_is_reported(store: str, words: str, hint: str) -> None:
    said = refusal(store)
    assert f"can't be reached: {words}" in said and hint in said


# It takes nobody, or not us.


def test_a_server_at_maxclients_is_reported_until_it_accepts_clients(
    flavour: Flavour, private_server: MakeServer, tmp_path: Path
) -> None:
    server = private_server(flavour, extra=("--maxclients", "4"))
    recording = Recording(tmp_path / "recording", server)
    with ExitStack() as others:
        for _ in range(4):
            others.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        time.sleep(0.2)
        recording.start()
        recording.write(20)
        recording.wait_for("has too many clients")
    recording.assert_whole()
    recording.wait_for("recording again")
    recording.close()
    recording.assert_said("has too many clients", "recording again")
    assert "raise its maxclients" in recording.text
    assert_no_question_whether_it_runs(recording.text)


def test_a_missing_database_number_is_not_reported_as_a_server_down(redis_server: StoreServer) -> None:
    said = refusal(redis_server.url.replace("/0", "/99"))
    assert "has no database of that number" in said
    assert_no_question_whether_it_runs(said)


# Commands that a server hides.


def test_a_server_that_hides_optional_commands_works(
    flavour: Flavour, private_server: MakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = private_server(flavour, extra=without(*SELDOM_USED))
    recording = Recording(tmp_path / "recording", server)
    recording.start()
    recording.write(20)
    recording.assert_whole()
    recording.close()
    recording.assert_said()
    monkeypatch.setenv("BANLEDGER_STORE", server.url)
    predecessor_keys(server.url)
    assert run(["import", "--dry-run", "--server", "old1", server.url]) == 0
    for words in ("report --since all", "top ip --since 2026-11-23", "kv KEYS bans:*", "store check"):
        assert run(words.split()) == 0


@pytest.mark.parametrize("command", ["EVALSHA", "EVAL", "ZINCRBY", "SCARD", "HELLO", "ZADD"])
def test_a_hidden_required_command_is_named(flavour: Flavour, private_server: MakeServer, command: str) -> None:
    server = private_server(flavour, password="s3cret-w0rd", extra=without(command))
    said = refusal(server.url, Access("s3cret-w0rd"))
    assert "does not know" in said and command in said, said
    assert f"{command} is" in said.partition(" / ")[2] and "rename-command" in said, said
    assert "s3cret-w0rd" not in said and "older" not in said


# Keys that are gone.


def test_a_ledger_without_meta_is_not_reported_as_missing(
    flavour: Flavour, private_server: MakeServer, tmp_path: Path
) -> None:
    server = private_server(flavour)
    recording = Recording(tmp_path / "recording", server)
    recording.write(20)
    assert recording.run("--once") == 0
    server.cli("DEL", "bans:meta")
    words = [sys.executable, "-m", "banledger", "report", "--config", str(recording.config)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=os.environ)
    assert done.returncode == 4
    assert "has lost bans:meta" in done.stderr and "'When keys are gone'" in done.stderr
    assert "start the recorder" not in done.stderr
    recording.start()
    recording.wait_for("has lost bans:meta")
    assert "came back without the ledger" not in recording.text
    recording.close()
    for command in (["report"], ["store", "rebuild"], ["store", "check"]):
        words = [sys.executable, "-m", "banledger", *command, "--config", str(recording.config)]
        assert subprocess.run(words, capture_output=True, timeout=60).returncode == 0


def test_the_warning_about_eviction_has_the_count(flavour: Flavour, private_server: MakeServer, tmp_path: Path) -> None:
    server = private_server(flavour, extra=("--maxmemory", "6mb", "--maxmemory-policy", "allkeys-lru"))
    fill = "for n = 1, 20000 do redis.call('SET', 'other' .. n, string.rep('x', 500)) end"
    for _ in range(3):
        server.cli("EVAL", fill, "0")
        server.cli("SET", "one", "more")  # it evicts before a command
    recording = Recording(tmp_path / "recording", server)
    recording.start()
    recording.wait_for("may evict keys (maxmemory-policy allkeys-lru), and has evicted ")
    recording.close()


def test_a_volatile_eviction_policy_is_not_warned_about(
    flavour: Flavour, private_server: MakeServer, tmp_path: Path
) -> None:
    server = private_server(flavour, extra=("--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru"))
    recording = Recording(tmp_path / "recording", server)
    recording.write(5)
    assert recording.run("--once") == 0
    recording.start()
    recording.assert_whole()
    recording.close()
    recording.assert_said("5 new bans")


def test_a_documented_acl_user_without_info_works_without_a_warning(
    flavour: Flavour, private_server: MakeServer
) -> None:
    server = private_server(flavour, appendonly=False, extra=without("CLIENT", "INFO"))
    for user, rules in USERS.items():
        allow(server, user, rules)
    write_all_sorts(url(server, "banledger"))
    with closing(open_to_read(url(server, "reader"), "bans", Access(SECRET))) as ledger:
        assert list(check(ledger.store(), ledger.keys)) == []
