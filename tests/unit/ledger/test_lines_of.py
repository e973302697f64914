"""The lines of a record make the same record again."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from banledger.ledger.ban import Ban
from banledger.ledger.keys import Keyspace
from banledger.ledger.lines_of import lines_of
from banledger.ledger.merge import merge, subject_of
from banledger.ledger.writer import Ledger
from tests.contract.test_ledger import fresh
from tests.support.lines import events, nowhere
from tests.support.reference import ReferenceEngine

KEYS = Keyspace("bans")


@given(st.lists(events, max_size=12), st.randoms())
def test_the_lines_of_a_record_make_it_again_in_any_order(lines: list, dice) -> None:  # type: ignore[no-untyped-def,type-arg]
    _, ledger = fresh()
    ledger.record(lines, nowhere)
    for ban in _all(ledger):
        again = list(lines_of(ban, ban.server))
        dice.shuffle(again)
        _, other = fresh()
        other._record_tickets(again * 2, nowhere, 1.0)
        assert _all(other) == [ban]
        assert all(merge(ban, line) is ban for line in again if not getattr(line, "logged", 0.0))
        assert {subject_of(line) for line in lines_of(ban, "else") if not getattr(line, "logged", 0.0)} <= {
            replace(ban.subject, server="else")
        }


def _all(ledger: Ledger) -> list[Ban]:
    store = ledger.store()
    ids = sorted(key.rpartition(":")[2] for key in store.keys("*:ban:*"))
    assert isinstance(store, ReferenceEngine)
    return [one for one in ledger.bans(ids) if one is not None]
