"""Where an address is registered, without asking anybody."""

import ipaddress
import logging
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.geo import registered
from banledger.geo.place import Place
from banledger.geo.registered import NOWHERE, PRIVATE, SOURCE, UNKNOWN, locate
from banledger.net.address import canonical_address
from banledger.spool.writer import SegmentWriter
from tests.support.lines import ban


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("8.8.8.8", "US"),
        ("193.0.6.139", "NL"),  # the RIPE NCC's own
        ("202.12.29.175", "AU"),  # APNIC's
        ("196.192.0.1", "MU"),
        ("200.3.14.10", "UY"),  # LACNIC's
        ("2001:4860:4860::8888", "US"),
        ("2001:67c:2e8::1", "NL"),
    ],
)
def test_a_public_address_has_the_country_of_its_registry(address: str, country: str) -> None:
    assert locate(address) == Place("public", country, SOURCE)


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",  # private
        "127.0.0.1", "::1",  # loopback
        "169.254.1.1", "fe80::1",  # link-local
        "100.64.0.1", "100.127.255.255",  # carrier-grade NAT
        "192.0.2.1", "198.51.100.7", "203.0.113.9", "2001:db8::1",  # documentation
        "198.18.0.1", "198.19.255.255", "2001:2::1",  # benchmarks
        "0.0.0.0", "0.1.2.3", "::",  # this network
        "240.0.0.1", "255.255.255.255",  # reserved, broadcast
        "224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1",  # multicast
        "fc00::1", "fd12:3456:789a::1",  # unique local
        "192.0.0.1", "100::1",  # protocol assignments, discard
        "64:ff9b::808:808", "64:ff9b:1::1", "2002:808:808::1", "2001::1", "192.88.99.1",  # NAT64, 6to4, Teredo
    ],
)  # fmt: skip
def test_private_and_reserved_addresses_are_marked_and_never_guessed(address: str) -> None:
    assert locate(address) == PRIVATE


@pytest.mark.parametrize("network", ["10.0.0.0/8", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "fe80::/64"])
def test_a_private_network_is_private(network: str) -> None:
    assert locate(network) == PRIVATE


def test_a_public_network_inside_one_country_has_it() -> None:
    assert locate("8.8.8.0/24") == Place("public", "US", SOURCE)
    assert locate("2001:4860:4860::/48") == Place("public", "US", SOURCE)


@pytest.mark.parametrize("network", ["1.0.0.0/8", "0.0.0.0/0", "::/0", "2001::/16", "8.0.0.0/5"])
def test_a_network_in_several_countries_is_unknown(network: str) -> None:
    place = locate(network)
    assert (place.scope, place.country) == ("public", UNKNOWN)


@pytest.mark.parametrize("network", ["8.0.0.0/6", "172.0.0.0/8", "192.0.0.0/8"])
def test_a_network_that_is_partly_private_is_not_private(network: str) -> None:
    assert locate(network).scope == "public"


@pytest.mark.parametrize("address", ["4000::1", "9000::1"])
def test_a_public_address_that_no_registry_data_names_is_unknown(address: str) -> None:
    assert locate(address) == Place("public", UNKNOWN, SOURCE)


def test_a_ban_without_address_has_no_place() -> None:
    assert locate(None) == NOWHERE == Place("none")


@given(st.one_of(st.ip_addresses(), st.ip_addresses(v=4).map(lambda address: f"{address}/20")))
def test_every_address_has_a_place_and_only_public_ones_a_country(address: object) -> None:
    canonical = canonical_address(str(address))
    assert canonical is not None
    place = locate(canonical)
    assert place.scope in ("public", "private")
    assert (place.country is not None) == (place.scope == "public")
    assert place.country is None or (len(place.country) == 2 and place.country.isascii() and place.country.isupper())


@given(st.ip_addresses())
def test_a_special_address_has_no_country_in_any_data(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    canonical = canonical_address(str(address))
    if canonical is not None and ipaddress.ip_address(canonical).is_private:
        assert locate(canonical).country in (None, UNKNOWN)


def test_without_iptocc_countries_are_unknown_and_one_warning_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "iptocc", None)
    monkeypatch.setattr(logging.getLogger("banledger"), "propagate", True)
    registered._country_code.cache_clear()
    try:
        places = [locate(address) for address in ("8.8.8.8", "8.8.8.0/24", "10.0.0.1", "fe80::1")]
    finally:
        registered._country_code.cache_clear()

    assert places == [Place("public", UNKNOWN, SOURCE)] * 2 + [PRIVATE] * 2
    assert [record.getMessage() for record in caplog.records] == [
        "iptocc is not installed: countries are XX until whois answers"
    ]


def test_without_iptocc_bans_are_recorded_and_reported(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path) as writer:
        writer.write(msgspec.to_builtins(ban("8.8.8.8")))
    program = "import sys; sys.modules['iptocc'] = None; from banledger.__main__ import main; main()"

    def banledger(*words: str) -> subprocess.CompletedProcess[str]:
        place = ["--store", str(tmp_path / "ledger.db")]
        return subprocess.run(
            [sys.executable, "-c", program, *words, *place], capture_output=True, text=True, timeout=60, check=True
        )

    recorded = banledger("record", "--once", "--spool", str(tmp_path))
    assert recorded.stdout.startswith("1 new bans") and recorded.stderr.count("iptocc is not installed") == 1
    answer = banledger("top", "country", "--since", "all", "--csv")
    assert (answer.stdout, answer.stderr) == ("country,name,bans\nXX,unknown,1\n", "")


def test_only_the_registered_country_needs_iptocc() -> None:
    source = Path(registered.__file__).parents[1]

    importers = [
        path.name for path in source.rglob("*.py") if re.search(r"(?m)^\s*(import|from) iptocc", path.read_text())
    ]

    assert importers == ["registered.py"]
