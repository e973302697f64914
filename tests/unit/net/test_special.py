"""Kinds of addresses that are nobody's on the internet."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.geo import registered as offline
from banledger.net.address import canonical_address
from banledger.net.prefix import block
from banledger.net.special import described, embedded, kind_of
from banledger.whois.cymru import Cymru
from banledger.whois.rdap.client import unaskable

KINDS = {
    "10.0.0.1": "private address",
    "192.168.0.0/16": "private network",
    "172.31.255.255": "private address",
    "fd12:3456:789a::1": "unique local address",
    "169.254.169.254": "link-local address",
    "fe80::1": "link-local address",
    "127.0.0.1": "loopback address",
    "::1": "loopback address",
    "100.64.0.1": "carrier-grade NAT address",
    "198.51.100.7": "documentation address",
    "2001:db8::/48": "documentation network",
    "198.19.0.1": "benchmark address",
    "239.255.255.250": "multicast address",
    "ff02::1": "multicast address",
    "0.0.0.0": "unspecified address",
    "0.1.2.3": "reserved address",
    "255.255.255.255": "broadcast address",
    "240.0.0.1": "reserved address",
    "64:ff9b::c000:201": "NAT64 address of 192.0.2.1",
    "64:ff9b::/96": "NAT64 network",
    "64:ff9b:1::c000:201": "NAT64 address",
    "2002:c000:201::1": "6to4 address of 192.0.2.1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": "Teredo address of 192.0.2.45",
}


@pytest.mark.parametrize("address", KINDS)
def test_a_special_address_has_a_kind_no_country_and_no_registry(address: str) -> None:
    assert described(block(address)) == KINDS[address]
    assert offline.locate(address) == offline.PRIVATE
    assert unaskable(address) in (KINDS[address], "wider than any registry's network")
    assert Cymru(nameservers=()).ask(address) is None


@pytest.mark.parametrize("address", ["8.8.8.8", "2a00::1", "8.8.8.0/24", "100.128.0.1", "2001:200::1", "0.0.0.0/0"])
def test_other_addresses_have_no_kind(address: str) -> None:
    assert kind_of(block(address)) == described(block(address)) == embedded(block(address)) == ""


@given(st.ip_addresses())
def test_what_python_knows_as_not_global_is_special(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    canonical = canonical_address(str(address)) or ""
    known = ipaddress.ip_address(canonical)
    if known.is_multicast or known.is_private or known.is_link_local:
        assert kind_of(block(canonical))
