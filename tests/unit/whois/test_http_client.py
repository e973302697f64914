"""One GET, from a server that does all that servers do."""

import socket
import ssl
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger import __version__
from banledger.whois.http.client import BODY_MOST, RETRY_MOST_S, Transport, TransportError, retry_after_s, user_agent
from banledger.whois.http.guard import is_public
from banledger.whois.http.watchdog import Watchdog
from tests.support.rdap_server import Fault, RdapServer

URL = "https://rdap.db.ripe.net/ip/185.220.101.7"
ACCEPT = "application/rdap+json"
PATIENCE_S = 5.0
"""How long a failure may take at most where the deadline is half a second: this machine may be busy."""


def failure(transport: Transport, url: str = URL) -> str:
    """What it says when nothing comes back, within the deadline."""
    began = time.monotonic()
    with pytest.raises(TransportError) as caught:
        transport.get(url, ACCEPT, deadline_s=0.5)
    assert time.monotonic() - began < PATIENCE_S
    return str(caught.value)


def test_a_response_comes_back_whole(registries: RdapServer) -> None:
    response = registries.transport(contact="mailto:me@example.org").get(URL, ACCEPT)

    assert (response.status, response.url, response.retry_after_s, response.location) == (200, URL, 0.0, None)
    assert b"EX-RELAYS" in response.body
    (request,) = registries.requests
    assert request.headers["accept"] == ACCEPT
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"] == f"banledger/{__version__} (+mailto:me@example.org)"


def test_an_error_status_is_a_response_and_a_redirect_is_not_followed(registries: RdapServer) -> None:
    registries.fault("ripe", "redirect", "http://127.0.0.1/")

    response = registries.transport().get(URL, ACCEPT)

    assert (response.status, response.location) == (302, "http://127.0.0.1/")
    assert len(registries.requests) == 1


def test_retry_after_gives_the_pause(registries: RdapServer) -> None:
    registries.limit("ripe", retry_after="120")

    assert registries.transport().get(URL, ACCEPT).retry_after_s == 120.0


@pytest.mark.parametrize("wrong_s", [-10 * 365 * 86_400.0, -7200.0, 7200.0, 10 * 365 * 86_400.0])
def test_a_retry_after_date_is_measured_by_the_servers_clock(registries: RdapServer, wrong_s: float) -> None:
    registries.limit("ripe", retry_after=formatdate(time.time() + 600, usegmt=True))

    response = registries.transport(clock=lambda: time.time() + wrong_s).get(URL, ACCEPT)

    assert response.retry_after_s == pytest.approx(600, abs=5)


def test_a_compressed_body_is_decompressed(registries: RdapServer) -> None:
    registries.fault("ripe", "gzip")

    assert b"EX-RELAYS" in registries.transport().get(URL, ACCEPT).body


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("close", "closed"),
        ("close mid-body", "IncompleteRead"),
        ("drip body", "no answer within 0.5 s"),
        ("drip headers", "no answer within 0.5 s"),
        ("endless body", "too large"),
        ("endless headers", "100 headers"),
        ("gzip bomb", "compressed body"),
        ("misnamed", "Hostname mismatch"),
        ("slow", "no answer within 0.5 s"),
    ],
)
def test_misbehaviour_is_a_failure_within_the_deadline(registries: RdapServer, fault: Fault, reason: str) -> None:
    registries.fault("ripe", fault)

    assert reason in failure(registries.transport())


def test_a_silent_server_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        transport = Transport(permitted=lambda _: True, resolve=lambda *_: [("127.0.0.1", port)], environment={})

        assert "no answer" in failure(transport)


def test_the_next_address_is_tried_if_one_refuses(registries: RdapServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    places = [("127.0.0.1", closed), ("127.0.0.1", registries.port)]

    assert registries.transport(resolve=lambda *_: places).get(URL, ACCEPT).status == 200
    assert "refused" in failure(registries.transport(resolve=lambda *_: places[:1]))


def test_a_failure_has_no_error_number_of_the_system(registries: RdapServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]

    assert failure(registries.transport(resolve=lambda *_: [("127.0.0.1", closed)])) == f"{URL}: Connection refused"


def test_an_untrusted_authority_is_refused(registries: RdapServer) -> None:
    assert "certificate" in failure(registries.transport(ca=None))


def test_only_permitted_addresses_are_connected_to(registries: RdapServer) -> None:
    judged: list[str] = []

    def never(address: str) -> bool:
        judged.append(address)
        return False

    assert "no public address: 127.0.0.1" in failure(registries.transport(permitted=never))
    assert "no public address" in failure(registries.transport(permitted=is_public))
    assert judged == ["127.0.0.1"]
    assert registries.requests == []


def test_a_name_is_resolved_once(registries: RdapServer) -> None:
    asked: list[str] = []

    def changing(host: str, port: int) -> list[tuple[str, int]]:
        asked.append(host)
        return registries.resolve(host, port)

    registries.transport(resolve=changing).get(URL, ACCEPT)

    assert asked == ["rdap.db.ripe.net"]


@pytest.mark.parametrize(
    "url",
    ["http://rdap.db.ripe.net/", "https://127.0.0.1/", "https://rdap.db.ripe.net:1/", "", "https://[", "https://é/"],
)
def test_other_urls_are_refused_without_a_connection(url: str) -> None:
    def nobody(*_: Any) -> list[tuple[str, int]]:
        raise AssertionError

    failure(Transport(resolve=nobody, environment={}), url)


# Through a proxy


def tunnels(registries: RdapServer) -> list[tuple[str, dict[str, str]]]:
    """Where the proxy was asked to go, and what else it was told. From Python 3.12 on, `Host` repeats the former."""
    told = [(where, dict(headers)) for where, headers in registries.tunnels]
    assert all(headers.pop("host", where) == where for where, headers in told)
    return told


def test_the_proxy_of_the_environment_is_used(registries: RdapServer) -> None:
    transport = Transport(ca=registries.ca, environment=registries.environment)

    assert transport.get(URL, ACCEPT).status == 200
    assert tunnels(registries) == [("rdap.db.ripe.net:443", {})]


def test_a_configured_proxy_gets_its_password_and_servers_do_not(registries: RdapServer) -> None:
    proxy = registries.proxy.replace("//", "//me:secret@")

    assert Transport(ca=registries.ca, proxy=proxy, environment={}).get(URL, ACCEPT).status == 200
    assert tunnels(registries) == [("rdap.db.ripe.net:443", {"proxy-authorization": "Basic bWU6c2VjcmV0"})]
    assert "proxy-authorization" not in registries.requests[0].headers


def test_a_proxy_s_refusal_is_a_failure(registries: RdapServer) -> None:
    transport = Transport(ca=registries.ca, proxy=registries.proxy, environment={})

    assert "403" in failure(transport, "https://elsewhere.example/")


def test_certificates_are_checked_behind_a_proxy_too(registries: RdapServer) -> None:
    registries.fault("ripe", "misnamed")

    assert "mismatch" in failure(Transport(ca=registries.ca, proxy=registries.proxy, environment={}))


def test_addresses_are_refused_through_a_proxy_too(registries: RdapServer) -> None:
    failure(Transport(ca=registries.ca, proxy=registries.proxy, environment={}), "https://169.254.169.254/")

    assert registries.tunnels == []


def test_a_slow_proxy_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = f"http://127.0.0.1:{silent.getsockname()[1]}"

        assert "no answer" in failure(Transport(proxy=proxy, environment={}))


def test_an_invalid_proxy_is_a_failure() -> None:
    for proxy in ("socks5://x", "http://me:s3c#ret@proxy:3128", "http://me:s3c/ret@proxy", "http://proxy:s3cret"):
        said = failure(Transport(proxy=proxy, environment={}))
        assert "http://[user:password@]host:port" in said and "s3c" not in said


# Small things


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("9" * 12, RETRY_MOST_S),
        ("9" * 5000, 0.0),
        ("soon", 0.0),
        (formatdate(1_000_090, usegmt=True), 90.0),
        (formatdate(999_000, usegmt=True), 0.0),
        (formatdate(9_000_000, usegmt=True), RETRY_MOST_S),
        ("Fri, 99 Foo 99999 99:99:99 GMT", 0.0),
        ("٣", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(text: str, seconds: float) -> None:
    assert retry_after_s(text, 1_000_000.0) == seconds


@given(st.text(max_size=40))
def test_retry_after_of_any_text_is_a_time(text: str) -> None:
    assert 0.0 <= retry_after_s(text, 1_000_000.0) <= RETRY_MOST_S


def test_a_contact_can_t_add_headers() -> None:
    assert user_agent("a@b\r\nX: (y)") == f"banledger/{__version__} (+a@bX:y)"


def test_the_system_s_authorities_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path | None] = []
    true = ssl.create_default_context

    def noted(*, cafile: Path | None = None) -> ssl.SSLContext:
        asked.append(cafile)
        return true(cafile=cafile)

    monkeypatch.setattr(ssl, "create_default_context", noted)
    Transport()

    assert asked == [None]


def test_a_late_watchdog_still_reports_the_timeout() -> None:
    watchdog = Watchdog(0.0)

    with pytest.raises(TimeoutError):
        watchdog.check()


def test_a_body_of_the_largest_size_is_accepted(registries: RdapServer) -> None:
    registries.file("ipv4.json", b"x" * BODY_MOST)
    registries.file("ipv6.json", b"x" * (BODY_MOST + 1))

    assert len(registries.transport().get("https://data.iana.org/rdap/ipv4.json", ACCEPT).body) == BODY_MOST
    assert "too large" in failure(registries.transport(), "https://data.iana.org/rdap/ipv6.json")
