"""Equals stand in the order in which people look for them."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.report.natural import natural


@pytest.mark.parametrize(
    "names",
    [
        ["9.0.0.1", "10.0.0.2", "192.0.2.0/24", "192.0.2.0/25", "192.0.2.9", "192.0.2.10", "::1", "2001:db8::/32"],
        ["2", "10", "64500"],
        ["2026-11-02", "2026-11-10", "2026-12-01"],
        ["a2", "A10", "b"],
        ["192.0.2.1", "root"],
    ],
)
def test_names_with_numbers_are_ordered_by_value(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(backwards, key=natural) == names


@given(st.lists(st.ip_addresses(v=4).map(str)))
def test_addresses_are_ordered_as_numbers(names: list[str]) -> None:
    assert sorted(names, key=natural) == sorted(names, key=lambda name: int(ipaddress.ip_address(name)))


@given(st.lists(st.text() | st.ip_addresses().map(str) | st.integers().map(str)))
def test_any_names_can_be_ordered(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=natural) == sorted(backwards, key=natural)
