"""The row of a hash: any hash comes back as it was, and any damage is told as such."""

import subprocess
import sys
import zlib
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.ledger.keys import Keyspace
from banledger.stores.fields import UNREADABLE
from banledger.stores.sqlite.packed_hash import MOST_BYTES, NO_HASH, TOO_LONG, pack_hash, unpack_hash

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
    packer = zlib.compressobj(wbits=-12)
    assert unpack_hash(b"\x01" + packer.compress(text) + packer.flush()) == {UNREADABLE: NO_HASH}


def test_what_follows_the_hash_makes_it_unreadable() -> None:
    assert unpack_hash(pack_hash(SOME) + b"\0") == {UNREADABLE: NO_HASH}


def test_the_dictionary_is_what_the_tool_makes_and_never_changes() -> None:
    shipped = (files("banledger.stores.sqlite") / "dictionary-1.bin").read_bytes()
    made = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "train_dictionary.py")], check=True, capture_output=True
    )
    assert made.stdout == shipped
    assert sha256(shipped).hexdigest() == "551dbf2bca9fffc6ede4711b66fa3fccc5945970fcf8810ba2ca4a2612171f2f"
    assert len(shipped) <= 4096 - 262
