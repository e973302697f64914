"""What is taken from an `ipwhois` dictionary."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from banledger.importer.networks import network_of
from banledger.network import Network

FOUND: dict[str, Any] = {
    "asn": "64496",
    "asn_country_code": "DE",
    "asn_registry": "ripencc",
    "asn_description": "EXAMPLE-AS, DE",
    "network": {"name": "EXAMPLE-NET", "country": "AT", "cidr": "192.0.2.0/24"},
    "updated": "2026-11-23T02:13:20Z",
}


def test_a_dictionary_is_one_record() -> None:
    network = network_of("192.0.2.0/24", FOUND)
    assert replace(network, raw=b"") == Network(
        cidrs=("192.0.2.0/24",), source="import", registry="ripe", fetched=1_795_400_000, name="EXAMPLE-NET",
        country="AT", asn=64496, org="EXAMPLE-AS, DE",
    )  # fmt: skip
    assert json.loads(network.raw) == FOUND


def test_the_mailbox_for_complaints_is_that_of_who_has_the_role() -> None:
    objects = {
        "A": {"roles": ["registrant"], "contact": {"email": [{"value": "no@example.org"}]}},
        "B": {"roles": ["abuse"], "contact": {"email": [{"type": None, "value": "abuse@example.org"}]}},
        "C": {"roles": 5, "contact": []},
    }
    assert network_of("192.0.2.0/24", FOUND | {"objects": objects}).abuse == "abuse@example.org"


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
    assert replace(network_of("192.0.2.0/24", odd), raw=b"") == Network(
        cidrs=("192.0.2.0/24",), source="import", registry="", fetched=1_795_400_000
    )
