"""Filters on what the ledger has never seen are noticed."""

import pytest

from banledger.report.query import Query, question
from banledger.report.unknown import unknown
from tests.support.lines import T0, ban, start
from tests.unit.report.conftest import Make

LINES = [ban("192.0.2.1", T0, jail="sshd", server="web1"), ban("203.0.113.1", T0 + 1, jail="nginx-http-auth")]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (question(jail=("sshdd",)), ["no such jail 'sshdd'; did you mean 'sshd'?"]),
        (question(jail=("SSHD",)), ["no such jail 'SSHD'; did you mean 'sshd'?"]),
        (question(jail=("sshd", "nginx-http-aut")), ["no such jail 'nginx-http-aut'; did you mean 'nginx-http-auth'?"]),
        (question(jail=("sshd,recidive",)), ["no such jail 'sshd,recidive'; for several values repeat --jail"]),
        (question(jail=("\x1b",)), ["no such jail '\\x1b'"]),
        (question(server=("web2",)), ["no such server 'web2'; did you mean 'web1'?"]),
        (question(country=("UK",)), ["no such country 'UK'; did you mean 'GB' (United Kingdom)?"]),
        (question(country=("QQ",)), ["no such country 'QQ'"]),
        (question(country=("FR",)), ["no ban from FR (France) in the ledger"]),
        (question(jail=("sshd",), server=("web1",), country=("DE", "private"), user=("nobody",)), []),
        (question(jail=("recidive",)), []),
    ],
)
def test_unknown_filter_values_are_named(make: Make, query: Query, said: list[str]) -> None:
    ledger = make([*LINES, start(T0, jail="recidive")])
    assert list(unknown(ledger, query)) == said


def test_an_empty_ledger_is_not_wondered_about(make: Make) -> None:
    assert list(unknown(make([]), question(jail=("sshdd",)))) == []
