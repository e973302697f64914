"""Ways into a server: TLS, users, passwords, sockets; and what is refused, by name."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banledger.errors import LedgerMissing, SettingsError, StoreError, StoreUnavailable
from banledger.ledger.opening import open_to_read
from banledger.ledger.writer import open_to_write
from banledger.stores.connect import Access
from tests.conftest import MakeServer
from tests.support.lines import ban, nowhere
from tests.support.servers import Certificates, Flavour, StoreServer, flavour_named

from .recording import Recording

PASSWORD = "c0rrect-h/rse@b:ttery?#%"


@pytest.fixture
def redis_7() -> Flavour:
    """The one that speaks TLS everywhere."""
    return flavour_named("redis-7")


@pytest.fixture
def recording(redis_7: Flavour, private_server: MakeServer, tmp_path: Path) -> Iterator[Recording]:
    """A spool with five bans, and a server with a password and a user `keeper`."""
    server = private_server(redis_7, password=PASSWORD, acl="user keeper on >k33per-s3cret ~bans:* +@all")
    made = Recording(tmp_path / "recording", server)
    made.secrets |= {"k33per-s3cret", "c0rrect", "ttery"}
    made.write(5)
    yield made
    made.close()


def works(store: str, access: Access = Access()) -> bool:  # noqa: B008  # frozen
    """Whether a ban can be written there and read again."""
    ledger = open_to_write(store, "bans", "UTC", access)
    ledger.record([ban()], nowhere)
    ledger.close()
    reader = open_to_read(store, "bans", access)
    try:
        return reader.days() == {"2026-11-23": 1}
    finally:
        reader.close()


def refusal(store: str, access: Access = Access(), error: type[Exception] = StoreUnavailable) -> str:  # noqa: B008
    """What is said of a store that can't be used, with the hint."""
    with pytest.raises(error) as caught:
        open_to_read(store, "bans", access)
    return f"{caught.value} / {getattr(caught.value, 'hint', '')}"


# TLS.


def test_a_certificate_of_our_own_authority_is_accepted(
    redis_7: Flavour, private_server: MakeServer, certificates: Certificates
) -> None:
    server = private_server(redis_7, tls=certificates.tls())
    access = Access(tls_ca=str(certificates.ca))
    assert works(server.tls_url, access)
    assert works(server.tls_url.replace("rediss://", "valkeys://"), access)


def test_a_certificate_of_another_authority_is_refused(
    redis_7: Flavour, private_server: MakeServer, certificates: Certificates
) -> None:
    server = private_server(redis_7, tls=certificates.tls())
    said = refusal(server.tls_url)
    assert "has a certificate that can't be verified" in said
    assert "check tls_ca" in said


def test_a_certificate_for_another_host_is_refused(
    redis_7: Flavour, private_server: MakeServer, certificates: Certificates
) -> None:
    server = private_server(redis_7, tls=certificates.tls(misnamed=True))
    said = refusal(server.tls_url, Access(tls_ca=str(certificates.ca)))
    assert "has a certificate that can't be verified" in said
    assert "localhost" in said


def test_a_server_that_requires_a_client_certificate_gets_it(
    redis_7: Flavour, private_server: MakeServer, certificates: Certificates
) -> None:
    server = private_server(redis_7, tls=certificates.tls(clients="yes"))
    ours = Access(
        tls_ca=str(certificates.ca), tls_cert=str(certificates.client.cert), tls_key=str(certificates.client.key)
    )
    assert works(server.tls_url, ours)
    assert "can't be reached" in refusal(server.tls_url, Access(tls_ca=str(certificates.ca)))


def test_tls_to_a_plain_port_is_an_error(
    redis_7: Flavour, private_server: MakeServer, certificates: Certificates
) -> None:
    server = private_server(redis_7, tls=certificates.tls())
    said = refusal(f"rediss://localhost:{server.port}?timeout=1", Access(tls_ca=str(certificates.ca)))
    assert server.tls_url.partition("://")[0] in said


@pytest.mark.parametrize("name", ["tls_ca", "tls_cert", "tls_key"])
def test_a_missing_certificate_is_named(name: str) -> None:
    access = Access(**{name: "/nowhere/x.pem"})
    assert f"{name}: there is no file /nowhere/x.pem" in refusal("rediss://localhost", access, SettingsError)


# Passwords and users, as the service gets them.


def test_a_password_comes_from_its_own_file(recording: Recording, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch(mode=0o640)
    secret.write_text(PASSWORD + "\n")
    recording.configure(password_file=secret)
    assert recording.run("--once") == 0
    recording.assert_whole()


def test_a_password_file_that_everybody_may_read_is_refused(recording: Recording, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    recording.configure(password_file=secret)
    assert recording.run("--once") == 3
    assert f"{secret} holds a password and is accessible to everybody" in recording.text
    assert f"chmod o= {secret}" in recording.text


def test_a_password_comes_from_the_environment(recording: Recording) -> None:
    assert recording.run("--once", BANLEDGER_PASSWORD=PASSWORD) == 0
    recording.assert_whole()


def test_a_password_comes_from_the_settings_unless_everybody_may_read_them(recording: Recording) -> None:
    recording.configure(mode=0o644, password=PASSWORD)
    assert recording.run("--once") == 3
    assert "holds a password and is accessible to everybody" in recording.text
    recording.config.chmod(0o640)
    assert recording.run("--once") == 0
    recording.assert_whole()


def test_a_url_with_a_password_needs_private_settings(
    recording: Recording,
) -> None:
    recording.configure(mode=0o644, store=recording.server.url)
    assert recording.run("--once") == 3
    assert "holds a password and is accessible to everybody" in recording.text
    recording.config.chmod(0o600)
    assert recording.run("--once") == 0
    recording.assert_whole()


def test_a_password_on_the_command_line_is_refused_by_name(recording: Recording) -> None:
    assert recording.run("--once", "--store", recording.server.url) == 3
    assert "a password on the command line can be read by everybody: use password_file" in recording.text


def test_the_url_names_the_acl_user(recording: Recording) -> None:
    recording.configure(store=f"redis://keeper@127.0.0.1:{recording.server.port}")
    assert recording.run("--once", BANLEDGER_PASSWORD="k33per-s3cret") == 0
    recording.assert_whole()


@pytest.mark.parametrize(
    "store",
    [
        "redis://keeper:k33per-s3cret/@127.0.0.1:1/0",
        "redis://keeper:k33per-s3cret#@127.0.0.1:1/0",
        "redis://keeper:k33per-s3cret?@127.0.0.1:1/0",
        "redis://127.0.0.1:1/0?password=k33per-s3cret",
        "redis://127.0.0.1:1/0?timeout=k33per-s3cret",
        "redis://127.0.0.1:1/zero",
        "redis://127.0.0.1:1/0?timeout=-1",
        "redis://127.0.0.1:1/0?timeout=nan",
        "redis://127.0.0.1:1/0?timeout=21",
        "unix:///run/x.sock?db=zero",
    ],
)
def test_an_invalid_store_url_is_refused_without_showing_secrets(store: str) -> None:
    said = refusal(store, error=SettingsError)
    assert "invalid store URL" in said
    assert "k33per-s3cret" not in said


def test_secrets_are_not_shown(recording: Recording) -> None:
    from banledger.ledger.keys import Keyspace
    from banledger.settings import load
    from banledger.stores.connect import access, reader

    settings = load({}, {"BANLEDGER_STORE": recording.server.url, "BANLEDGER_PASSWORD": PASSWORD})
    engine = reader(settings.store, Keyspace(), access(settings))
    for shown in (repr(settings), str(settings), repr(access(settings)), repr(engine)):
        recording.assert_no_secret(shown)
    engine.close()
    recording.assert_no_secret(refusal(recording.server.url.replace("c0rrect", "c1rrect")))


# Sockets and names.


def test_a_unix_socket_url_has_a_user_and_a_database(recording: Recording) -> None:
    path = recording.server.socket_path
    assert works(f"unix://{path}?db=3", Access(PASSWORD))
    assert works(f"unix://keeper@{path}", Access("k33per-s3cret"))
    assert recording.server.cli("-n", "3", "SCARD", "bans:jail:sshd") == "1"


def test_valkey_urls_mean_the_same_as_redis_urls(redis_server: StoreServer) -> None:
    assert works(redis_server.url.replace("redis://", "valkey://").replace("/0", "/5"))
    assert redis_server.cli("-n", "5", "SCARD", "bans:jail:sshd") == "1"
    redis_server.cli("FLUSHALL")


@pytest.mark.parametrize("words", ["redis://127.0.0.1:1", "unix:///nowhere/socket", "redis://no.such.host.invalid"])
def test_an_unreachable_store_address_is_reported_as_such(words: str) -> None:
    assert "can't be reached" in refusal(words)


def test_an_empty_server_holds_no_ledger_for_a_reader_and_stays_empty(redis_server: StoreServer) -> None:
    assert "there is no ledger" in refusal(redis_server.url, error=LedgerMissing)
    assert redis_server.cli("DBSIZE") == "0"


def test_a_report_over_a_broken_server_prints_two_lines(recording: Recording) -> None:
    command = [sys.executable, "-m", "banledger", "report", "--config", str(recording.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | {"COLUMNS": "100"})
    assert done.returncode == 5
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["error", "hint"]


# Too old.


class _Old:
    """A server that greets as told, on a port of its own."""

    def __init__(self, greeting: bytes) -> None:
        import socket
        from threading import Thread

        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._socket.getsockname()[1]}?timeout=2"
        self._greeting = greeting
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection, self._socket:
            answer = self._greeting
            while connection.recv(65_536):
                connection.sendall(answer)
                answer = b"+OK\r\n"


def _hello(server: str, version: str) -> bytes:
    words: dict[str, Any] = {"server": server, "version": version, "mode": "standalone", "role": "master"}
    pairs = "".join(f"${len(a)}\r\n{a}\r\n${len(b)}\r\n{b}\r\n" for a, b in words.items())
    return f"%5\r\n{pairs}$5\r\nproto\r\n:3\r\n".encode()


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (_hello("redis", "6.0.16"), "is Redis 6.0.16; it must be at least Redis 6.2"),
        (_hello("valkey", "7.1.0"), "is Valkey 7.1.0; it must be at least Valkey 7.2"),
        (b"-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n", "is older than Redis 6.2"),
    ],
)
def test_a_server_that_is_too_old_is_refused_by_name(greeting: bytes, words: str) -> None:
    server = _Old(greeting)
    said = refusal(server.url, error=StoreError)
    assert words in said
    assert said.endswith(" / upgrade it")
