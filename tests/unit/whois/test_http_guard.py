"""Whom we connect to."""

import socket
import time

import pytest

from banledger.whois.http.guard import is_public, resolve, resolve_within


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "193.0.6.139", "2001:67c:2e8:22::c100:68b", "2600::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.1.2.3",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%lo",
        "fec0::1",
        "ff02::1",
        "",
        "localhost",
        "8.8.8.8:53",
        "2130706433",
    ],
)
def test_other_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


def test_this_machine_s_resolver_knows_its_own_name() -> None:
    assert ("127.0.0.1", 443) in resolve("localhost", 443) or ("::1", 443) in resolve("localhost", 443)


def test_a_hanging_resolver_times_out() -> None:
    def hang(_host: str, _port: int) -> list[tuple[str, int]]:
        time.sleep(2)
        return []

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        resolve_within(0.05, hang, "rdap.example.net", 443)

    assert time.monotonic() - began < 1.5


def test_a_name_that_can_t_be_resolved_is_said_in_words() -> None:
    def numbers_only(host: str, port: int) -> list[tuple[str, int]]:
        socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)  # asks no server
        return []

    with pytest.raises(OSError, match=r"^the name rdap\.invalid can't be resolved: [A-Z]"):
        resolve_within(5, numbers_only, "rdap.invalid", 443)


@pytest.mark.parametrize("error", [OSError("no"), UnicodeError("label too long")])
def test_errors_of_the_resolver_are_os_errors(error: Exception) -> None:
    def fail(_host: str, _port: int) -> list[tuple[str, int]]:
        raise error

    with pytest.raises(OSError, match=r"no|label"):
        resolve_within(5, fail, "rdap.example.net", 443)
