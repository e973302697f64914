"""Which proxy to go through."""

import pytest

from banledger.whois.http.proxy import Proxy, proxy_for

HOST = "rdap.arin.net"
PROXY = "http://proxy.lan:3128"


def test_without_a_setting_there_is_no_proxy() -> None:
    assert proxy_for(HOST, "", {}) is None


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_the_environments_proxy_is_used(name: str) -> None:
    assert proxy_for(HOST, "", {name: PROXY}) == Proxy("proxy.lan", 3128, {})


def test_the_configured_proxy_overrides_the_environment_and_its_exceptions() -> None:
    environment = {"HTTPS_PROXY": "http://other.lan", "NO_PROXY": "*"}

    assert proxy_for(HOST, PROXY, environment) == Proxy("proxy.lan", 3128, {})


@pytest.mark.parametrize("spared", ["*", "arin.net", ".arin.net", "*.arin.net", "x.example, RDAP.ARIN.NET"])
def test_no_proxy_hosts_are_connected_to_directly(spared: str) -> None:
    assert proxy_for(HOST, "", {"HTTPS_PROXY": PROXY, "NO_PROXY": spared}) is None


@pytest.mark.parametrize("spared", ["", ",", "in.net", "rdap.arin.net.example", "10.0.0.0/8"])
def test_other_hosts_use_the_proxy(spared: str) -> None:
    assert proxy_for(HOST, "", {"HTTPS_PROXY": PROXY, "NO_PROXY": spared}) is not None


def test_a_password_becomes_a_header() -> None:
    found = proxy_for(HOST, "http://me:s%40crt@proxy.lan", {})

    assert found == Proxy("proxy.lan", 80, {"proxy-authorization": "Basic bWU6c0BjcnQ="})


@pytest.mark.parametrize("text", ["https://proxy.lan", "socks5://proxy.lan", "http://", "http://proxy.lan:port"])
def test_other_schemes_than_http_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        proxy_for(HOST, text, {})
