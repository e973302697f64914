"""Answers of all kinds that no registry should give: nothing but the three errors comes out, and not much memory."""

import json
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banledger.ledger.network import MOST_CIDRS, Network, from_hash, to_hash
from banledger.net.prefix import block
from banledger.whois.rdap.parser import BODY_MOST, NotANetwork, RateLimited, Refused, parse
from tests.support.rdap_answers import SAMPLES, Sample

ODDITIES: list[Callable[[], Any]] = [
    lambda: None,
    lambda: True,
    lambda: -1,
    lambda: 10**30,
    lambda: 1e300,
    lambda: 429,
    lambda: "",
    lambda: "x" * 3000,
    lambda: "\x00\u202e\x9b",
    lambda: "8.8.8.8",
    lambda: "::",
    lambda: [],
    lambda: {},
    lambda: [[[[]]]],
    lambda: [None, 1, "registrant"],
    lambda: {"title": ["Rate Limit Notice"], "description": {}},
    lambda: ["vcard", [["email", {}, "text", ["a@b"]], ["fn"], [[], {}, 1, 2], ["adr", {"label": {}}, "text", {}]]],
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
members = st.sampled_from(
    [
        "cidr0_cidrs",
        "country",
        "endAddress",
        "entities",
        "errorCode",
        "events",
        "handle",
        "name",
        "notices",
        "objectClassName",
        "remarks",
        "startAddress",
        "status",
        "title",
    ]
)


def outcome(body: bytes, asked: str) -> Network | None:
    """What is read, checked; None if one of the three errors came."""
    try:
        found = parse(body, asked, registry="x", fetched=1.0)
    except (NotANetwork, RateLimited, Refused) as error:
        str(error).encode()
        return None
    blocks = [block(cidr) for cidr in found.cidrs]
    assert any(one.covers(block(asked)) for one in blocks)
    assert len(blocks) <= MOST_CIDRS
    assert from_hash(to_hash(found)) == found
    return found


@given(st.binary(max_size=200))
def test_any_bytes_raise_only_known_errors(body: bytes) -> None:
    assert outcome(body, "8.8.8.8") is None


@given(json_values)
def test_any_json_raises_only_known_errors(value: Any) -> None:
    outcome(json.dumps(value).encode(), "8.8.8.8")


@given(st.dictionaries(members, json_values), st.sampled_from(SAMPLES))
def test_any_member_of_a_true_answer_replaced_by_anything(members: dict[str, Any], sample: Sample) -> None:
    outcome(json.dumps(sample.answer | members).encode(), sample.asked)


@given(st.sampled_from(SAMPLES), st.data())
def test_a_true_answer_cut_anywhere_is_none(sample: Sample, data: st.DataObject) -> None:
    body = json.dumps(sample.answer).encode()

    assert outcome(body[: data.draw(st.integers(0, len(body) - 1))], sample.asked) is None


@settings(max_examples=50)
@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_any_two_ends_hold_the_address_or_are_refused(first: object, last: object, asked: object) -> None:
    outcome(json.dumps({"startAddress": str(first), "endAddress": str(last)}).encode(), str(asked))


def mutated(value: Any, chance: random.Random) -> Any:
    """The same with some parts left out, doubled or replaced by oddities."""
    if chance.random() < 0.04:
        return chance.choice(ODDITIES)()
    if isinstance(value, dict):
        return {key: mutated(inner, chance) for key, inner in value.items() if chance.random() > 0.02}
    if isinstance(value, list):
        return [mutated(inner, chance) for inner in value for _ in range(1 + (chance.random() < 0.05))]
    return value


def scratched(body: bytes, chance: random.Random) -> bytes:
    """The same with some bytes replaced."""
    bytes_ = bytearray(body)
    for _ in range(chance.randrange(1, 8)):
        bytes_[chance.randrange(len(bytes_))] = chance.choice(b'"{}[],:\\0\x00\xff\xc3 ')
    return bytes(bytes_)


@pytest.mark.parametrize("seed", range(20))
def test_mutations_of_true_answers(seed: int) -> None:
    chance = random.Random(seed)
    for sample in SAMPLES:
        for _ in range(10):
            outcome(json.dumps(mutated(sample.answer, chance)).encode(), sample.asked)
            outcome(scratched(json.dumps(sample.answer).encode(), chance), sample.asked)


def _filled(start: str, piece: str, end: str) -> bytes:
    """As many pieces as an answer may have."""
    size = BODY_MOST - len(start) - len(end)
    return (start + (piece * (size // len(piece))).rstrip(",") + end).encode()


NET = '{"startAddress":"8.8.8.0","endAddress":"8.8.8.255",'
VCARD = '"vcardArray":["vcard",['
LARGEST = {
    "arrays": _filled(NET + '"x":[', "[],", "]}"),
    "objects": _filled(NET + '"x":[', "{},", "]}"),
    "cidrs": _filled(NET + '"cidr0_cidrs":[', '{"v4prefix":"8.8.8.0","length":30},', "]}"),
    "entities": _filled(NET + '"entities":[', '{"roles":["abuse","registrant"]},', "]}"),
    "nested entities": (NET + '"entities":[{' * 300 + "}]" * 300 + "}").encode(),
    "mailboxes": _filled(
        NET + '"entities":[{"roles":["abuse"],' + VCARD, '["email",{},"text","a@b.example"],', "]]}]}"
    ),
    "a mailbox of blanks": _filled(
        NET + '"entities":[{"roles":["abuse"],' + VCARD + '["email",{},"text","', "a@a@", '"]]]}]}'
    ),
    "a name": _filled(NET + '"name":"', "\\u0001", '"}'),
    "a label": _filled(
        NET + '"entities":[{"roles":["registrant"],' + VCARD + '["adr",{"label":"', "\\\\n", '"},"text",[]]]]}]}'
    ),
    "remarks": _filled(NET + '"remarks":[', '{"description":["x, y"]},', "]}"),
    "lines": _filled(NET + '"remarks":[{"description":["', "\\nx", '"]}]}'),
    "a limit": _filled('{"title":"Rate Limit Notice","description":["', "per 1 ", '"]}'),
}


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_answers_take_little_memory(name: str) -> None:
    tracemalloc.start()
    try:
        outcome(LARGEST[name], "8.8.8.8")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 100 * BODY_MOST
