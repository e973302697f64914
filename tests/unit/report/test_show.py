from math import inf

import pytest

from banledger.model import Event
from banledger.report.show import Standing, show, state_of
from tests.lines import T0, ban, unban
from tests.unit.report.conftest import Make

_LINES = [
    ban("192.0.2.1", T0),
    ban("192.0.2.1", T0 + 50, jail="other"),
    ban("192.0.2.0/28", T0 + 10),
    ban("192.0.2.200", T0 + 20),
    ban("192.0.0.0/16", T0 + 30),
    ban("2001:db8::1", T0),
    ban("2001:db8::/64", T0 + 5),
    ban("some [user]", T0),
]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("192.0.2.1", ["192.0.2.1", "192.0.0.0/16", "192.0.2.0/28", "192.0.2.1"]),
        ("::ffff:192.0.2.200", ["192.0.0.0/16", "192.0.2.200"]),
        ("192.0.2.0/24", ["192.0.2.1", "192.0.0.0/16", "192.0.2.200", "192.0.2.0/28", "192.0.2.1"]),
        ("192.0.0.0/15", ["192.0.2.1", "192.0.0.0/16", "192.0.2.200", "192.0.2.0/28", "192.0.2.1"]),
        ("2001:db8::1", ["2001:db8::/64", "2001:db8::1"]),
        ("2001:db8::/32", ["2001:db8::/64", "2001:db8::1"]),
        ("some [user]", ["some [user]"]),
        ("198.51.100.1", ["192.0.2.1"][:0]),
    ],
)
def test_an_address_comes_with_networks_around_and_what_is_inside(make: Make, asked: str, found: list[str]) -> None:
    assert [one.fid for one in show(make(_LINES), asked).bans] == found


def test_an_id_shows_its_ban(make: Make) -> None:
    ledger = make(_LINES)
    (one,) = show(ledger, "192.0.2.200").bans[1:]

    shown = show(ledger, one.id)

    assert shown.kind == "ban" and shown.bans == (one,)


def test_a_pending_record_is_not_shown(make: Make) -> None:
    ledger = make([unban("192.0.2.1", T0)])
    (key,) = ledger.store().keys("bans:*:ban:*")

    assert show(ledger, key.rpartition(":")[2]).bans == ()


def test_a_ban_stands_in_one_of_four_ways(make: Make) -> None:
    lines: list[Event] = [
        ban(time=T0, bantime=60),
        ban("192.0.2.2", T0, bantime=-1),
        ban("192.0.2.3", T0),
        unban("192.0.2.3", T0),
    ]
    ledger = make(lines)
    ran, ever, lifted = (show(ledger, f"192.0.2.{n}").bans[0] for n in (1, 2, 3))

    assert state_of(ran, T0 + 59).standing is Standing.UNTIL and state_of(ran, T0 + 59).at == T0 + 60
    assert state_of(ran, T0 + 60).standing is Standing.RAN_OUT
    assert state_of(ever, inf - 1).standing is Standing.FOR_EVER and state_of(ever, T0).at is None
    assert state_of(lifted, T0).standing is Standing.LIFTED and state_of(lifted, T0).at == T0 + 1
