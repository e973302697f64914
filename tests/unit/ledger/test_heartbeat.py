"""Heartbeats are read strictly."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.ledger.heartbeat import FIELDS, MOST_TEXT, Heartbeat, bounded, encoded, parsed
from banledger.stores.fields import Damaged

NOW = 1_795_410_000.0
ID = "0123456789ab"


def beat(**fields: Any) -> Heartbeat:
    given_: dict[str, Any] = {
        "written": NOW - 5,
        "since": NOW - 3600,
        "host": "web1",
        "pid": 7,
        "version": "1",
        "id": ID,
    } | fields
    return Heartbeat(**given_)


def test_a_heartbeat_is_read_as_it_was_written() -> None:
    one = beat(labels=("web1", "\x1b[2J"), last_id="x", delay_s=0.2, ahead=-3.0, held=())
    assert parsed(ID, encoded(one)) == one


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("written", -1),
        ("written", 1e18),
        ("written", "now"),
        ("pid", -1),
        ("host", "x" * (MOST_TEXT + 1)),
        ("labels", [1]),
        ("labels", ["x"] * 101),
        ("registries", [{"name": "arin"}]),
        ("delay_s", 1e300),
    ],
)
def test_a_damaged_field_is_no_heartbeat(field: str, value: object) -> None:
    fields = msgspec.json.decode(encoded(beat())) | {field: value}
    with pytest.raises(Damaged):
        parsed(ID, msgspec.json.encode(fields).decode())


@pytest.mark.parametrize("value", ["", "[]", "{}", "{" * 5000, "x" * 300_000, '{"written": NaN}', "\ud800"])
def test_other_text_is_no_heartbeat(value: str) -> None:
    with pytest.raises(Damaged):
        parsed(ID, value)


def test_a_field_that_is_no_id_is_no_heartbeat() -> None:
    with pytest.raises(Damaged):
        parsed("\x1b[2J", encoded(beat()))


def test_fields_of_a_newer_version_are_ignored() -> None:
    fields = msgspec.json.decode(encoded(beat())) | {"mood": "fine"}
    assert parsed(ID, msgspec.json.encode(fields).decode()) == beat()


@given(st.text(st.characters(), max_size=2 * MOST_TEXT))
def test_bounded_text_can_always_be_written(outside: str) -> None:
    parsed(ID, encoded(beat(waits=bounded(outside))))


def test_every_field_but_the_id_is_described() -> None:
    assert FIELDS.keys() == set(Heartbeat.__struct_fields__) - {"id"}
