"""Decoding of spooled lines."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.model import BanLine, Undecodable, decode
from tests.lines import ban, encode, events


@given(events)
def test_what_is_written_is_read(event: object) -> None:
    assert decode(encode(event).rstrip(b"\n")) == event  # type: ignore[arg-type]


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda value: json.dumps(value).encode())
)
def test_garbage_is_undecodable_and_nothing_else(line: bytes) -> None:
    with pytest.raises(Undecodable):
        decode(line)


@pytest.mark.parametrize("odd", [b"\\udc80", b"\xff\xfe", b"\\ud800x", b"a\\u0000b"])
def test_text_that_is_not_utf8_is_read_with_visible_escapes(odd: bytes) -> None:
    event = decode(encode(ban(users=("NAME",))).replace(b"NAME", odd).rstrip(b"\n"))
    assert isinstance(event, BanLine)
    event.users[0].encode()  # plain text


def test_a_newer_version_is_told_from_garbage() -> None:
    for line in (b'{"v":2,"kind":"dance"}', encode(ban()).replace(b'"v":1', b'"v":2')):
        with pytest.raises(Undecodable) as caught:
            decode(line.rstrip(b"\n"))
        assert caught.value.newer


@pytest.mark.parametrize(
    ("field", "value"), [("seen", "1e300"), ("seen", "-1"), ("time", "NaN"), ("bantime", "9" * 400), ("jail", '""')]
)
def test_values_out_of_any_reason_are_refused(field: str, value: str) -> None:
    raw = json.loads(encode(ban()))
    line = json.dumps(raw | {field: "@"}).replace('"@"', value).encode()
    with pytest.raises(Undecodable):
        decode(line)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(Undecodable):
        decode(b'{"v":1,"x":' + b"[" * 100_000)
