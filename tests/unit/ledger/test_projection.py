"""The row of a ban says the same as the keys under which the ban stands."""

from collections import Counter
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from banledger.ledger.ban import PENDING, Ban, to_hash
from banledger.ledger.dimensions import TABLE
from banledger.ledger.keys import Keyspace
from banledger.ledger.projection import COLUMNS, BanProjection

ROWS = BanProjection("bans")

NAMES = st.text(min_size=1, max_size=40).filter(lambda text: "\ud800" not in text)
BANS = st.builds(
    Ban,
    id=st.just("2611230dnf7gxphpka6m"),
    server=NAMES | st.just(""),
    jail=NAMES | st.just(""),
    fid=st.sampled_from(["192.0.2.1", "2001:db8::/32"]) | NAMES,
    time=st.just(1_763_856_000),
    day=st.just("2025-11-23"),
    hour=st.integers(0, 23),
    ip=st.sampled_from(["192.0.2.1", "2001:db8::/32", None]),
    scope=st.sampled_from(["public", "private", "none"]),
    country=st.sampled_from(["CN", "XX", None]),
    country_from=st.none(),
    network=st.sampled_from(["192.0.2.0/24", None]),
    asn=st.none() | st.integers(0, 2**32),
    org=st.none() | NAMES,
    origin=st.sampled_from(["live", "import", "restored", PENDING]),
    users=st.lists(NAMES, max_size=4, unique=True).map(tuple),
)


@given(BANS)
def test_cells_hold_the_tokens_of_each_dimension(ban: Ban) -> None:
    cells = ROWS.cells(to_hash(ban))
    if ban.origin == PENDING:
        assert cells is None
        return
    assert cells is not None
    named = dict(zip([column.name for column in COLUMNS], cells, strict=True))
    assert {name: tuple(named[name].split()) for name in named if name in TABLE} == {
        name: row.tokens(ban) for name, row in TABLE.items() if "+" not in name
    }
    assert named["scope"] == ban.scope


@given(st.lists(BANS.map(to_hash), max_size=4), st.sampled_from([None, {}, {"origin": "live"}]))
def test_rows_of_several_hashes_are_the_rows_of_each(
    hashes: list[dict[str, str]], damaged: dict[str, str] | None
) -> None:
    some = hashes if damaged is None else [*hashes, damaged]
    assert list(ROWS.rows(some)) == [ROWS.cells(fields) for fields in some]


@given(st.lists(st.tuples(BANS, st.sampled_from(["2025-11-23", "2025-11-24"])), max_size=6))
def test_rows_are_counted_where_the_entries_of_their_bans_say(some: list[tuple[Ban, str]]) -> None:
    bans = [replace(ban, day=day) for ban, day in some if ban.origin != PENDING]
    rows = [(ban.id, cells) for ban in bans if (cells := ROWS.cells(to_hash(ban)))]
    entries = [Keyspace("bans").entries(ban) for ban in bans]
    counts = ROWS.counts(rows)
    assert _flat(counts.rankings) == Counter((top.key, top.member) for one in entries for top in one.rankings)
    assert _flat(counts.tallies) == Counter(place for one in entries for place in one.tallies)
    assert all(map(ROWS.is_counted, counts.tallies))
    assert not any(map(ROWS.is_counted, ("bans:{2511}:base", "bans:feed", "bans:{2511}:day:2025-11-23")))


def _flat(counts: Mapping[str, Mapping[str, int]]) -> dict[tuple[str, str], int]:
    return {(key, member): count for key, found in counts.items() for member, count in found.items()}
