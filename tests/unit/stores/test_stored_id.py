"""Ids inside keys and members, packed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.ledger.ids import ban_id, second_of
from banledger.stores.id_form import has_id_form
from banledger.stores.sqlite.stored_id import is_id, item_key, key_of_item, packed_id, shown, stored

IDS = st.builds(
    ban_id, st.just("web1"), st.just("sshd"), st.text(max_size=4), st.integers(0, 3_124_223_999)
)  # 1970 to 2068
ALMOST = st.text("0123456789abcdefghjkmnpqrstvwxyzilou_+ A٣", min_size=20, max_size=20)


@given(IDS)
def test_an_id_has_twelve_bytes_and_comes_back(id_: str) -> None:
    packed = stored(id_)
    assert isinstance(packed, bytes)
    assert (len(packed), shown(packed)) == (12, id_)
    assert int.from_bytes(packed[:4], "big") == second_of(id_)


@given(IDS, IDS)
def test_packed_ids_sort_by_time_and_then_as_ids(first: str, second: str) -> None:
    one, other = (second_of(first), first), (second_of(second), second)
    assert (one < other) == (stored(first) < stored(second))  # type: ignore[operator]


@given(ALMOST | st.text() | IDS)
def test_every_member_comes_back_and_only_ids_are_packed(member: str) -> None:
    assert shown(stored(member)) == member
    assert isinstance(stored(member), bytes) == is_id(member)
    assert not is_id(member) or has_id_form(member)


@given(st.text(st.sampled_from("{}2611:a")), IDS, st.text(st.sampled_from("{}2611:a")))
def test_head_and_packed_id_of_an_item_give_back_its_key(before: str, id_: str, after: str) -> None:
    for key in (f"{before}{{{id_[:4]}}}{after}{id_}", before + id_):
        if place := item_key(key):
            assert key_of_item(*place) == key
        else:
            assert "{}" in key[:-20]


@pytest.mark.parametrize(
    "text", ["691231" + "0" * 14, "261340" + "0" * 14, "261123zzzz" + "0" * 10, "26112300000000000i00", "", "261123"]
)
def test_a_text_that_is_no_packable_id_is_stored_as_it_is(text: str) -> None:
    assert packed_id(text) is None
    assert stored(text) == text
    assert item_key(f"bans:{{2611}}:ban:{text}") is None
