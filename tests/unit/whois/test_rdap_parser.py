"""What is read from registries' answers, sample by sample and trap by trap."""

import json
from typing import Any

import msgspec
import pytest

from banledger.ledger.network import MOST_CIDRS, Network
from banledger.whois.rdap.parser import BODY_MOST, NotANetwork, RateLimited, Refused, parse
from tests.support.rdap_answers import PLACEHOLDERS, SAMPLES, Sample, card, cidr0, entity, events, network, remark

ASKED = "8.8.8.8"


def read(answer: Any, asked: str = ASKED) -> Network:
    return parse(json.dumps(answer).encode(), asked, registry="arin", fetched=1.0)


def around(**fields: Any) -> Network:
    """What is read from a network around ASKED with these fields."""
    return read(network("8.8.8.0", "8.8.8.255", **fields))


def owned_by(*entities: dict[str, Any]) -> Network:
    return around(entities=list(entities))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_the_answers_of_every_registry_are_parsed(sample: Sample) -> None:
    body = json.dumps(sample.answer).encode()

    found = parse(body, sample.asked, registry=sample.registry, fetched=5.0)

    assert found == Network(source="rdap", registry=sample.registry, fetched=5.0, raw=body, **sample.read)


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_a_placeholder_is_not_a_network(name: str) -> None:
    asked, answer = PLACEHOLDERS[name]

    with pytest.raises(NotANetwork):
        read(answer, asked)


# CIDRs


def test_an_answer_about_another_network_is_refused() -> None:
    with pytest.raises(Refused, match="not about the address"):
        read(network("8.8.4.0", "8.8.4.255", cidr0_cidrs=cidr0("8.8.4.0/24")))


def test_a_network_around_only_part_of_the_question_is_refused() -> None:
    with pytest.raises(Refused):
        read(network("8.8.8.0", "8.8.8.127"), "8.8.8.0/24")


def test_if_cidrs_and_ends_differ_the_one_with_the_address_counts() -> None:
    assert read(network("8.8.8.0", "8.8.8.255", cidr0_cidrs=cidr0("9.9.9.0/24"))).cidrs == ("8.8.8.0/24",)
    assert read(network("9.9.9.0", "9.9.9.255", cidr0_cidrs=cidr0("8.8.8.0/24"))).cidrs == ("8.8.8.0/24",)


def test_if_both_contain_the_address_the_smaller_one_counts() -> None:
    assert read(network("8.0.0.0", "8.255.255.255", cidr0_cidrs=cidr0("8.8.8.0/24"))).cidrs == ("8.8.8.0/24",)
    assert read(network("8.8.8.0", "8.8.8.255", cidr0_cidrs=cidr0("8.0.0.0/8"))).cidrs == ("8.8.8.0/24",)


def test_cidrs_outside_the_network_s_ends_are_left_out() -> None:
    found = read(network("8.8.8.0", "8.8.9.255", cidr0_cidrs=cidr0("8.8.8.0/24", "8.8.9.0/24", "1.1.1.0/24", "::/0")))

    assert found.cidrs == ("8.8.8.0/24", "8.8.9.0/24")


def test_cidrs_of_the_other_ip_version_or_too_large_are_dropped_without_ends() -> None:
    answer = network("", "", cidr0_cidrs=cidr0("8.8.8.0/24", "::/0", "128.0.0.0/1", "1.1.1.0/24"))

    assert read(answer).cidrs == ("1.1.1.0/24", "8.8.8.0/24")


def test_cidrs_inside_others_and_doubles_are_left_out() -> None:
    answer = network("8.8.8.0", "8.8.9.255", cidr0_cidrs=cidr0("8.8.9.7/32", "8.8.8.0/23", "8.8.8.0/23"))

    assert read(answer).cidrs == ("8.8.8.0/23",)


def test_the_cidr_with_the_address_is_kept_among_too_many() -> None:
    answer = network("8.0.0.0", "8.255.255.255", cidr0_cidrs=cidr0(*(f"8.{n}.8.0/24" for n in range(0, 256, 2))))

    found = read(answer, "8.254.8.1")

    assert len(found.cidrs) == MOST_CIDRS
    assert "8.254.8.0/24" in found.cidrs
    assert "8.0.8.0/24" in found.cidrs


def test_an_ipv6_range_of_odd_ends_keeps_the_part_around_the_address() -> None:
    found = read(network("2600::1", "2600:0:ffff:ffff:ffff:ffff:ffff:fffe"), "2600:0:8000::1")

    assert len(found.cidrs) == MOST_CIDRS
    assert "2600:0:8000::/34" in found.cidrs


@pytest.mark.parametrize(
    "listed",
    [
        None,
        {},
        [None, "8.8.8.0/24", 8],
        [{"v4prefix": "8.8.8.0"}],
        [{"v4prefix": "8.8.8.0", "length": "24"}],
        [{"v4prefix": "8.8.8.0", "length": 33}, {"v4prefix": "8.8.8.0", "length": -1}],
        [{"v4prefix": "8.8.8.0", "length": True}],
        [{"v4prefix": "eight", "length": 24}, {"v6prefix": [], "length": 24}],
    ],
)
def test_malformed_cidrs_are_ignored(listed: object) -> None:
    assert around(cidr0_cidrs=listed).cidrs == ("8.8.8.0/24",)


@pytest.mark.parametrize(("first", "last"), [("8.8.8.255", "8.8.8.0"), ("8.8.8.0", "::"), ("x", "y"), (8, 9), ("", "")])
def test_invalid_ends_are_ignored(first: Any, last: Any) -> None:
    with pytest.raises(Refused):
        read({"startAddress": first, "endAddress": last})


def test_a_network_may_be_looked_up() -> None:
    assert read(network("8.8.0.0", "8.8.255.255"), "8.8.8.0/24").cidrs == ("8.8.0.0/16",)


# Country


@pytest.mark.parametrize(
    ("written", "country"),
    [
        ("DE", "DE"),
        (" de ", "DE"),
        ("EU # Worldwide", None),
        ("EU, FR", "FR"),
        ("NL # DE", "NL"),
        ("NL/DE", "NL"),
        ("ZZ", None),
        ("Germany", None),
    ],
)
def test_the_country_is_the_first_one_named(written: str, country: str | None) -> None:
    assert around(country=written).country == country


@pytest.mark.parametrize(
    ("label", "country"),
    [
        ("1 Main St\nTown\nUnited States", "US"),
        ("1 Main St\\nTown\\nUNITED STATES", "US"),
        ("Lines\nKorea, Republic of\n\n", "KR"),
        ("3-6-2 Uchi-Kanda\\nChiyoda-ku, Tokyo 101-0047,Japan", "JP"),
        ("a\r\nCôte d'Ivoire\r\n", "CI"),
        (["1 Main St", "Canada"], "CA"),
        ("London GB", None),
        ("", None),
        (7, None),
    ],
)
def test_without_the_field_it_is_the_last_line_of_the_registrant_s_address(label: Any, country: str | None) -> None:
    assert owned_by(entity("X", ["registrant"], card("Owner", label=label))).country == country


def test_a_country_code_among_an_address_s_parameters_counts_first() -> None:
    owner = entity("X", ["registrant"], card("Owner", label="Town\nCanada"))
    owner["vcardArray"][1][3][1]["cc"] = "US"  # RFC 8605

    assert owned_by(owner).country == "US"


def test_only_a_registrant_s_address_tells_the_country() -> None:
    assert owned_by(entity("X", ["technical"], card("Technician", label="Town\nCanada"))).country is None


# Owner and mailbox


def test_an_organisation_counts_before_a_person() -> None:
    person, owner = card("Jane Doe", kind="individual"), card("Doe Inc.", kind="org")

    assert owned_by(entity("P", ["registrant"], person), entity("O", ["registrant"], owner)).org == "Doe Inc."


def test_a_description_without_letters_or_with_a_link_or_a_place_is_not_an_owner() -> None:
    found = around(remarks=[remark(None, "*****", "https://owner.example", "Zurich, Switzerland", "Owner AG")])

    assert found.org == "Owner AG"


def test_remarks_of_another_title_are_not_an_owner() -> None:
    assert around(remarks=[remark("Registration Comments", "Call us")]).org is None


def test_a_mailbox_named_abuse_counts_at_any_position() -> None:
    inside = entity("A", ["abuse"], card("Abuse", mail=["Network-Abuse@owner.example"]))
    outside = entity("T", ["noc", "abuse"], card("All", mail=["all@owner.example", "noc@owner.example"]))

    assert owned_by(entity("O", ["registrant"], None, inside), outside).abuse == "Network-Abuse@owner.example"


@pytest.mark.parametrize("written", ["", "nobody", "@", "a b", "<script>", None, 7, ["a@b.example"], "a@b@c", "a@\nb"])
def test_an_invalid_mailbox_is_ignored(written: Any) -> None:
    found = owned_by(entity("A", ["abuse"], card("Abuse", mail=[written])))

    assert found.abuse in (None, "b@c", "a@b")


def test_mailboxes_of_other_roles_are_ignored() -> None:
    assert owned_by(entity("A", ["technical"], card("T", mail=["abuse@owner.example"]))).abuse is None


# Texts


def test_texts_are_one_line_without_control_characters() -> None:
    found = around(handle=" A\x00B\n C\x1b[1m\x85\u202eD\t ", name="\x7f")

    assert found.handle == "AB C[1m \u202eD"
    assert found.name is None


def test_texts_and_remarks_are_bounded() -> None:
    found = around(name="é" * 10_000, remarks=[remark("x", *["y" * 1000] * 20), remark("z", "line")])

    assert found.name == "é" * 256
    assert found.remarks == ("y" * 256,) * 16


def test_valid_dates_are_kept_as_given() -> None:
    assert around(events=events("2015-03-26", "2021-12-14T20:28:53-05:00")).registered == "2015-03-26"
    assert around(events=events("yesterday", "2021-13-14")).registered is None
    assert around(events=events("yesterday", "2021-13-14")).changed is None


def test_bytes_that_are_not_utf_8_are_replaced() -> None:
    body = json.dumps(network("8.8.8.0", "8.8.8.255", name="Jos")).encode().replace(b"Jos", b"Jos\xe9")

    assert parse(body, ASKED, registry="x", fetched=0.0).name == "Jos\ufffd"


def test_a_byte_order_mark_is_skipped() -> None:
    body = b"\xef\xbb\xbf" + json.dumps(network("8.8.8.0", "8.8.8.255")).encode()

    assert parse(body, ASKED, registry="x", fetched=0.0).cidrs == ("8.8.8.0/24",)


def test_every_parsed_network_can_be_written() -> None:
    for one in SAMPLES:
        msgspec.json.encode(read(one.answer, one.asked))


# What is no answer


def test_lacnic_s_notice_is_a_limit_with_the_time_it_names() -> None:
    said = {"title": "Rate Limit Notice", "description": ["Rate Limit is maxed at 10 queries per 1 minutes."]}

    with pytest.raises(RateLimited) as caught:
        read({"notices": [{"title": "Terms"}, said]})

    assert caught.value.retry_s == 60.0


@pytest.mark.parametrize(
    "answer",
    [
        {"title": "Rate Limit Notice"},
        {"errorCode": 429, "title": "Too Many Requests"},
        {"errorCode": "503"},
        {"notices": [{"title": "RATE LIMIT NOTICE", "description": "soon"}]},
    ],
)
def test_other_limits_in_the_body_name_no_time(answer: Any) -> None:
    with pytest.raises(RateLimited) as caught:
        read(answer)

    assert caught.value.retry_s == 0.0


def test_a_network_that_mentions_a_limit_is_parsed() -> None:
    assert around(notices=[{"title": "Rate Limit Notice", "description": ["10 per minute"]}]).cidrs == ("8.8.8.0/24",)


def test_error_404_in_the_body_is_not_a_network() -> None:
    with pytest.raises(NotANetwork, match="Nothing"):
        read({"errorCode": 404, "title": "Nothing"})


@pytest.mark.parametrize("answer", [{"errorCode": 501, "title": "No"}, {"errorCode": []}, {}, [], None, 7, "x", [{}]])
def test_anything_else_is_refused(answer: Any) -> None:
    with pytest.raises(Refused):
        read(answer)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{",
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"startAddress":"8.8.8.0","endAddress":"8.8.8.255","x":' + b"[" * 100 + b"]" * 100 + b"}",
        b" " * (BODY_MOST + 1),
        b"\x00\xff\xfe",
    ],
    ids=lambda body: repr(body[:12]),
)
def test_malformed_json_is_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        parse(body, ASKED, registry="x", fetched=0.0)


def test_an_answer_about_something_else_is_refused() -> None:
    with pytest.raises(Refused, match="autnum"):
        around(objectClassName="autnum")
