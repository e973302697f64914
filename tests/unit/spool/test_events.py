"""Decoding of spooled lines."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.spool.events import BanLine, Undecodable, Unknown, decode
from tests.support.lines import ban, encode, events


@given(events)
def test_what_is_written_is_read(event: object) -> None:
    assert decode(encode(event).rstrip(b"\n")) == event  # type: ignore[arg-type]


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda value: json.dumps(value).encode())
)
def test_garbage_raises_only_undecodable(line: bytes) -> None:
    with pytest.raises(Undecodable):
        decode(line)


@pytest.mark.parametrize("odd", [b"\\udc80", b"\xff\xfe", b"\\ud800x", b"a\\u0000b"])
def test_text_that_is_not_utf8_is_read_with_visible_escapes(odd: bytes) -> None:
    event = decode(encode(ban(users=("NAME",))).replace(b"NAME", odd).rstrip(b"\n"))
    assert isinstance(event, BanLine)
    event.users[0].encode()  # plain text


def test_a_newer_version_is_not_garbage() -> None:
    for line in (b'{"v":2,"kind":"dance"}', encode(ban()).replace(b'"v":1', b'"v":2')):
        with pytest.raises(Undecodable) as caught:
            decode(line.rstrip(b"\n"))
        assert caught.value.newer


@pytest.mark.parametrize("kind", ["begin", "end", "hold", "x" * 256, "Ban", "Unknown", "Line", "\x1b[31m", ""])
@pytest.mark.parametrize("more", [{}, {"fid": 7, "users": "x", "deep": [[[{}]]]}, {"odd": "\udc80"}])
def test_an_unknown_kind_of_a_known_version_has_its_common_fields(kind: str, more: dict[str, object]) -> None:
    line = {"v": 1, "kind": kind, "seen": 5.5, "seq": 17, "server": "web1", "jail": "sshd", **more}
    assert decode(json.dumps(line).encode()) == Unknown(v=1, seen=5.5, seq=17, server="web1", jail="sshd", kind=kind)


@pytest.mark.parametrize(
    "broken",
    [{"seq": -1}, {"seq": None}, {"seen": "noon"}, {"jail": ""}, {"server": 7}, {"kind": 7}, {"kind": []}, {"v": "x"}],
)
def test_an_unknown_kind_with_broken_common_fields_is_undecodable(broken: dict[str, object]) -> None:
    line = {"v": 1, "kind": "begin", "seen": 5.5, "seq": 17, "server": "web1", "jail": "sshd"}
    with pytest.raises(Undecodable) as caught:
        decode(json.dumps(line | broken).encode())
    assert not caught.value.newer


@pytest.mark.parametrize("kind", ["ban", "unban", "prolong", "gap", "network", "import"])
def test_a_known_kind_that_lacks_its_fields_is_undecodable(kind: str) -> None:
    line = {"v": 1, "kind": kind, "seen": 5.5, "seq": 17, "server": "web1", "jail": "sshd"}
    with pytest.raises(Undecodable):
        decode(json.dumps(line).encode())


def test_an_unknown_kind_of_a_newer_version_is_newer() -> None:
    line = {"v": 2, "kind": "begin", "seen": 5.5, "seq": 17, "server": "web1", "jail": "sshd"}
    with pytest.raises(Undecodable) as caught:
        decode(json.dumps(line).encode())
    assert caught.value.newer


@pytest.mark.parametrize(
    ("field", "value"), [("seen", "1e300"), ("seen", "-1"), ("time", "NaN"), ("bantime", "9" * 400), ("jail", '""')]
)
def test_values_out_of_range_are_refused(field: str, value: str) -> None:
    raw = json.loads(encode(ban()))
    line = json.dumps(raw | {field: "@"}).replace('"@"', value).encode()
    with pytest.raises(Undecodable):
        decode(line)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(Undecodable):
        decode(b'{"v":1,"x":' + b"[" * 100_000)


@pytest.mark.parametrize("more", ['"at":NaN', '"at":Infinity', '"at":-1', '"at":1e300', '"clock":1e308'])
def test_a_time_outside_any_timeline_is_undecodable(more: str) -> None:
    line = f'{{"v":1,"kind":"start","seen":5.5,"seq":1,"server":"web1","jail":"sshd",{more}}}'
    with pytest.raises(Undecodable):
        decode(line.encode())


@pytest.mark.parametrize("moment", [0, -(2**40), 2**53])
def test_a_snapshot_with_an_impossible_time_is_undecodable(moment: int) -> None:
    line = f'{{"v":1,"kind":"held","seen":5.5,"seq":1,"server":"a","jail":"b","as_of":5,"bans":[["x",{moment},1,1]]}}'
    with pytest.raises(Undecodable):
        decode(line.encode())


@pytest.mark.parametrize(
    "more", ['"time":3124223999.5', '"time":2e9,"logged":3124224000', '"time":2e9,"found":3124224000']
)
def test_a_ticket_of_2069_is_refused_because_no_id_can_tell_its_century(more: str) -> None:
    line = f'{{"v":1,"kind":"ban","seen":5e9,"seq":1,"server":"a","jail":"b","fid":"c",{more}}}'
    with pytest.raises(Undecodable):
        decode(line.encode())
    whole = line.replace("3124223999.5", "3124223999").replace("3124224000", "3124223999")
    assert decode(whole.encode())
