"""Whether single days are whole."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from banledger.ledger import day_check
from banledger.ledger.day_check import DayCheck, day_faults
from banledger.ledger.writer import Ledger
from banledger.stores.api import Repair
from banledger.stores.change import Score
from banledger.stores.sqlite.engine import open_writer
from tests.contract.conftest import KEYS
from tests.support.lines import ban, nowhere

DAY = ("2611", "2026-11-23")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(open_writer(tmp_path / "ledger.db"), KEYS, "UTC")) as made:
        made.record([ban("192.0.2.1"), ban("192.0.2.2")], nowhere)
        yield made


def test_a_whole_day_has_no_faults(ledger: Ledger) -> None:
    assert day_faults(ledger.store(), ledger.keys, *DAY) == []


def test_a_tally_that_differs_from_its_bans_is_a_fault(ledger: Ledger) -> None:
    key = ledger.keys.count(*DAY, "jail")
    ledger._engine.mend(Repair(tallies=[Score(key, "sshd", 1.0)]))
    assert [fault.key for fault in day_faults(ledger.store(), ledger.keys, *DAY) or ()] == [key]


def test_an_id_without_its_ban_is_a_fault(ledger: Ledger) -> None:
    (id_, _) = sorted(ledger.ids_of_day(DAY[1]))
    ledger._engine.put({ledger.keys.ban(id_): {}})
    assert ledger.keys.day(*DAY) in [fault.key for fault in day_faults(ledger.store(), ledger.keys, *DAY) or ()]


def test_a_day_with_too_many_bans_is_skipped(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day_check, "MOST", 1)
    check = DayCheck()
    check.begin({DAY})
    assert "1 too busy: run banledger store check" in check.step(ledger.store(), ledger.keys)
    assert not check.pending


def test_one_step_checks_one_day(ledger: Ledger) -> None:
    check = DayCheck()
    check.begin({DAY, ("2611", "2026-11-24")})
    assert (check.step(ledger.store(), ledger.keys), check.pending) == ("", True)
    assert "2 checked" in check.step(ledger.store(), ledger.keys)
