"""What is a country's code, and what an AS number."""

import pytest

from banledger.net.codes import as_number, country_code


def test_two_capital_letters_are_a_country() -> None:
    assert [country_code(text) for text in ("US", "DE", "XK")] == ["US", "DE", "XK"]


@pytest.mark.parametrize("value", ["", "us", "USA", "U", "U1", "ÄÖ", "US\n", " US", None, 49, b"US", ["US"], {}])
def test_anything_else_is_none(value: object) -> None:
    assert country_code(value) is None


@pytest.mark.parametrize("code", ["EU", "AP", "ZZ", "XX"])
def test_registries_codes_for_no_country_are_none(code: str) -> None:
    assert country_code(code) is None


@pytest.mark.parametrize("value", [15169, "15169", "AS15169", "0015169"])
def test_an_as_number_may_be_written_in_several_ways(value: object) -> None:
    assert as_number(value) == 15169


@pytest.mark.parametrize("value", [1, 23455, 64495, 131072, 4_199_999_999])
def test_assigned_numbers_are_accepted(value: int) -> None:
    assert as_number(value) == value


@pytest.mark.parametrize("value", [0, 23456, 64496, 64512, 65535, 65536, 131071, 4_200_000_000, 2**32 - 1])
def test_unassigned_numbers_are_refused(value: int) -> None:
    assert as_number(value) is None
    assert as_number(f"AS{value}") is None


@pytest.mark.parametrize(
    "value",
    [True, False, -1, 2**32, 2**64, 1.0, "", "AS", "as1", "ASAS1", "-1", "1 ", "١٢", "9" * 5000, None, [1], b"1"],
)  # fmt: skip
def test_other_values_are_none(value: object) -> None:
    assert as_number(value) is None
