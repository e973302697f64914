"""The row of a ban says the same as the keys under which the ban stands."""

from hypothesis import given
from hypothesis import strategies as st

from banledger.ledger.ban import PENDING, Ban, to_hash
from banledger.ledger.dimensions import TABLE
from banledger.ledger.projection import COLUMNS, BanProjection

ROWS = BanProjection("bans")

NAMES = st.text(min_size=1, max_size=40).filter(lambda text: "\ud800" not in text)
BANS = st.builds(
    Ban,
    id=st.just("2611230dnf7gxphpka6m"),
    server=NAMES,
    jail=NAMES,
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
