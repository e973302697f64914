"""What imports are said to have done, over every engine: exact, unless a recorder died, and then it says so."""

from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from banledger.ledger.check import check
from banledger.ledger.import_count import KEPT, ImportCount, LineCounts
from banledger.ledger.import_counts import stored_counts
from banledger.ledger.writer import Ledger
from banledger.spool.events import BanLine, Event, ImportLine
from banledger.stores.api import Engine
from tests.contract.conftest import KEYS, Open
from tests.contract.test_ledger import Ticket, fresh
from tests.contract.test_past import _Dying, bans, histories
from tests.support.lines import T0, ban, nowhere, prolong, row, told
from tests.support.reference import ReferenceEngine


def imported(writer: str, *lines: BanLine) -> list[Event]:
    """The lines of an import, and its last line."""
    numbered = [replace(line, writer=writer, seq=seq) for seq, line in enumerate(lines, 1)]
    end = ImportLine(
        v=1,
        seen=T0,
        seq=len(lines) + 1,
        server="web1",
        jail="banledger import",
        writer=writer,
        bans=sum(not line.again for line in lines),
        lines=0,
    )
    return [*numbered, end]


def record(ledger: Ledger, lines: Sequence[Event], size: int = 1000) -> None:
    """Record lines in batches of that size."""
    for start in range(0, len(lines), size):
        ledger.record(lines[start : start + size], nowhere, now=T0 + 86_400.0)


def count(ledger: Ledger, writer: str) -> ImportCount:
    return stored_counts(ledger.store(), KEYS, "web1")[writer]


def counts(ledger: Ledger, writer: str) -> tuple[int, int, int, bool]:
    """New, amended and known, and whether that is exact. The import is recorded."""
    found = count(ledger, writer)
    assert found.bans is not None
    return found.lines.new, found.lines.amended, found.lines.known, found.exact


LOG = [told(f"192.0.2.{n}", T0 + n + 0.5, T0 + n) for n in range(10)]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_an_import_counts_its_new_known_and_amended_bans(ledger: Ledger, size: int) -> None:
    record(ledger, imported("0000000a", *LOG[:6]), size)
    assert counts(ledger, "0000000a") == (6, 0, 0, True)
    lifted = [replace(LOG[0], unbanned=T0 + 90.0), *LOG[1:]]
    record(ledger, imported("0000000b", *lifted), size)
    assert counts(ledger, "0000000b") == (4, 1, 5, True)
    record(ledger, imported("0000000c", *lifted), size)
    assert counts(ledger, "0000000c") == (0, 0, 10, True)
    assert list(check(ledger.store(), KEYS)) == []


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_ban_that_moves_to_its_exact_second_is_amended(ledger: Ledger, size: int) -> None:
    record(ledger, imported("0000000a", *LOG), size)
    rows = [row(f"192.0.2.{n}", int(T0) + n + 1) for n in range(10)]
    record(ledger, imported("0000000b", *rows, row("192.0.2.99", int(T0))), size)
    assert counts(ledger, "0000000b") == (1, 10, 0, True)
    assert len(bans(ledger)) == 11
    record(ledger, imported("0000000c", *rows, *LOG), size)
    assert counts(ledger, "0000000c") == (0, 0, 20, True)


def test_a_log_beside_live_bans_amends_them_once(ledger: Ledger) -> None:
    ledger.record([ban("192.0.2.1", T0 + 1)], nowhere)
    for writer, done in (("0000000a", (9, 1, 0, True)), ("0000000b", (0, 0, 10, True))):
        record(ledger, imported(writer, *LOG))
        assert counts(ledger, writer) == done


def test_an_amendment_that_waited_for_its_ban_does_not_make_it_known(ledger: Ledger) -> None:
    ledger.record([prolong("192.0.2.0", T0, seen=T0 + 5.0)], nowhere)
    record(ledger, imported("0000000a", *LOG))
    assert counts(ledger, "0000000a") == (10, 0, 0, True)


def test_two_imports_and_live_bans_in_one_batch_are_counted_apart(ledger: Ledger) -> None:
    first, second = imported("0000000a", *LOG[:6]), imported("0000000b", *LOG[4:])
    lines = [line for pair in zip(first, second, strict=True) for line in pair]
    done = ledger.record([ban("192.0.2.200"), *lines], nowhere, now=T0 + 9.0)
    assert counts(ledger, "0000000a") == (6, 0, 0, True)
    assert counts(ledger, "0000000b") == (4, 0, 2, True)
    assert (done.new, done.known) == (11, 2)


def test_a_row_that_tells_of_the_same_ban_again_is_recorded_and_not_counted(ledger: Ledger) -> None:
    record(ledger, imported("0000000a", row(), row(again=1, bancount=7)), 1)
    assert counts(ledger, "0000000a") == (1, 0, 0, True)
    assert bans(ledger)[0].bancount == 7


def test_lines_that_are_read_again_are_not_counted_again(open_engine: Open) -> None:
    lines = imported("0000000a", *LOG)
    first = Ledger(open_engine(), KEYS, "UTC")
    record(first, lines)
    record(first, lines, 2)
    first.close()
    second = Ledger(open_engine(), KEYS, "UTC")
    record(second, lines, 3)
    assert counts(second, "0000000a") == (10, 0, 0, True)


def test_an_import_that_another_run_goes_on_with_is_approximate(open_engine: Open) -> None:
    lines = imported("0000000a", *LOG)
    first = Ledger(open_engine(), KEYS, "UTC")
    record(first, lines[:4])
    assert count(first, "0000000a").bans is None
    first.close()
    second = Ledger(open_engine(), KEYS, "UTC")
    record(second, lines)
    assert counts(second, "0000000a") == (10, 0, 0, False)


def test_lines_that_never_come_make_a_count_approximate(ledger: Ledger) -> None:
    lines = imported("0000000a", *LOG)
    record(ledger, [*lines[:3], *lines[4:]])
    assert counts(ledger, "0000000a") == (9, 0, 0, False)


@pytest.mark.parametrize("batches", range(12))
def test_a_count_after_a_crash_is_exact_or_approximate(batches: int) -> None:
    lines = imported("0000000a", *LOG)
    store, _ = fresh()
    with suppress(KeyboardInterrupt):
        record(Ledger(_Dying(store, batches), KEYS, "Europe/Berlin"), lines, 4)
    again = Ledger(ReferenceEngine(store, KEYS.entries_of), KEYS, "Europe/Berlin")
    record(again, lines, 4)
    found = count(again, "0000000a")
    assert found.lines.total == found.bans == 10
    assert found.lines == LineCounts(new=10) if found.exact else found.lines.new >= 6


def test_a_batch_that_fails_and_is_repeated_makes_a_count_approximate() -> None:
    store, _ = fresh()
    engine = _Dying(store, 4)
    ledger = Ledger(engine, KEYS, "Europe/Berlin")
    lines = imported("0000000a", *LOG)
    with pytest.raises(KeyboardInterrupt):
        record(ledger, lines, 4)
    engine._batches = 1000
    record(ledger, lines, 4)
    assert not count(ledger, "0000000a").exact and count(ledger, "0000000a").lines.total == 10


def test_the_last_imports_of_a_server_are_kept(engine: Engine) -> None:
    ledger = Ledger(engine, KEYS, "UTC")
    for n in range(KEPT + 3):
        ledger.record(imported(f"{n:08x}", LOG[n % 10]), nowhere, now=T0 + n)
    assert sorted(stored_counts(engine, KEYS, "web1")) == [f"{n:08x}" for n in range(3, KEPT + 3)]


@pytest.mark.parametrize("text", ["", "x", "1 2 3", "9" * 5000, "1 2 3 4 5 6 7 maybe 00000000"])
def test_a_damaged_count_stops_no_recording(engine: Engine, text: str) -> None:
    engine.put({KEYS.imports("web1"): {"0000000a": text, "0000000b": text}})
    ledger = Ledger(engine, KEYS, "UTC")
    record(ledger, imported("0000000a", *LOG))
    assert len(bans(ledger)) == 10


@given(histories(), st.integers(1, 9))
def test_every_ban_of_an_import_is_counted_once(lines: list[Ticket], size: int) -> None:
    past = [line for line in lines if isinstance(line, BanLine) and line.origin]
    _, ledger = fresh()
    record(ledger, [line for line in lines if not (isinstance(line, BanLine) and line.origin)])
    record(ledger, imported("0000000a", *past), size)
    record(ledger, imported("0000000b", *past), size)
    assert count(ledger, "0000000a").exact and count(ledger, "0000000b").exact
    assert count(ledger, "0000000b").lines.new == 0
