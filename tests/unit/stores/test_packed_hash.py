"""The row of a hash: any hash comes back as it was, and any damage is told as such."""

import subprocess
import sys
import tracemalloc
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.ledger.keys import Keyspace
from banledger.stores.fields import UNREADABLE
from banledger.stores.sqlite.packed_hash import MOST_BYTES, NO_HASH, TOO_LONG, pack_hash, text_of_hash, unpack_hash
from banledger.zstd import zstd

ROOT = Path(__file__).parents[3]
ANY_TEXT = st.text(st.characters(codec=None, categories=None))  # lone surrogates and control characters too
NAMES = list(Keyspace("bans").standing_fields)
SOME = {"server": "web1", "jail": "sshd", "matches": '["a line"]'}


@given(st.dictionaries(ANY_TEXT.filter(bool) | st.sampled_from(NAMES), ANY_TEXT, min_size=1))
def test_any_hash_comes_back_as_it_was_in_the_same_order(fields: dict[str, str]) -> None:
    found = unpack_hash(pack_hash(fields))
    assert list(found.items()) == list(fields.items())


@pytest.mark.parametrize(
    "fields",
    [
        {"a\nb": "x", "c": "y"},
        {"a\0": "x"},
        {"x": "\0\n\0"},
        {"high then low": "\ud83d\ude00"},
        {"": "x", "y": ""},
        {"matches": "x" * (MOST_BYTES - 100)},
    ],
)
def test_odd_names_and_huge_values_come_back(fields: dict[str, str]) -> None:
    assert unpack_hash(pack_hash(fields)) == {name: value for name, value in fields.items() if name}


def test_a_hash_that_unpacks_to_more_than_the_limit_is_too_long() -> None:
    row = pack_hash({"matches": "x" * MOST_BYTES})
    assert len(row) < 200_000
    assert unpack_hash(row) == {UNREADABLE: TOO_LONG}


@given(st.binary(max_size=300))
def test_any_bytes_are_a_hash_or_unreadable(row: bytes) -> None:
    found = unpack_hash(row)
    assert all(isinstance(text, str) for item in found.items() for text in item)


@given(st.integers(0, len(pack_hash(SOME)) - 1), st.integers(1, 255))
def test_a_changed_byte_raises_nothing(place: int, change: int) -> None:
    row = bytearray(pack_hash(SOME))
    row[place] ^= change
    unpack_hash(bytes(row))


@pytest.mark.parametrize("length", range(len(pack_hash(SOME))))
def test_a_truncated_row_holds_no_hash(length: int) -> None:
    assert unpack_hash(pack_hash(SOME)[:length]) == {UNREADABLE: NO_HASH}


@pytest.mark.parametrize("version", [0, 2, 127, 128, 130, 255])
def test_a_row_of_an_unknown_dictionary_holds_no_hash(version: int) -> None:
    assert unpack_hash(bytes((version,)) + pack_hash(SOME)[1:]) == {UNREADABLE: NO_HASH}


@pytest.mark.parametrize("text", [b"", b"a", b"a\nb\0x", b"a\0x\0y", b"a\na\0x\0y", b"\xff\0x"])
def test_a_text_whose_names_and_values_do_not_match_holds_no_hash(text: bytes) -> None:
    assert unpack_hash(b"\x01" + zstd.compress(text)[4:]) == {UNREADABLE: NO_HASH}


def test_what_follows_the_hash_makes_it_unreadable() -> None:
    assert unpack_hash(pack_hash(SOME) + b"\0") == {UNREADABLE: NO_HASH}


def test_a_row_that_asks_for_more_memory_than_a_hash_needs_holds_no_hash() -> None:
    header = b"\x00" + bytes([(25 - 10) << 3])  # no flags, and a window of 32 MiB
    assert unpack_hash(b"\x01" + header + zstd.compress(b"a\0x")[6:]) == {UNREADABLE: NO_HASH}


def test_nothing_stays_in_memory_of_hashes_with_many_names() -> None:
    """Anybody who may write to a ledger may put them there."""
    rows = [pack_hash({f"{n} {name}": "" for name in range(20_000)}) for n in range(10)]
    tracemalloc.start()
    for row in rows:
        assert len(unpack_hash(row)) == 20_000
    assert tracemalloc.get_traced_memory()[0] < 1 << 20
    tracemalloc.stop()


def test_the_dictionary_never_changes() -> None:
    shipped = (files("banledger.stores.sqlite") / "dictionary-1.bin").read_bytes()
    assert sha256(shipped).hexdigest() == "2bb4a015f92710a660c068992a7a1fedc62c644e48ce6965f12313e9024ed7cf"


def test_the_tool_makes_a_dictionary_that_is_as_good() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "train_dictionary.py")]
    made = zstd.ZstdDict(subprocess.run(tool, check=True, capture_output=True).stdout)
    text = text_of_hash(SOME).encode()
    assert len(zstd.compress(text, zstd_dict=made)) <= len(pack_hash(SOME)) + 12
