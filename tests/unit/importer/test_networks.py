"""What is taken from an `ipwhois` dictionary."""

from typing import Any

import pytest

from banledger.importer.networks import NetworkRecord, network_of

FOUND: dict[str, Any] = {
    "asn": "64496",
    "asn_country_code": "DE",
    "asn_registry": "ripencc",
    "asn_description": "EXAMPLE-AS, DE",
    "network": {"name": "EXAMPLE-NET", "country": "AT", "cidr": "192.0.2.0/24"},
    "updated": "2026-11-23T02:13:20Z",
}


def test_a_dictionary_is_one_record() -> None:
    assert network_of("192.0.2.0/24", FOUND) == NetworkRecord(
        "192.0.2.0/24", "EXAMPLE-NET", "AT", 64496, "ripencc", "EXAMPLE-AS, DE", 1_795_400_000
    )


def test_the_country_of_the_number_stands_in_for_the_networks() -> None:
    assert network_of("192.0.2.0/24", FOUND | {"network": {"country": "European Union"}}).country == "DE"


@pytest.mark.parametrize("asn", ["NA", "", None, 7, "0", "4294967296", "9" * 5000, "\u0667"])
def test_what_is_no_number_of_a_system_is_none(asn: object) -> None:
    assert network_of("192.0.2.0/24", FOUND | {"asn": asn}).asn is None


def test_of_several_numbers_the_first_counts() -> None:
    assert network_of("192.0.2.0/24", FOUND | {"asn": "64496 64497"}).asn == 64496


@pytest.mark.parametrize(
    ("cidr", "found", "said"),
    [
        ("x", FOUND, "names no network"),
        ("192.0.2.0/24", [], "no dictionary"),
        ("192.0.2.0/24", FOUND | {"updated": None}, "when it was fetched"),
        ("192.0.2.0/24", FOUND | {"updated": "yesterday"}, "no date"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(cidr: str, found: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        network_of(cidr, found)


def test_fields_of_any_kind_do_no_harm() -> None:
    odd = {name: [{"x": 1}] for name in FOUND} | {"updated": FOUND["updated"]}
    assert network_of("192.0.2.0/24", odd) == NetworkRecord("192.0.2.0/24", None, None, None, None, None, 1_795_400_000)
