"""Any mix of filters, over every engine."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banledger.ledger.selected import select
from banledger.ledger.writer import Ledger
from banledger.report import summary
from banledger.report.query import Query, Span, question
from banledger.report.walk import walk
from banledger.stores.api import Engine
from banledger.stores.redis import reader
from banledger.stores.selection import Selection
from tests.contract.conftest import KEYS
from tests.support.lines import T0, ban
from tests.support.selections import COLUMNS, DAY_S, SELECTIONS, all_bans, distinct, place, rank, selected

QUERIES = (
    Query(),
    question(country=("CN", "private")),
    question(country=("private",), jail=("sshd",)),
    question(ip=("192.0.2.0/24", "2.0.0.1"), user=("root", "é")),
    question(Span("2026-11-24", "2026-11-27"), server=("web2",), asn=("64500",)),
    question(Span("2026-11-24", "2026-11-27", T0 + 1.5 * DAY_S, T0 + 4.0 * DAY_S), jail=("a|b %",)),
    question(jail=("none",), user=("root",)),
)


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Bans of many kinds."""
    addresses = ("192.0.2.1", "192.0.2.2", "192.0.2.128/25", "2.0.0.1", "10.0.0.1", "2001:db8::1", "some user")
    ledger.record(
        [
            ban(
                addresses[n % 7],
                T0 + n * 7200,
                jail=("sshd", "a|b %")[n % 5 % 2],
                server=("web1", "web2")[n % 3 % 2],
                users=(("root", "é"), ("a b",), ())[n % 4 % 3],
            )
            for n in range(120)
        ],
        place,
    )
    return ledger


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_a_mix_of_filters_is_what_a_look_at_every_ban_finds(
    filled: Ledger, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_FIELDS_PAGE", 7)
    meant = selected(all_bans(filled), query.selection())
    most = dict.fromkeys(COLUMNS, 2)

    ranks = select(filled, query.selection()).rank(most, ("day", "ip"))

    assert ranks.total == len(meant) == summary.report(filled, query, T0 + 1.0).total
    assert ranks.by == {name: rank(meant, name, 2) for name in COLUMNS}
    assert ranks.distinct == distinct(meant, "day", "ip")
    assert list(walk(filled, query)) == meant
    assert list(walk(filled, query, 3)) == meant[:3]


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(selection=SELECTIONS, limit=st.integers(1, 9))
def test_any_selection_is_what_a_look_at_every_ban_finds(filled: Ledger, selection: Selection, limit: int) -> None:
    meant = selected(all_bans(filled), selection)
    rows = select(filled, selection)

    assert list(rows.newest(limit)) == [one.id for one in meant][:limit]
    ranks = rows.rank(dict.fromkeys(COLUMNS, limit), ("country", "ip"))
    assert ranks.total == len(meant)
    assert ranks.by == {name: rank(meant, name, limit) for name in COLUMNS}
    assert ranks.distinct == distinct(meant, "country", "ip")


def test_the_newest_bans_skip_damaged_hashes(filled: Ledger, engine: Engine) -> None:
    meant = [one.id for one in walk(filled, Query())]
    engine.put({KEYS.ban(id_): {**engine.hashes([KEYS.ban(id_)])[0], "seen": "x"} for id_ in meant[:5]})

    assert [one.id for one in walk(filled, Query(), 3)] == meant[5:8]
    assert len(filled.damaged_keys) == 5
