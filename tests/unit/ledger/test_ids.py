"""Ids and addresses."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.ledger.ids import age_order, ban_id, beginning, newest_first, whole_second
from banledger.net.address import canonical_address
from banledger.stores.id_form import ID_LENGTH, has_id_form

seconds = st.integers(946_684_800, 4_102_444_799)  # 2000 to 2099: two digits of year
texts = st.text(max_size=30)


def test_an_id_never_changes() -> None:
    """Ledgers hold ids for years. If this fails, every ban would be recorded again under another id."""
    assert ban_id("web1", "sshd", "192.0.2.1", 1_763_869_999) == "2511230dnf7gxphpka6m"
    assert ban_id("web1", "sshd", "192.0.2.1", 1_763_869_999, salt=1) != "2511230dnf7gxphpka6m"


@given(texts, texts, texts, seconds)
def test_an_id_is_twenty_characters_that_begin_with_the_utc_day(server: str, jail: str, fid: str, second: int) -> None:
    id_ = ban_id(server, jail, fid, second)
    assert len(id_) == ID_LENGTH
    assert has_id_form(id_)


@given(texts, seconds, seconds)
def test_ids_sort_by_time(fid: str, first: int, second: int) -> None:
    earlier, later = sorted((first, second))
    if earlier < later:
        assert ban_id("s", "j", fid, earlier) < ban_id("s", "j", fid, later)


@given(texts, texts, texts, texts)
def test_the_boundary_between_values_changes_the_id(a: str, b: str, c: str, d: str) -> None:
    if (a, b) != (c, d):
        assert ban_id(a, b, "x", 1_763_869_999) != ban_id(c, d, "x", 1_763_869_999)


@given(st.ip_addresses())
def test_an_address_has_one_canonical_text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    canonical = canonical_address(str(address))
    assert canonical is not None
    assert canonical_address(canonical) == canonical
    assert canonical_address(address.exploded) == canonical


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::FFFF:192.0.2.1", "192.0.2.1"),
        ("2001:DB8::0", "2001:db8::"),
        ("198.51.100.9/24", "198.51.100.0/24"),
        ("198.51.100.9/32", "198.51.100.9"),
        ("::ffff:198.51.100.0/120", "198.51.100.0/24"),
        ("192.0.2.01", None),
        ("fe80::1%eth0", None),
        ("192.0.2.1\0", None),
        ("alice", None),
        ("a/b", None),
        ("", None),
        ("fe80::1%eth0", None),
        ("2001:db8::%\x1b/32", None),
    ],
)
def test_canonical_addresses(text: str, canonical: str | None) -> None:
    assert canonical_address(text) == canonical


@pytest.mark.parametrize(("time", "second"), [(10.4, 10), (10.5, 10), (11.5, 12), (10.6, 11)])
def test_seconds_are_rounded_as_fail2bans_database_rounds(time: float, second: int) -> None:
    assert whole_second(time) == second


@given(st.lists(st.integers(0, 3_124_223_999)))
def test_ids_sort_by_their_seconds_from_1970_to_2068(times: list[int]) -> None:
    made = {ban_id("web1", "sshd", "192.0.2.1", second): second for second in times}

    assert [made[id_] for id_ in newest_first(made)] == sorted(set(times), reverse=True)
    assert newest_first(made) == sorted(made, key=age_order, reverse=True)
    assert all(id_.startswith(beginning(second)) for id_, second in made.items())
