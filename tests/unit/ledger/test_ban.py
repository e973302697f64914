"""The hash of a ban."""

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from banledger.ledger.ban import CODEC, GUARDED, STANDING_FIELDS, Ban, from_hash, to_hash
from banledger.ledger.hash_codec import WORD, Field, HashCodec, optional
from banledger.ledger.merge import address_of, subject_of
from banledger.ledger.new_ban import begin
from banledger.spool.events import TicketLine
from banledger.stores.fields import Damaged
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
def test_a_hash_has_the_fid_only_if_it_differs_from_the_address(fid: str, ip: str, fields: dict[str, str]) -> None:
    line = ban(fid, ip=ip)
    found = to_hash(begin("x", subject_of(line), ("2026-11-23", 3), address_of(line), nowhere(fid, 0.0), line))
    assert {name: found[name] for name in ("ip", "fid") if name in found} == fields


@given(st.lists(amendments, max_size=5))
def test_a_record_round_trips_through_its_hash(lines: list[TicketLine]) -> None:
    record = merged(*lines)
    assert from_hash(record.id, to_hash(record)) == record


def test_a_ban_without_end_never_expires() -> None:
    record = merged(ban(bantime=-1))
    assert (record.expires, to_hash(record)["expires"]) == (float("inf"), "never")


class _WiderBan(Ban, frozen=True):
    """A ban with one more field in the table."""

    reverse: Annotated[str | None, Field(optional(WORD), "name of the address", join="place", standing=True)] = None


def test_a_field_in_the_table_is_in_hash_docs_guard_and_round_trip() -> None:
    codec = HashCodec(_WiderBan)
    wider = _WiderBan(**asdict(merged(ban())), reverse="host.example")
    fields = codec.to_hash(wider)
    assert fields["reverse"] == "host.example"
    assert _WiderBan(wider.id, *codec.values(fields)) == wider
    assert codec.values(codec.to_hash(replace(wider, reverse=None)))[-1] is None
    assert codec.docs["reverse"] == "name of the address"
    assert "reverse" in codec.names(lambda field: field.standing)
    with pytest.raises(Damaged) as damaged:
        codec.values(fields | {"reverse": "\n"})
    assert damaged.value.field == "reverse"


def test_a_change_is_guarded_by_all_mutable_fields_except_log_lines() -> None:
    fixed = {"server", "jail", "fid", "time", "day", "hour", "ip", "scope", "located", "located_from"}
    assert set(GUARDED) == set(CODEC.fields) - fixed - {"matches"}
    assert set(STANDING_FIELDS) <= set(GUARDED)
