"""The table of dimensions."""

from msgspec.structs import replace

from banledger.ledger.dimensions import INDEXED, TABLE
from banledger.ledger.keys import Keyspace
from banledger.ledger.tokens import text_of
from tests.support.lines import ban
from tests.unit.ledger.test_merge import merged

KEYS = Keyspace()
RECORD = replace(
    merged(ban("a: fid", users=("root", "a|b"))), jail="a|b", network="192.0.2.0/24", asn=64496, org="Example Org"
)


def test_a_ban_is_in_the_sets_and_tallies_of_its_tokens() -> None:
    sets = {KEYS.members(name, tok) for name in INDEXED for tok in TABLE[name].tokens(RECORD)}
    assert set(KEYS.entries(RECORD).sets) == {*sets, KEYS.day(RECORD.id[:4], RECORD.day)}
    tallies = {
        (KEYS.count(RECORD.id[:4], RECORD.day, row.name), tok)
        for row in TABLE.values()
        if row.tallied
        for tok in row.tokens(RECORD)
    }
    assert set(KEYS.entries(RECORD).tallies) == tallies


def test_a_value_has_the_token_that_its_bans_have() -> None:
    for row in TABLE.values():
        if "+" not in row.name:
            assert all(row.token_of(text_of(tok)) == tok for tok in row.tokens(RECORD)), row.name
