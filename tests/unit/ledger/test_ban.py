"""The hash of a ban."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.ledger.ban import from_hash, to_hash
from banledger.ledger.merge import address_of, begin, subject_of
from banledger.spool.events import TicketLine
from tests.support.lines import amendments, ban, nowhere
from tests.unit.ledger.test_merge import merged


@pytest.mark.parametrize(
    ("fid", "ip", "fields"),
    [
        ("192.0.2.1", "", {"ip": "192.0.2.1"}),
        ("::ffff:192.0.2.1", "", {"ip": "192.0.2.1"}),
        ("192.0.2.1", "::ffff:192.0.2.1", {"ip": "192.0.2.1"}),
        ("192.0.2.0/24", "192.0.2.1", {"ip": "192.0.2.1", "fid": "192.0.2.0/24"}),
        ("session-7", "192.0.2.1", {"ip": "192.0.2.1", "fid": "session-7"}),
        ("session-7", "", {"fid": "session-7"}),
    ],
)
def test_a_hash_has_the_fid_only_where_it_is_not_the_address(fid: str, ip: str, fields: dict[str, str]) -> None:
    line = ban(fid, ip=ip)
    found = to_hash(begin("x", subject_of(line), ("2026-11-23", 3), address_of(line), nowhere(fid, 0.0), line))
    assert {name: found[name] for name in ("ip", "fid") if name in found} == fields


@given(st.lists(amendments, max_size=5))
def test_a_record_survives_its_hash(lines: list[TicketLine]) -> None:
    record = merged(*lines)
    assert from_hash(record.id, to_hash(record)) == record


def test_a_ban_without_end_never_expires() -> None:
    record = merged(ban(bantime=-1))
    assert (record.expires, to_hash(record)["expires"]) == (float("inf"), "never")
