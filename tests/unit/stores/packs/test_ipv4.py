"""IPv4 addresses and networks as numbers."""

from ipaddress import IPv4Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.net.prefix import block
from banledger.stores.packs.ipv4 import NETWORKS, number_of, ranges, text_of


def network(address: int, prefix: int) -> IPv4Network:
    return IPv4Network((address >> (32 - prefix) << (32 - prefix), prefix))


TEXTS = st.builds(network, st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda net: str(net).removesuffix("/32"))


@given(TEXTS)
def test_a_number_gives_back_its_text(text: str) -> None:
    number = number_of(text)

    assert number is not None
    assert text_of(number) == text
    assert (number < NETWORKS) == ("/" not in text)


@given(TEXTS, TEXTS)
def test_ranges_hold_what_is_inside(outer: str, inner: str) -> None:
    number = number_of(inner)

    assert number is not None
    inside = any(low <= number <= high for low, high in ranges(block(outer)))
    assert inside == ip_network(inner).subnet_of(ip_network(outer))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["", "1.2.3", "1.2.3.4/32", "1.2.3.4/24", "1.2.3.0/33", "1.2.3.0/024", "1.2.3.0/", "1.2.3.0/+8", "1.2.3.0/٢٤",
     "01.2.3.4", "1.2.3.256", "1.2.3.4\0", "1.2.3.\ud800", "::1.2.3.4"],
)  # fmt: skip
def test_other_texts_have_no_number(text: str) -> None:
    assert number_of(text) is None
