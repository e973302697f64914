"""What a batch writes of changes."""

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from banledger.geo.place import Place
from banledger.ledger.ban import Ban, to_hash
from banledger.ledger.ids import ban_id
from banledger.ledger.keys import Keyspace
from banledger.ledger.merge import merge, subject_of
from banledger.ledger.new_ban import begin
from banledger.spool.events import TicketLine
from banledger.stores.sqlite.batch import Batch, row_id
from tests.support.lines import T0, amendments, ban

KEYS = Keyspace("bans")
YEAR_2069 = 3_130_000_000


def _begun(line: TicketLine) -> Ban:
    about = subject_of(line)
    id_ = ban_id(about.server, about.jail, about.fid, about.time)
    return begin(id_, about, ("2026-11-23", 3), "192.0.2.1", Place("public", "DE", "whois", whois="waiting"), line)


@given(
    st.sampled_from([T0, T0 + 86_400, YEAR_2069]),
    st.lists(amendments | st.builds(ban, users=st.sampled_from([("root",), ("pi", "root")])), min_size=1, max_size=4),
    st.booleans(),
)
def test_changes_may_leave_out_what_the_engine_derives(time: int, lines: list[TicketLine], known: bool) -> None:
    first, *more = [replace(line, time=float(time)) for line in lines]
    have = _begun(first) if known else None
    after = reduce(merge, more, have or _begun(first))
    fields = to_hash(have) if have else {}
    whole, lean = (
        KEYS.change(have, after),
        KEYS.change(have, after, lambda key: row_id(KEYS.projection, key) is not None),
    )
    one, other = (vars(Batch([(change, fields)], KEYS.projection)) for change in (whole, lean))
    assert {name: _sorted(value) for name, value in one.items()} == {
        name: _sorted(value) for name, value in other.items()
    }
    if time == YEAR_2069:  # its id can't be packed, and it has no row
        assert whole == lean


def _sorted(value: object) -> object:
    """A mapping without the counts that are 0."""
    return {key: kept for key, kept in value.items() if kept} if isinstance(value, dict) else value
