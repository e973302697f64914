"""Plain data comes out of a pickle, nothing else, and nothing in it ever runs."""

import json
import os
import pickle
import pickletools
import sys
import tracemalloc
from collections import Counter, OrderedDict
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.importer.plain_pickle import MAX_BYTES, MAX_UNFOLDED, NotPlain, loads

_leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
_plain = st.recursive(
    _leaves,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple),
    max_leaves=20,
)


@given(_plain, st.integers(2, pickle.HIGHEST_PROTOCOL))
def test_plain_data_is_read_unchanged(value: object, protocol: int) -> None:
    try:
        data = pickle.dumps(value, protocol)
        value = pickle.loads(data)
    except UnicodeEncodeError:
        return
    assert loads(data) == value


@given(st.binary(max_size=300))
def test_garbage_raises_only_not_plain(data: bytes) -> None:
    _no_harm(data)


@given(_plain, st.data())
def test_a_damaged_pickle_is_read_or_raises_not_plain(value: object, data: st.DataObject) -> None:
    whole = bytearray(pickle.dumps(value, 4))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    _no_harm(bytes(whole))


_codes = st.sampled_from([opcode.code.encode("latin-1") for opcode in pickletools.opcodes])


@given(st.lists(_codes | st.binary(max_size=4), max_size=40).map(b"".join))
def test_opcodes_in_any_order_are_read_or_raise_not_plain(data: bytes) -> None:
    _no_harm(data)


def _no_harm(data: bytes) -> None:
    with suppress(NotPlain):
        loads(data)


class _Reduced:
    """Pickles as a call of anything."""

    def __init__(self, function: object, *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self._call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("function", [os.system, eval, exec, getattr, __import__, open, bytearray, pickle.loads])
def test_no_call_is_ever_made(tmp_path: Path, function: object, protocol: int) -> None:
    victim = tmp_path / "victim"
    hostile = pickle.dumps({"network": _Reduced(function, f"touch {victim}")}, protocol)
    with pytest.raises(NotPlain):
        loads(hostile)
    assert not victim.exists()


@pytest.mark.parametrize(
    ("data", "asked"),
    [
        (b"cos\nsystem\n(S'id'\ntR.", "GLOBAL asks for os.system"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "STACK_GLOBAL asks for posix.system"),
        (b"(S'id'\nios\nsystem\n.", "STRING"),
        (b"(ios\nsystem\n.", "INST asks for os.system"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02Ppersistent\n.", "PERSID"),
        (b"\x80\x02NQ.", "BINPERSID"),
        (b"\x80\x02}}b.", "BUILD"),
        (b"\x80\x02))\x81.", "NEWOBJ"),
        (b"\x80\x02N)R.", "REDUCE"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
        (b"\x80\x02]2a.", "DUP"),
        (b"\xff.", "opcode 0xff"),
    ],
)
def test_the_error_names_the_requested_object(data: bytes, asked: str) -> None:
    with pytest.raises(NotPlain, match=asked):
        loads(data)


@pytest.mark.parametrize("value", [datetime(2026, 1, 1), OrderedDict(a=1), Counter("a"), {1, 2}, b"x", 1j, Path("/")])  # noqa: DTZ001
def test_objects_of_any_class_are_refused(value: object) -> None:
    with pytest.raises(NotPlain):
        loads(pickle.dumps(value))


_LONG = "x" * 60_000


def _shared(levels: int) -> list[object]:
    value: list[object] = ["lol"]
    for _ in range(levels):
        value = [value] * 10
    return value


def _loop() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


def _deep(levels: int) -> bytes:
    return b"\x80\x02" + b"]" * levels + b"a" * (levels - 1) + b"."


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (pickle.dumps(_shared(9)), "expands to too much"),
        (pickle.dumps(_shared(40)), "expands to too much|too deep"),
        (pickle.dumps(_loop()), "contains itself"),
        (pickle.dumps([_LONG] * 20_000), "expands to too much"),
        (pickle.dumps([{_LONG: n} for n in range(9_000)]), "expands to too much"),
        (_deep(100), "too deep"),
        (_deep(40_000), "too deep"),
        (b"\x80\x02" + b"}" * 1_000_000, "too many steps"),
        (b"\x80\x02" + b"(" * 1_000_000, "too many steps"),
        (b"x" * (MAX_BYTES + 1), "more than 1,048,576 bytes"),
        (b"\x80\x02X\xff\xff\xff\xff.", "truncated"),
        (b"\x80\x04\x8d" + b"\xff" * 8 + b"a.", "BINUNICODE8"),
        (b"\x80\x02B\xff\xff\xff\x7f.", "BINBYTES"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f.", "LONG4"),
        (b"\x80\x02\x8a\xff" + b"\x7f" * 255 + b".", "64 bits"),
        (b"L" + b"9" * 900_000 + b"L\n.", "LONG"),
        (b"\x80\x02Nr\xff\xff\xff\xffj\xff\xff\xff\x7f.", "not memoized"),
        (b"\x80\x02}(K\x01K\x02u.", "a key is not text"),
        (b"\x80\x02.", "one value"),
        (b"\x80\x02(.", "one value"),
        (b"\x80\x02NN.", "one value"),
        (b"\x80\x02e.", "truncated|mark is missing"),
        (b"", "truncated"),
    ],
)
def test_bombs_and_invalid_pickles_are_refused_in_bounded_memory(data: bytes, said: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(NotPlain, match=said):
            loads(data)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_a_value_used_twice_is_read_twice() -> None:
    lines, name = ["active"], "TEST-NET" * 10
    value = {"raw": {"status": lines, "name": name}, "network": {"status": lines, "name": name}, "both": (lines, lines)}
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert loads(pickle.dumps(value, protocol)) == value


_reused = st.lists(st.tuples(st.sampled_from("ldts"), st.lists(st.integers(0, 30), max_size=6)), max_size=60)


@given(_reused)
def test_reused_values_expand_to_a_bounded_size(plan: list[tuple[str, list[int]]]) -> None:
    values: list[object] = ["leaf" * 50, 1]
    for kind, places in plan:
        items = [values[-1 - place % len(values)] for place in places]
        made: object = items if kind == "l" else tuple(items) if kind == "t" else "s" * len(items)
        values.append({f"k{n}": item for n, item in enumerate(items)} if kind == "d" else made)
    try:
        value = loads(pickle.dumps(values[-1]))
    except NotPlain as error:
        assert str(error) in ("it expands to too much", "it is nested too deep")
        return
    assert value == values[-1]
    assert len(json.dumps(value)) <= 8 * MAX_UNFOLDED


def test_every_truncated_pickle_is_refused() -> None:
    whole = pickle.dumps({"asn": "64496", "network": {"name": "TEST", "events": [1, 2.5, None, True]}})
    for end in range(len(whole)):
        with pytest.raises(NotPlain):
            loads(whole[:end])


def test_reading_imports_nothing() -> None:
    before = set(sys.modules)
    with pytest.raises(NotPlain):
        loads(b"\x80\x02cantigravity\nx\n.")
    assert "antigravity" not in set(sys.modules) - before
