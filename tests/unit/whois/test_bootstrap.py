"""Who has which address."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.whois.rdap.bootstrap import Bootstrap, packaged, parse_bootstrap, registry_at

V6 = json.dumps(
    {"version": "1.0", "publication": "2024-11-01T00:00:00Z", "services": [[["2a00::/12"], ["https://r.example.net"]]]}
)


def made(*services: Any, **members: Any) -> Bootstrap:
    """A bootstrap with these services for IPv4."""
    file = {"version": "1.0", "publication": "2019-06-07T19:00:02Z", "services": list(services)} | members
    return parse_bootstrap(json.dumps(file).encode(), V6.encode())


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("8.8.8.8", "arin"),
        ("193.0.6.139", "ripe"),
        ("1.1.1.1", "apnic"),
        ("200.3.14.10", "lacnic"),
        ("196.216.2.1", "afrinic"),
        ("2600::1", "arin"),
        ("2a10::/32", "ripe"),
        ("2410::1", "apnic"),
        ("2801::", "lacnic"),
        ("2c0f::", "afrinic"),
        ("2001:4200::1", "afrinic"),
    ],
)
def test_the_packaged_bootstrap_has_all_five_registries(address: str, name: str) -> None:
    registry = packaged().registry_of(address)

    assert registry is not None
    assert registry.name == name


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "224.0.0.1", "255.255.255.255", "fe80::1", "::1", "8.0.0.0/7"]
)
def test_special_addresses_have_no_registry(address: str) -> None:
    assert packaged().registry_of(address) is None


def test_every_other_slash_8_has_a_registry() -> None:
    bootstrap = packaged()

    nobodys = [number for number in range(256) if bootstrap.registry_of(f"{number}.0.0.0/8") is None]

    assert nobodys == [0, 10, 127, *range(224, 256)]


def test_the_interval_is_six_seconds_for_lacnic_and_one_for_others() -> None:
    assert registry_at("rdap.lacnic.net").interval_s == 6.0
    assert registry_at("rdap.arin.net").interval_s == 1.0


def test_the_longest_match_counts_in_any_order() -> None:
    large, small = [["8.0.0.0/8"], ["https://large.example"]], [["8.8.0.0/16"], ["https://small.example"]]

    for bootstrap in (made(large, small), made(small, large)):
        found = bootstrap.registry_of("8.8.8.8"), bootstrap.registry_of("8.9.0.0")
        assert [registry and registry.name for registry in found] == ["small.example", "large.example"]


def test_only_https_urls_are_used_and_end_in_a_slash() -> None:
    bootstrap = made(
        [["8.0.0.0/8"], ["http://r.example.net/x", "https://r.example.net/x"]],
        [["9.0.0.0/8"], ["http://r.example.net"]],
    )

    assert bootstrap.registry_of("8.8.8.8") == registry_at("r.example.net", ("https://r.example.net/x/",))
    assert bootstrap.registry_of("9.9.9.9") is None


def test_redirects_may_go_to_registries_and_their_subdomains() -> None:
    bootstrap = packaged()

    assert {"rdap.arin.net", "rdap.db.ripe.net", "jpnic.rdap.apnic.net", "rdap.registro.br"} <= bootstrap.hosts
    assert bootstrap.permits("vnnic.rdap.apnic.net")
    assert not any(
        map(bootstrap.permits, ["evil.example", "apnic.net", "evilrdap.apnic.net", "rdap.arin.net.evil.example"])
    )


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b" " * (300 << 10),
        b'{"version":"1.0","publication":"2024-11-01T00:00:00Z","services":[]}',
        b'{"version":"2.0","publication":"2024-11-01T00:00:00Z","services":[[["2a00::/12"],["https://r.example.net"]]]}',
        b'{"version":"1.0","publication":"lately","services":[[["2a00::/12"],["https://r.example.net"]]]}',
        b'{"version":"1.0","publication":"2024-11-01T00:00:00Z","services":[[["8.0.0.0/8"],["https://r.example.net"]]]}',
        b'{"version":"1.0","publication":"2024-11-01T00:00:00Z","services":[[["2a00::/12"],["https://127.0.0.1"]]]}',
        b'{"version":"1.0","publication":"2024-11-01T00:00:00Z","services":[[["2a00::1/12"],["https://r.example.net"]]]}',
        b'{"version":"1.0","publication":"2024-11-01T00:00:00Z","services":[[[8],["https://r.example.net"]]]}',
        b'{"version":"1.0","publication":"2024-11-01T00:00:00Z","services":[["2a00::/12","https://r.example.net"]]}',
    ],
    ids=range(14),
)
def test_a_broken_file_is_refused(file: bytes) -> None:
    good = json.dumps(
        {
            "version": "1.0",
            "publication": "2019-06-07T19:00:02Z",
            "services": [[["8.0.0.0/8"], ["https://r.example.net"]]],
        }
    )
    parse_bootstrap(good.encode(), V6.encode())

    with pytest.raises(ValueError, match=r".+"):
        parse_bootstrap(good.encode(), file)


@given(st.binary(max_size=100))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_bootstrap(data, V6.encode())
