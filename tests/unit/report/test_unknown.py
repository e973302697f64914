"""Filters on what the ledger has never seen are noticed."""

import pytest

from banledger.report.query import Query
from banledger.report.unknown import unknown
from tests.support.lines import T0, ban, start
from tests.unit.report.conftest import Make

LINES = [ban("192.0.2.1", T0, jail="sshd", server="web1"), ban("203.0.113.1", T0 + 1, jail="nginx-http-auth")]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (Query(jail=("sshdd",)), ["no such jail 'sshdd'; did you mean 'sshd'?"]),
        (Query(jail=("SSHD",)), ["no such jail 'SSHD'; did you mean 'sshd'?"]),
        (Query(jail=("sshd", "nginx-http-aut")), ["no such jail 'nginx-http-aut'; did you mean 'nginx-http-auth'?"]),
        (Query(jail=("\x1b",)), ["no such jail '\\x1b'"]),
        (Query(server=("web2",)), ["no such server 'web2'; did you mean 'web1'?"]),
        (Query(country=("UK",)), ["no such country 'UK'; did you mean 'GB' (United Kingdom)?"]),
        (Query(country=("QQ",)), ["no such country 'QQ'"]),
        (Query(country=("FR",)), ["no ban from FR (France) in the ledger"]),
        (Query(jail=("sshd",), server=("web1",), country=("DE", "private"), user=("nobody",)), []),
        (Query(jail=("recidive",)), []),
    ],
)
def test_unknown_filter_values_are_named(make: Make, query: Query, said: list[str]) -> None:
    ledger = make([*LINES, start(T0, jail="recidive")])
    assert list(unknown(ledger, query)) == said


def test_an_empty_ledger_causes_no_warning(make: Make) -> None:
    assert list(unknown(make([]), Query(jail=("sshdd",)))) == []
