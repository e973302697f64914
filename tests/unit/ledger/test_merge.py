"""How lines merge into the record of a ban."""

from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from banledger.geo.place import Place
from banledger.ledger.ban import PENDING, RESTORED, Ban, to_hash
from banledger.ledger.log_fact import LogFact, fact_of, joined
from banledger.ledger.merge import (
    address_of,
    begin_from_parts,
    merge,
    parts_of,
    parts_of_line,
    subject_of,
    with_facts,
    with_whole_users,
)
from banledger.ledger.moment import in_microseconds
from banledger.ledger.new_ban import begin, begin_from_facts
from banledger.ledger.parts import Parts
from banledger.spool.events import BanLine, TicketLine
from tests.support.lines import T0, amendments, ban, ended_ticket, held_ticket, prolong, unban

FIELDS: dict[str, Any] = {
    "v": 1, "seq": 1, "server": "web1", "jail": "sshd", "fid": "192.0.2.1", "time": T0, "seen": T0, "origin": "import"
}  # fmt: skip
told_facts = st.builds(
    LogFact,
    st.integers(0, 9).map(lambda n: T0 + n / 8),
    st.sampled_from([0, T0 - 1, T0]),
    st.sampled_from([0.0, T0 + 60.5, T0 + 90.0]),
    st.sampled_from([-(2**40), -1, 0, 600, 2**52]),
    st.integers(0, 2),
    st.integers(0, 9),
    st.sampled_from([0, T0 - 9]),
)
BLANK = Ban("x" * 20, "web1", "sshd", "192.0.2.1", T0, "2026-11-23", 2, "192.0.2.1", "public", "DE", "test")


def merged(*lines: TicketLine) -> Ban:
    """The record after these lines."""
    record = BLANK
    for line in lines:
        record = merge(record, line)
    return record


def begun_with(*lines: TicketLine) -> Ban:
    """The record that the first of these lines begins."""
    record = begin("x" * 20, BLANK.subject, ("2026-11-23", 2), "192.0.2.1", Place("public", "DE", "test"), lines[0])
    return reduce(merge, lines[1:], record)


@given(st.lists(amendments, max_size=7).flatmap(lambda some: st.tuples(st.just(some), st.permutations(some + some))))
def test_any_order_and_any_repetition_of_lines_leaves_the_same_record(
    orders: tuple[list[TicketLine], list[TicketLine]],
) -> None:
    once, shuffled = orders
    assert merged(*once) == merged(*shuffled)


parts = st.one_of(
    amendments.map(parts_of_line),
    st.lists(amendments, min_size=1, max_size=4).map(lambda lines: parts_of(merged(*lines))),
)


@pytest.mark.parametrize("part", [0, 1, 2], ids=Parts._fields)
@given(one=parts, two=parts, three=parts)
def test_each_part_of_a_record_has_its_own_join(part: int, one: Parts, two: Parts, three: Parts) -> None:
    a: Any = one[part]
    b: Any = two[part]
    c: Any = three[part]
    assert a.join(a) == a
    assert a.join(b) == b.join(a)
    assert a.join(b).join(c) == a.join(b.join(c))


@given(
    st.lists(amendments, min_size=1, max_size=6).flatmap(lambda some: st.tuples(st.just(some), st.permutations(some)))
)
def test_any_line_may_begin_the_record(orders: tuple[list[TicketLine], list[TicketLine]]) -> None:
    one, other = orders
    assert begun_with(*one) == begun_with(*other)


@given(
    st.sampled_from([0, 1]),
    st.sampled_from(["", "import"]),
    st.floats(1, 2e9),
    st.just(0.0) | st.floats(1, 2e9),
    st.lists(st.sampled_from(["", "root", "pi", "invalid user pi", "invalid user ", "x" * 300]), max_size=12),
    st.integers(-(2**53), 2**53),
    st.sampled_from([0, 1, 7]),
    st.sampled_from([Place("none"), Place("public", "DE", "whois", "192.0.2.0/24", 7, "org", "proven", "FR", "mine")]),
)
def test_a_live_ban_begins_as_its_parts_say(
    restored: int, origin: str, seen: float, at: float, users: list[str], bantime: int, bancount: int, place: Place
) -> None:
    more: dict[str, Any] = {"restored": restored, "origin": origin, "at": at, "country": "NL", "matches": ("a", "b")}
    line = ban(seen=seen, users=tuple(users), bantime=bantime, bancount=bancount, **more)
    about = ("x" * 20, subject_of(line), ("2026-11-23", 2), "192.0.2.1", place, line)
    assert begin(*about) == begin_from_parts(*about)


@given(st.lists(told_facts, min_size=1, max_size=3))
def test_a_ban_of_logs_begins_as_its_parts_say(some: list[LogFact]) -> None:
    lines = [BanLine(**FIELDS, **asdict(fact)) for fact in some]
    place = Place("public", "DE", "whois", "192.0.2.0/24", 7, "org", "proven", "FR", "mine")
    about = ("x" * 20, subject_of(lines[0]), ("2026-11-23", 2), "192.0.2.1", place)
    facts = joined(map(fact_of, lines))
    assert begin_from_facts(*about, facts) == with_facts(begin_from_parts(*about, lines[0]), facts)


def test_a_known_line_returns_the_same_record_object() -> None:
    record = merged(ban())
    assert merge(record, ban()) is record


def test_a_restored_line_never_changes_a_live_record() -> None:
    record = merged(ban(bancount=1))
    assert merge(record, ban(restored=1, seen=T0 + 500, bancount=2, bantime=9)) is record


def test_a_restored_line_gives_the_bancount_before_restoring() -> None:
    record = merged(ban(restored=1, bancount=3))
    assert (record.origin, record.bancount) == (RESTORED, 2)


def test_a_live_line_replaces_a_restored_one() -> None:
    record = merged(ban(restored=1, seen=T0 + 9, failures=1), ban(failures=7))
    assert (record.origin, record.failures, record.seen) == ("live", 7, T0 + 1)


def test_an_imported_line_changes_no_ban_of_fail2ban() -> None:
    imported = ban(origin="import", seen=T0 + 9, failures=1, bantime=0)
    assert merged(ban(restored=1), imported) == merged(imported, ban(restored=1)) == merged(ban(restored=1))
    record = merged(ban())
    assert merge(record, imported) is record
    assert merged(imported, ban()).failures == 5


def test_an_imported_line_does_not_open_a_record_again() -> None:
    assert merged(ban(), unban(seen=T0 + 5), ban(origin="import", seen=T0 + 9)).unbanned == T0 + 5


def test_an_imported_country_replaces_the_registrys_in_any_order() -> None:
    lines = [ban(), ban(origin="import", country="CN"), ban(origin="import", country="AT")]
    for some in (lines, lines[::-1]):
        record = merged(*some)
        assert (record.country, record.country_from, record.origin) == ("AT", "import", "live")


@pytest.mark.parametrize("country", ["", "XX", "cn", "C", "CHN", "4D", "A:", "Ää", "\u0391\u0392"])
def test_an_invalid_country_is_ignored(country: str) -> None:
    record = merged(ban(origin="import", country=country))
    assert (record.country, record.country_from) == ("DE", "test")


def test_a_country_is_taken_from_imports_only_and_for_public_addresses_only() -> None:
    assert merged(ban(country="CN")).country == "DE"
    private = replace(BLANK, scope="private", country=None, country_from=None)
    assert merge(private, ban(origin="import", country="CN")).country is None


def test_a_prolong_changes_the_term_and_a_later_one_again() -> None:
    record = merged(ban(), prolong(seen=T0 + 3, bantime=900), prolong(seen=T0 + 2, bantime=700))
    assert (record.bantime, record.bancount, record.expires) == (900, 2, T0 + 900)


def test_an_unban_closes_the_record_and_keeps_it() -> None:
    record = merged(ban(), unban(seen=T0 + 5))
    assert (record.unbanned, record.open, record.failures) == (T0 + 5, False, 5)


def test_a_live_ban_after_the_unban_opens_the_record_again_and_a_prolong_does_not() -> None:
    assert merged(ban(), unban(seen=T0 + 5), prolong(seen=T0 + 6)).unbanned == T0 + 5
    again = merged(ban(), unban(seen=T0 + 5), ban(seen=T0 + 7))
    assert (again.unbanned, again.unbanned_before, again.reopened) == (None, T0 + 5, T0 + 7)


def test_an_unban_after_a_clock_step_back_lifts_the_ban() -> None:
    lifted = merged(ban(seen=T0 + 3600), unban(seen=T0 + 5, at=T0 + 3605))
    assert (lifted.open, lifted.unbanned) == (False, T0 + 5)
    assert to_hash(lifted)["order"] == f'{{"unbanned":{T0 + 3605}}}'


def test_a_snapshot_ends_missing_bans_and_a_later_one_reopens_listed_bans() -> None:
    ended = merged(ban(), ended_ticket(seen=T0 + 50, reason="not restored"))
    assert (ended.open, ended.ended, ended.ended_because) == (False, T0 + 50, "not restored")
    again = merge(ended, held_ticket(seen=T0 + 60))
    assert (again.open, again.ended, again.held) == (True, None, T0 + 60)
    assert merged(ban(seen=T0 + 51), ended_ticket(seen=T0 + 50)).open


def test_an_unban_overrides_the_end_by_a_snapshot() -> None:
    record = merged(ban(), ended_ticket(seen=T0 + 50), unban(seen=T0 + 51))
    assert (record.unbanned, record.ended) == (T0 + 51, None)


def test_an_imported_ban_is_in_force_only_if_fail2ban_holds_it() -> None:
    record = merged(ban(origin="import", bantime=-1))
    assert not record.open
    assert merge(record, held_ticket(seen=T0 + 60)).open
    assert merge(record, ban(restored=1)).open


def test_an_amendment_before_its_ban_waits() -> None:
    assert merged(unban(seen=T0 + 5)).origin == PENDING
    assert merged(unban(seen=T0 + 5), ban()).unbanned == T0 + 5


def test_user_names_lose_the_filters_prefix() -> None:
    assert merged(ban(users=("invalid user bob", "bob", ""))).users == ("bob",)


def test_a_restored_record_has_the_names_of_the_restored_text() -> None:
    text = "['root', 'pi']"
    assert merged(ban(restored=1, users=(text,))).users == ("pi", "root")
    assert merged(ban(users=(text,))).users == (text,)
    old = replace(merged(ban(restored=1)), users=(text,))
    assert with_whole_users(old) == merged(ban(restored=1, users=(text,)))
    live = merged(ban(users=(text,)))
    assert with_whole_users(live) is live


def test_the_subject_has_the_canonical_address_and_the_second_of_the_database() -> None:
    subject = subject_of(ban("::ffff:192.0.2.1", time=T0 + 0.6))
    assert (subject.fid, subject.time) == ("192.0.2.1", T0 + 1)


def test_a_jail_with_its_own_id_may_still_know_the_address() -> None:
    assert address_of(ban("alice", ip="2001:DB8::1")) == "2001:db8::1"
    assert address_of(ban("alice")) is None


def test_a_bantime_beyond_any_date_is_cut() -> None:
    assert merged(ban(bantime=2**50)).bantime == merged(prolong(bantime=2**53)).bantime == 2**37
    assert merged(ban(bantime=-(2**40))).bantime == -1


@given(st.floats(-1e10, 4e10) | st.integers(0, 4 * 10**15).map(lambda number: number / 1e6))
def test_moments_are_rounded_to_microseconds(seconds: float) -> None:
    assert in_microseconds(seconds) == round(seconds, 6)
