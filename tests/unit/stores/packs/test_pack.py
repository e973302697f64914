"""Packs give back their rows, and whatever became of their bytes, only one error."""

import random
import zlib
from collections.abc import Callable, Sequence
from struct import pack as layout

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.stores.packs.pack import PACK_ROWS, DamagedPack, Key, Pack, Row, encode
from banledger.stores.packs.part import MOST_BYTES, PackPart, join
from banledger.stores.packs.selected import Packed, SelectedRows
from banledger.stores.selection import Between, Cells, Column, Is, Selection, Within

COLUMNS = (Column("ip", "ip", str), Column("user", "users", str, several=True), Column("day", "day", str))

CELLS = (
    st.sampled_from(
        ("", "192.0.2.1", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::1", "01.1.1.1", "1.2.3.4/33", "1.2.3.4/24")
    )
    | st.ip_addresses().map(str)
    | st.text(st.characters(exclude_characters="\n"), max_size=6)
)
KEYS = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**50 - 1)).map(
    lambda place: place[0].to_bytes(4, "big") + place[1].to_bytes(8, "big")
)
TABLES = st.dictionaries(KEYS, st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=30)


def wide(count: int) -> list[Row]:
    """Rows with more different cells than codes have."""
    choose = random.Random(count)

    def cell() -> str:
        kind = choose.randrange(4)
        number = choose.randrange(10**9)
        if kind == 0:
            return f"10.{number % 256}.0.0/16"
        return f"192.0.{number >> 8 & 255}.{number & 255}" if kind == 1 else f"name{number % 700}"

    return [(row.to_bytes(12, "big"), (cell(), f"{cell()} {cell()}", cell())) for row in range(count)]


def opened(parts: Sequence[bytes], rows: int) -> Pack:
    return Pack(COLUMNS, rows, parts.__getitem__)


@given(TABLES)
def test_a_pack_gives_back_its_rows(table: dict[Key, Cells]) -> None:
    rows = sorted(table.items())
    pack = opened(encode(COLUMNS, rows), len(rows))

    assert pack.all_rows() == rows
    assert pack.keys() == [key for key, _ in rows]


@pytest.mark.parametrize("count", [255, 256, 257, 1000, PACK_ROWS])
def test_a_pack_of_many_different_cells_gives_back_its_rows(count: int) -> None:
    rows = wide(count)

    assert opened(encode(COLUMNS, rows), count).all_rows() == rows


@pytest.mark.parametrize("rows", [[], [(bytes(12), ("a\nb", "", ""))], [(bytes(11), ("", "", ""))]])
def test_rows_that_no_pack_can_hold_are_refused(rows: list[Row]) -> None:
    with pytest.raises(ValueError):
        encode(COLUMNS, rows)


def test_cells_that_are_too_long_together_are_refused() -> None:
    rows = [(key.to_bytes(12, "big"), (f"{key}{'x' * (MOST_BYTES // 2)}", "", "")) for key in range(2)]

    with pytest.raises(ValueError, match="too long"):
        encode(COLUMNS, rows)


def ask_all(pack: Pack, rows: Sequence[Row]) -> None:
    """Ask everything that reads a part."""
    pack.all_rows()
    for condition in (
        Is("ip", frozenset({"192.0.2.1", "a"})), Within("ip", "192.0.0.0/8"), Within("ip", "2001:db8::/32"),
        Between("user", "a", None), Is("user", frozenset({"a"})), Between("day", None, "5"),
    ):  # fmt: skip
        selected = SelectedRows(
            COLUMNS,
            Selection(((condition,),)),
            lambda: [Packed(pack, rows[0][0], rows[-1][0], frozenset({rows[0][0]}))],
            bytes.hex,
        )
        list(selected.newest())
    for pair in (("ip", "day"), ("day", "ip")):
        everything = SelectedRows(
            COLUMNS, Selection(), lambda: [Packed(pack, rows[0][0], rows[-1][0], frozenset({bytes(12)}))], bytes.hex
        )
        everything.rank({"ip": 1, "user": None, "day": 3}, pair)


def unharmed(ask: Callable[[], object]) -> bool:
    """Whether nothing is raised. Anything but DamagedPack fails the test."""
    try:
        ask()
    except DamagedPack:
        return False
    return True


FEW, MANY = wide(40), wide(600)


@given(st.data(), st.sampled_from((FEW, MANY)))
def test_flipped_bytes_raise_one_error(data: st.DataObject, rows: list[Row]) -> None:
    parts = encode(COLUMNS, rows)
    number = data.draw(st.integers(0, len(COLUMNS)))
    damaged = bytearray(parts[number])
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=3, unique=True)):
        damaged[place] ^= data.draw(st.integers(1, 255))
    parts[number] = bytes(damaged)

    pack = opened(parts, len(rows))
    if unharmed(pack.all_rows):  # a byte that says how it was compressed
        assert pack.all_rows() == rows
    unharmed(lambda: ask_all(pack, rows))


@given(st.data(), st.sampled_from((FEW, MANY)))
def test_streams_with_any_bytes_raise_one_error(data: st.DataObject, rows: list[Row]) -> None:
    """Somebody may have made the checksum fit."""
    parts = encode(COLUMNS, rows)
    number = data.draw(st.integers(0, len(COLUMNS)))
    count = parts[number][0]
    streams = [bytearray(PackPart(parts[number], (count,)).stream(place)) for place in range(count)]
    stream = streams[data.draw(st.integers(0, count - 1))]
    if stream and data.draw(st.booleans()):
        for place in data.draw(st.lists(st.integers(0, len(stream) - 1), max_size=9)):
            stream[place] = data.draw(st.integers(0, 255))
    else:
        stream[data.draw(st.integers(0, len(stream))) :] = data.draw(st.binary(max_size=30))
    parts[number] = join([bytes(each) for each in streams])

    unharmed(lambda: ask_all(opened(parts, len(rows)), rows))


@given(st.binary(max_size=60), st.integers(0, 3))
def test_any_bytes_for_a_part_raise_one_error(data: bytes, number: int) -> None:
    parts = encode(COLUMNS, FEW)
    parts[number] = data

    with pytest.raises(DamagedPack):
        opened(parts, len(FEW)).all_rows()


@pytest.mark.parametrize("length", [MOST_BYTES + 1, 2**32 - 1, 1 << 20])
def test_a_stream_that_grows_without_end_is_not_inflated(length: int) -> None:
    bomb = zlib.compress(bytes(8 << 20), 9)
    part = b"\1" + layout(">II", length, len(bomb)) + bomb

    with pytest.raises(DamagedPack):
        PackPart(part, (1,)).stream(0)


@pytest.mark.parametrize("rows", [0, -1, PACK_ROWS + 1])
def test_a_pack_with_an_impossible_number_of_rows_is_damaged(rows: int) -> None:
    with pytest.raises(DamagedPack):
        opened([], rows)


@pytest.mark.parametrize("rows", [1, 39, 41])
def test_a_pack_with_another_number_of_rows_is_damaged(rows: int) -> None:
    parts = encode(COLUMNS, FEW)

    for read in (opened(parts, rows).keys, lambda: opened(parts, rows).column(0).cells()):
        with pytest.raises(DamagedPack):
            read()


def test_a_key_that_is_no_id_is_refused_and_damage() -> None:
    strange = bytes(4) + (1 << 50).to_bytes(8, "big")
    with pytest.raises(ValueError, match="50 bits"):
        encode(COLUMNS, [(strange, ("", "", ""))])
    parts = encode(COLUMNS, [(bytes(12), ("", "", ""))])
    body = bytearray(12)
    body[5] = 4
    parts[0] = join([bytes(body)])
    with pytest.raises(DamagedPack, match="id"):
        Pack(COLUMNS, 1, parts.__getitem__).keys()
