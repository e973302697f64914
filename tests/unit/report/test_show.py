import re
from collections.abc import Callable, Iterator, Sequence
from io import StringIO
from math import inf
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from banledger.ledger.network import Cell, Network, Outcome
from banledger.ledger.writer import Ledger, open_to_write
from banledger.report.formats import listing, table
from banledger.report.formats.base import Presentation
from banledger.report.formats.screen import Screen
from banledger.report.query import Query, question
from banledger.report.show import Phase, State, show, state_of
from banledger.report.summary import report
from banledger.spool.events import Event
from banledger.whois.locate import offline_only
from banledger.whois.stored import NAMED, known
from tests.support.lines import T0, ban, told, unban
from tests.unit.report.conftest import Make

UTC = ZoneInfo("UTC")

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
def test_an_address_comes_with_networks_around_and_inside(make: Make, asked: str, found: list[str]) -> None:
    assert [one.fid for one in show(make(_LINES), asked, T0).bans] == found


def test_an_id_shows_its_ban(make: Make) -> None:
    ledger = make(_LINES)
    (one,) = show(ledger, "192.0.2.200", T0).bans[1:]

    shown = show(ledger, one.id, T0)

    assert shown.kind == "ban" and shown.bans == (one,)


def test_a_pending_record_is_not_shown(make: Make) -> None:
    ledger = make([unban("192.0.2.1", T0)])
    (key,) = ledger.store().keys("bans:*:ban:*")

    assert show(ledger, key.rpartition(":")[2], T0).bans == ()


def test_a_ban_has_one_of_four_states(make: Make) -> None:
    lines: list[Event] = [
        ban(time=T0, bantime=60),
        ban("192.0.2.2", T0, bantime=-1),
        ban("192.0.2.3", T0),
        unban("192.0.2.3", T0),
    ]
    ledger = make(lines)
    ran, ever, lifted = (show(ledger, f"192.0.2.{n}", T0).bans[0] for n in (1, 2, 3))

    assert state_of(ran, T0 + 59).phase is Phase.UNTIL and state_of(ran, T0 + 59).at == T0 + 60
    assert state_of(ran, T0 + 60).phase is Phase.RAN_OUT
    assert state_of(ever, inf - 1).phase is Phase.FOR_EVER and state_of(ever, T0).at is None
    assert state_of(lifted, T0).phase is Phase.LIFTED and state_of(lifted, T0).at == T0 + 1


Keep = Callable[..., Ledger]


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Keep]:
    """A function that makes a ledger of lines and networks, with places as they are known offline."""
    opened: list[Ledger] = []

    def made(lines: Sequence[Event], networks: Sequence[Network] = (), cells: Sequence[Cell] = ()) -> Ledger:
        opened.append(open_to_write(str(tmp_path / f"kept{len(opened)}.db"), "bans", "UTC"))
        opened[-1].record(lines, offline_only)
        opened[-1].networks.put(networks, cells, T0)
        return opened[-1]

    yield made
    for ledger in opened:
        ledger.close()


def test_the_kind_of_a_special_address_replaces_its_country(keep: Keep) -> None:
    def printed(asked: str) -> str:
        out = StringIO()
        listing.show(show(ledger, asked, T0), Presentation(UTC, T0), Screen(out))
        return out.getvalue()

    ledger = keep([ban("fe80::1"), ban("10.0.0.1"), ban("64:ff9b::c000:201")])
    assert printed("fe80::1").startswith("fe80::1  link-local address\n")
    assert "kind      NAT64 address of 192.0.2.1" in printed("64:ff9b::c000:201")
    assert "XX" not in printed("10.0.0.1")
    assert printed("169.254.1.1") == "The ledger has no bans of 169.254.1.1 (link-local address).\n"
    assert printed("ff02::/16") == "The ledger has no bans of ff02::/16 (multicast network).\n"


def test_the_summary_of_one_ban_has_its_time_once(keep: Keep) -> None:
    def summary(asked: str) -> str:
        out = StringIO()
        listing.show(show(ledger, asked, T0), Presentation(UTC, T0), Screen(out))
        return out.getvalue().splitlines()[1]

    ledger = keep([ban("3.0.0.1"), ban("3.0.0.2"), ban("3.0.0.2", T0 + 60)])
    [time] = re.findall(r"^1 ban, 1 in force now . (.*)$", summary("3.0.0.1"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", time)
    assert f" first {time}, last " in summary("3.0.0.2")


def test_bans_with_all_fields_have_an_empty_line_between_them_and_none_at_the_end(keep: Keep) -> None:
    out = StringIO()
    answer = show(keep([ban("3.0.0.2"), ban("3.0.0.2", T0 + 60), ban("3.0.0.2", T0 + 90)]), "3.0.0.2", T0)
    listing.show(answer, Presentation(UTC, T0, count=2), Screen(out))

    _, first, second, rest = re.split(r"\n *\n", out.getvalue())
    assert first.startswith("ban ") and second.startswith("ban ")
    assert rest == "The newest 2 of 3 bans; -n shows more.\n"


def test_a_column_has_the_kind_in_a_word(keep: Keep) -> None:
    out = StringIO()
    ledger = keep([ban("fe80::1"), ban("100.64.0.1"), ban("64:ff9b::c000:201")])
    listing.bans(
        [one for one in ledger.bans(sorted(ledger.ids("jail", "sshd"))) if one], Presentation(UTC, T0), Screen(out, 120)
    )
    for word in ("link-local", "carrier-grade NAT", "NAT64"):
        assert word in out.getvalue()


def test_a_column_without_any_value_is_left_out(keep: Keep) -> None:
    def titles(*addresses: str) -> list[str]:
        out = StringIO()
        found = [one for address in addresses for one in show(ledger, address, T0).bans]
        listing.bans(found, Presentation(UTC, T0), Screen(out, 120))
        return out.getvalue().splitlines()[0].split()

    ledger = keep([ban("3.0.0.1", users=()), ban("3.0.0.2", users=("root",))])
    assert "users" not in titles("3.0.0.1")
    assert "users" in titles("3.0.0.1", "3.0.0.2")


NETWORK = Network(cidrs=("5.51.0.0/16",), source="rdap", registry="ripe", fetched=T0, org="Alpha")
CELLS = [
    Cell(cidr="5.51.1.0/24", asked=T0, result=Outcome.FOUND, network="5.51.0.0/16", asn=64500),
    Cell(cidr="5.51.9.0/24", asked=T0, result=Outcome.NONE, until=T0 + 1e6),
]


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("5.51.1.1", True),  # proven
        ("5.51.1.0/25", True),
        ("5.51.2.1", True),  # inherited: near, and in the same country
        ("5.51.200.1", False),  # nobody asked about this part of the network
        ("5.51.9.1", False),  # no registry has a network there
        ("9.9.9.9", False),  # nothing is known
    ],
)
def test_a_network_is_shown_if_whois_knows_it_without_a_look_up(keep: Keep, asked: str, named: bool) -> None:
    ledger = keep([ban(asked)], [NETWORK], CELLS)
    before = known(ledger.networks, asked, T0 + 60.0, 1e6)
    assert (before.standing in NAMED) == named
    out = StringIO()
    answer = show(ledger, asked, T0 + 60.0)
    listing.show(answer, Presentation(UTC, T0), Screen(out))
    assert ("Alpha" in out.getvalue(), bool(answer.networks)) == (named, named)


def test_what_a_log_does_not_tell_is_not_shown_as_zero(keep: Keep) -> None:
    ledger = keep([told("3.0.0.1", T0 + 1.5), told("3.0.0.2", T0 + 1.5, bantime=600, failures=5)])
    bare, full = (show(ledger, address, T0 + 900.0).bans[0] for address in ("3.0.0.1", "3.0.0.2"))
    assert state_of(bare, T0 + 900.0) == State(Phase.RAN_OUT, None)
    assert state_of(full, T0 + 900.0) == State(Phase.RAN_OUT, T0 + 601.0)
    out = StringIO()
    listing.show(show(ledger, "3.0.0.0/8", T0 + 900.0), Presentation(UTC, T0 + 900.0), Screen(out))
    text = out.getvalue()
    assert re.findall(r"^(failures|bantime|bancount) +(\S+)$", text, re.M) == [("failures", "5"), ("bantime", "10m")]
    assert re.findall(r"^state +(.*)$", text, re.M)[1].startswith("ran out") and "ran out\n" in text
    listing.bans([bare], Presentation(UTC, T0 + 900.0), Screen(out := StringIO()))
    assert "ran out" in out.getvalue() and "for ever" not in out.getvalue()


def test_bans_that_wait_for_whois_are_said_to_be_the_ledgers(make: Make) -> None:
    ledger = make([ban("3.0.0.1"), ban("3.0.0.2", jail="web")])

    def last(query: Query) -> str:
        table.report(report(ledger, query, T0), Screen(out := StringIO()))
        return out.getvalue().splitlines()[-1]

    assert last(question()) == "2 bans wait for whois."
    assert last(question(jail=["web"])) == "2 bans of all time wait for whois."
