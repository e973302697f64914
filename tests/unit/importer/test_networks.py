"""What is taken from an `ipwhois` dictionary."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from banledger.geo.countries import ISO
from banledger.importer.networks import network_of
from banledger.ledger.network import Network
from banledger.ledger.network_line import line_of, of_line
from banledger.spool.events import NetworkLine, decode

NOW = 1_795_500_000.0
FOUND: dict[str, Any] = {
    "asn": "64496",
    "asn_country_code": "DE",
    "asn_registry": "ripencc",
    "asn_description": "EXAMPLE-AS, DE",
    "network": {"name": "EXAMPLE-NET", "country": "AT", "cidr": "192.0.2.0/24"},
    "updated": "2026-11-23T02:13:20Z",
}


def test_a_dictionary_becomes_one_record() -> None:
    network = network_of("192.0.2.0/24", FOUND, NOW)
    assert replace(network, raw=b"") == Network(
        cidrs=("192.0.2.0/24",), source="import", registry="ripe", fetched=1_795_400_000, name="EXAMPLE-NET",
        country="AT", asn=64496, org="EXAMPLE-AS, DE",
    )  # fmt: skip
    assert json.loads(network.raw) == FOUND


def test_the_abuse_mailbox_is_of_the_entity_with_the_role() -> None:
    objects = {
        "A": {"roles": ["registrant"], "contact": {"email": [{"value": "no@example.org"}]}},
        "B": {"roles": ["abuse"], "contact": {"email": [{"type": None, "value": "abuse@example.org"}]}},
        "C": {"roles": 5, "contact": []},
    }
    assert network_of("192.0.2.0/24", FOUND | {"objects": objects}, NOW).abuse == "abuse@example.org"


def test_the_country_of_the_number_stands_in_for_the_networks() -> None:
    assert network_of("192.0.2.0/24", FOUND | {"network": {"country": "European Union"}}, NOW).country == "DE"


@pytest.mark.parametrize("asn", ["NA", "", None, 7, "0", "4294967296", "9" * 5000, "\u0667"])
def test_an_invalid_as_number_is_none(asn: object) -> None:
    assert network_of("192.0.2.0/24", FOUND | {"asn": asn}, NOW).asn is None


def test_of_several_numbers_the_first_counts() -> None:
    assert network_of("192.0.2.0/24", FOUND | {"asn": "64496 64497"}, NOW).asn == 64496


@pytest.mark.parametrize(
    ("cidr", "found", "said"),
    [
        ("x", FOUND, "is not a network"),
        ("192.0.2.0/24", [], "not a dictionary"),
        ("192.0.2.0/24", FOUND | {"updated": None}, "fetch date"),
        ("192.0.2.0/24", FOUND | {"updated": "yesterday"}, "fetch date is invalid"),
        ("192.0.2.0/24", FOUND | {"updated": "9999-12-31T23:59:59Z"}, "in the future"),
        ("192.0.2.0/24", FOUND | {"updated": "1000-01-01T00:00:00Z"}, "fetch date is invalid"),
        ("192.0.2.0/24", FOUND | {"network": {"cidr": "192.0.2.0/24, rubbish"}}, "its network is invalid"),
        ("192.0.2.0/24", FOUND | {"network": {"cidr": "192.0.2.0/24," * 10_000}}, "its network is invalid"),
        ("192.0.2.0/24", FOUND | {"network": {"start_address": "192.0.2.9", "end_address": "192.0.2.1"}}, "is invalid"),
        ("192.0.2.0/24", FOUND | {"network": {"start_address": "192.0.2.9", "end_address": "::1"}}, "is invalid"),
        ("192.0.2.0/24", FOUND | {"query": "198.51.100.1"}, "does not contain the address"),
        ("192.0.2.0/24", FOUND | {"query": ["192.0.2.1"]}, "the address that was looked up"),
        ("0.0.0.0/0", {"updated": FOUND["updated"]}, "larger than any"),
        ("192.0.2.0/24", FOUND | {"network": {"cidr": "0.0.0.0/1, 192.0.2.0/24"}}, "larger than any"),
        ("1" * 100_000, FOUND, "is not a network"),
    ],
)
def test_invalid_networks_are_refused_with_the_reason(cidr: str, found: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        network_of(cidr, found, NOW)


def test_fields_of_any_type_are_accepted() -> None:
    odd = {name: [{"x": 1}] for name in FOUND} | {"updated": FOUND["updated"]}
    assert replace(network_of("192.0.2.0/24", odd, NOW), raw=b"") == Network(
        cidrs=("192.0.2.0/24",), source="import", registry="", fetched=1_795_400_000
    )


@pytest.mark.parametrize(
    ("key", "details", "query", "cidrs"),
    [
        ("8.8.8.0/24", {"cidr": "192.0.2.0/24"}, "192.0.2.9", ("192.0.2.0/24",)),
        ("8.8.8.0/24", {"cidr": "192.0.2.0/24"}, None, ("192.0.2.0/24",)),
        ("192.0.2.0/24", {"cidr": "192.0.2.128/25, 192.0.2.0/26"}, "192.0.2.1", ("192.0.2.0/26", "192.0.2.128/25")),
        ("192.0.2.0/24", {"cidr": "192.0.0.0/16,192.0.2.0/24"}, "192.0.2.1", ("192.0.0.0/16",)),
        ("192.0.2.0/24", {"start_address": "192.0.2.0", "end_address": "192.0.2.127"}, "192.0.2.1", ("192.0.2.0/25",)),
        ("2001:db8::/32", {"cidr": "2001:DB8:0::/48"}, "2001:db8::1", ("2001:db8::/48",)),
        ("192.0.2.0/24", {"name": "X"}, "192.0.2.1", ("192.0.2.0/24",)),
    ],
)
def test_a_record_is_filed_under_the_network_that_it_names(
    key: str, details: object, query: str | None, cidrs: tuple[str, ...]
) -> None:
    found = FOUND | {"network": details} | ({"query": query} if query else {})
    assert network_of(key, found, NOW).cidrs == cidrs


def test_the_looked_up_cidr_is_kept_among_many() -> None:
    listed = ", ".join(f"192.{n}.2.0/24" for n in range(0, 200, 2))
    cidrs = network_of("192.198.2.0/24", FOUND | {"network": {"cidr": listed}, "query": "192.198.2.1"}, NOW).cidrs
    assert len(cidrs) == 64 and "192.198.2.0/24" in cidrs


@pytest.mark.parametrize("code", ["EU", "AP", "ZZ", "XX", "A1", "UK", "AN", "XK", "E\u0308U", "D", ""])
def test_a_code_outside_iso_3166_is_none(code: str) -> None:
    found = FOUND | {"network": {"country": code}, "asn_country_code": code}
    assert network_of("192.0.2.0/24", found, NOW).country is None


def test_a_large_answer_is_never_written_as_json_beyond_the_limit() -> None:
    text = "x" * 60_000
    found = FOUND | {"raw": [[text] * 1000] * 1000}
    tracemalloc.start()
    try:
        assert network_of("192.0.2.0/24", found, NOW).raw == b""
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), {1, 2}, b"x"])
def test_a_raw_answer_that_is_not_json_is_left_out(odd: object) -> None:
    assert network_of("192.0.2.0/24", FOUND | {"raw": odd}, NOW).raw == b""


_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
_cidr = st.sampled_from(["192.0.2.0/24", "192.0.2.7", "::/0", "0.0.0.0/0", "2001:db8::/32", "192.0.2.0/24, 10.0.0.0/8"])
_DETAILS = ("cidr", "start_address", "end_address", "name", "country", "handle")
_details = st.fixed_dictionaries({}, optional=dict.fromkeys(_DETAILS, _plain | _cidr)) | _plain
_dates = st.sampled_from([FOUND["updated"], "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])


@given(
    _cidr | st.text(max_size=20),
    st.fixed_dictionaries(
        {"updated": _dates | _plain, "network": _details},
        optional=dict.fromkeys([*(FOUND.keys() - {"updated", "network"}), "objects", "query", "raw"], _plain | _cidr),
    ),
)
def test_any_answer_is_refused_with_a_known_reason_or_becomes_a_valid_line(key: str, found: dict[str, Any]) -> None:
    try:
        network = network_of(key, found, NOW)
    except ValueError as error:
        assert len(str(error)) < 80
        return
    line = line_of(network, about="", seen=NOW, server="web1", writer="import")
    event = decode(json.dumps(line | {"seq": 1}).encode())
    assert isinstance(event, NetworkLine)
    assert of_line(event)[0] == network
    assert network.country is None or network.country in ISO
