"""What logs say, beside exact bans, over every engine: each ban once, in any order."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.ledger.ban import Ban
from banledger.ledger.ban_writer import Recorded
from banledger.ledger.check import check
from banledger.ledger.writer import Ledger
from banledger.stores.api import Advance, Engine, Reader, Repair, Result
from banledger.stores.change import Change
from tests.contract.conftest import KEYS, Open, dump
from tests.contract.test_ledger import Ticket, faults, fresh
from tests.support.lines import T0, ban, nowhere, prolong, row, told, unban
from tests.support.reference import ReferenceEngine, Store


def lasting(reader: Reader) -> dict[str, object]:
    """All that a store holds, but the feed: it tells what changed last."""
    return {key: held for key, held in dump(reader).items() if key != KEYS.feed}


def bans(ledger: Ledger) -> list[Ban]:
    """All bans, oldest first."""
    ids = sorted({id_ for day in ledger.days() for id_ in ledger.ids_of_day(day)})
    return [one for one in ledger.bans(ids) if one is not None]


def record(ledger: Ledger, *lines: Ticket) -> Recorded:
    return ledger.record(list(lines), nowhere, now=T0 + 86_400.0)


def test_a_ban_known_only_from_a_log_is_recorded(ledger: Ledger) -> None:
    line = told(logged=T0 + 1.25, found=T0, unbanned=T0 + 601.5, bantime=600, bancount=2, failures=5)
    assert record(ledger, line) == Recorded(lines=1, new=1)
    (one,) = bans(ledger)
    assert (one.time, one.exact, one.origin, one.seen) == (T0, 1, "import", T0 + 1.25)
    assert (one.unbanned, one.bantime, one.bancount, one.failures) == (T0 + 601.5, 600, 2, 5)
    assert not one.open
    before = lasting(ledger.store())
    assert record(ledger, line) == Recorded(lines=1, known=1)
    assert lasting(ledger.store()) == before
    assert faults(ledger) == []


def test_a_ban_of_a_failure_read_late_is_known_when_the_log_comes_again(ledger: Ledger) -> None:
    line = told(logged=T0 + 7200.0, found=T0)
    assert record(ledger, line) == Recorded(lines=1, new=1)
    assert record(ledger, line) == Recorded(lines=1, known=1)


@pytest.mark.parametrize(
    ("exact", "line"),
    [
        (ban(seen=T0 + 3600.25), told(logged=T0 + 3600.2, found=T0 + 40)),
        (ban(seen=T0 + 80_000.25), told(logged=T0 + 80_000.2, found=T0 + 40_000, first=T0 - 30)),
        (ban(seen=T0 + 80_009.0), told(logged=T0 + 80_000.2, found=T0 + 40_000, first=T0 - 30)),
        (row(bantime=86_400), told(logged=T0 + 80_000.2, found=T0 + 40_000, first=T0 - 30)),
        (row(bantime=-1), told(logged=T0 + 80_000.2, found=T0 + 40_000, first=T0 - 30)),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_failures_logged_before_a_ban_but_after_its_ticket_make_no_second_ban(
    ledger: Ledger, exact: Ticket, line: Ticket, turned: bool
) -> None:
    for each in (line, exact) if turned else (exact, line):
        record(ledger, each)
    (one,) = bans(ledger)
    assert (one.time, one.exact, len(one.logged)) == (T0, None, 1)
    assert faults(ledger) == []


def test_a_ban_without_a_failures_date_has_the_second_of_its_line(ledger: Ledger) -> None:
    record(ledger, told(logged=T0 + 1.75))
    (one,) = bans(ledger)
    assert (one.time, one.exact) == (T0 + 1, 0)


@pytest.mark.parametrize("exact", [ban(time=T0 + 0.6), ban(time=T0 + 1, restored=1), row(time=T0 + 1)])
@pytest.mark.parametrize(
    "line",
    [
        told(logged=T0 + 1.5, found=T0),
        told(logged=T0 + 1.5),
        told(logged=T0 + 40.0),
        told(logged=T0 + 7200.0, found=T0),  # fail2ban read the failure late, as after its start
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_log_and_an_exact_ban_are_one(ledger: Ledger, exact: Ticket, line: Ticket, turned: bool) -> None:
    for each in (line, exact) if turned else (exact, line):
        record(ledger, each)
    (one,) = bans(ledger)
    assert (one.time, one.exact, one.bantime, one.failures) == (T0 + 1, None, 600, 5)
    assert len(one.logged) == 1
    assert ledger.days() == {"2026-11-23": 1} and ledger.distinct("ip") == 1
    assert faults(ledger) == []


@pytest.mark.parametrize("turned", [False, True])
def test_a_ban_for_old_failures_is_found_at_their_time(ledger: Ledger, turned: bool) -> None:
    lines = [told(logged=T0 + 86_400.5, found=T0), ban(time=T0 + 1)]
    for each in reversed(lines) if turned else lines:
        record(ledger, each)
    (one,) = bans(ledger)
    assert (one.time, one.exact) == (T0 + 1, None)


def test_the_move_of_a_ban_is_counted(ledger: Ledger) -> None:
    record(ledger, told(logged=T0 + 1.5, found=T0))
    assert record(ledger, row(time=T0 + 1)) == Recorded(lines=1, new=0, amended=1)
    assert record(ledger, row(time=T0 + 1)) == Recorded(lines=1, known=1)


def test_a_log_with_more_lines_corrects_what_another_said(ledger: Ledger) -> None:
    record(ledger, told(logged=T0 + 5.5), told("192.0.2.2", logged=T0 + 5.5))
    record(ledger, told(logged=T0 + 5.5, found=T0 + 4, unbanned=T0 + 90.0))
    first, second = bans(ledger)
    assert (first.fid, first.time, first.exact, first.unbanned) == ("192.0.2.1", T0 + 4, 1, T0 + 90)
    assert (second.fid, second.time, second.exact) == ("192.0.2.2", T0 + 5, 0)
    assert faults(ledger) == []


def test_an_unban_in_a_log_changes_no_ban_that_an_action_saw(ledger: Ledger) -> None:
    record(ledger, told(logged=T0 + 0.5, unbanned=T0 + 90.0), ban(restored=1))
    (one,) = bans(ledger)
    assert one.unbanned is None and one.open
    record(ledger, unban(seen=T0 + 95))
    assert bans(ledger)[0].unbanned == T0 + 95


def test_two_bans_within_a_minute_stay_two(ledger: Ledger) -> None:
    record(ledger, told(logged=T0 + 31.5), row(time=T0))
    assert len(bans(ledger)) == 1  # nothing says that the line means another
    record(ledger, told(logged=T0 + 0.5, found=T0))
    assert [(one.time, one.exact) for one in bans(ledger)] == [(T0, None), (T0 + 31, 0)]
    assert faults(ledger) == []


def test_other_jails_servers_and_offenders_are_others(ledger: Ledger) -> None:
    record(ledger, told(), told(jail="web"), told(server="web2"), told("192.0.2.0/24"), told("user x"))
    record(ledger, row(), row("user x"))
    assert len(bans(ledger)) == 5
    assert sorted(one.exact is None for one in bans(ledger)) == [False, False, False, True, True]


def test_an_amendment_that_waits_for_its_ban_is_kept(ledger: Ledger) -> None:
    record(ledger, prolong(seen=T0 + 5.0, bantime=1200))
    record(ledger, told(logged=T0 + 0.5, found=T0))
    (one,) = bans(ledger)
    assert (one.origin, one.bantime, one.exact) == ("import", 1200, 1)
    assert faults(ledger) == []


def test_live_bans_after_all_imports_need_no_decision(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    record(ledger, told(logged=T0 + 0.0))
    monkeypatch.setattr(ledger, "_decide", None)
    record(ledger, ban(time=T0 + 1000), ban(jail="web"))
    assert len(bans(ledger)) == 3


def test_another_recorder_knows_what_was_imported(open_engine: Open) -> None:
    first = Ledger(open_engine(), KEYS, "Europe/Berlin")
    record(first, told(logged=T0 + 1.5, found=T0))
    first.close()
    second = Ledger(open_engine(), KEYS, "Europe/Berlin")
    record(second, ban(time=T0 + 1))
    assert len(bans(second)) == 1


@pytest.mark.parametrize("last", ["9" * 5000, "\u0664", "", "x"])
def test_a_damaged_note_of_what_was_imported_stops_no_recording(engine: Engine, last: str) -> None:
    engine.put({KEYS.imported: {"web1|sshd": last}})
    ledger = Ledger(engine, KEYS, "UTC")
    assert record(ledger, ban(time=T0 - 86_400), told(logged=T0, found=T0)).new == 2
    assert len(bans(ledger)) == 2


def test_a_copy_knows_what_was_imported(ledger: Ledger) -> None:
    from banledger.ledger.copy import CopyEnd, Target, copy

    record(ledger, told(logged=T0 + 1.5, found=T0))
    store = Store()
    engine = ReferenceEngine(store, KEYS.entries_of)
    copy(CopyEnd(ledger.store(), KEYS), Target(engine, KEYS))
    copied = Ledger(engine, KEYS, "Europe/Berlin")
    record(copied, ban(time=T0 + 1))
    assert len(bans(copied)) == 1


def test_a_replay_writes_the_entries_of_bans_of_the_past_again(ledger: Ledger, engine: Engine) -> None:
    line = told(logged=T0 + 1.5, found=T0)
    record(ledger, line)
    (one,) = bans(ledger)
    engine.mend(Repair(leaves=[("bans:ip:192.0.2.1", one.id), ("bans:jail:sshd", one.id)]))
    ledger.reassert = True
    record(ledger, line)
    assert faults(ledger) == []
    assert ledger.touched == {("2611", "2026-11-23")}


# Any order.


@st.composite
def histories(draw: st.DrawFn) -> list[Ticket]:
    """What is known of some bans of two offenders, by whom."""
    lines: list[Ticket] = []
    for fid in ("192.0.2.1", "user x"):
        second = T0
        for _ in range(draw(st.integers(0, 3))):
            second += draw(st.sampled_from([1, 2, 3, 30, 90, 700]))
            lines += draw(_kinds(fid, second))
    return lines + draw(backlogs())


@st.composite
def backlogs(draw: st.DrawFn) -> list[Ticket]:
    """What is known of bans of a backlog: the failures after the ticket's last one are logged before the ban."""
    lines: list[Ticket] = []
    for day in range(draw(st.integers(0, 2))):
        first = T0 + 90_000 * day
        second, last, logged = (
            first + draw(st.integers(0, 900)),
            first + 3600,
            first + draw(st.sampled_from([3700, 80_000])),
        )
        log = [told("192.0.2.9", logged + late, last, first=first) for late in (0.25, 1.5)]
        exact = [
            ban("192.0.2.9", second, seen=logged + draw(st.sampled_from([0.5, 20.5]))),
            ban("192.0.2.9", second, restored=1, bantime=86_400),
            row("192.0.2.9", second, bantime=draw(st.sampled_from([0, 86_400, -1]))),
        ]
        lines += draw(st.lists(st.sampled_from([*log, *exact]), max_size=4))
    return lines


def _kinds(fid: str, second: int) -> st.SearchStrategy[list[Ticket]]:
    """What may be known of one ban."""
    late, found, end = (
        st.sampled_from([0.25, 1.5, 1.75, 30.5]),
        st.sampled_from([-1, 0, 0, 1]),
        st.sampled_from([0.0, 0.5, 600.5]),
    )
    log = st.builds(
        lambda after, n, lifted, known: told(
            fid,
            second + after,
            second + n if known and after >= n else 0,
            unbanned=second + after + lifted if lifted else 0.0,
        ),
        late,
        found,
        end,
        st.booleans(),
    )
    exact = st.sampled_from(
        [
            ban(fid, second),
            ban(fid, second - 0.4, users=("root",)),
            ban(fid, second - 20, seen=second + 1.0),
            ban(fid, second, restored=1, bancount=3),
            row(fid, second, bancount=2),
            unban(fid, second, second + 600.0),
            prolong(fid, second, second + 5.0),
        ]
    )
    return st.lists(st.one_of(log, exact), max_size=4)


@given(histories(), st.randoms(use_true_random=False))
def test_any_order_repetition_and_batches_leave_the_same_ledger(lines: list[Ticket], random: Random) -> None:
    store, ledger = fresh()
    record(ledger, *lines)
    shuffled = [*lines, *random.sample(lines, random.randint(0, len(lines)))]
    random.shuffle(shuffled)
    other, again = fresh()
    while shuffled:
        size = random.randint(1, len(shuffled))
        record(again, *shuffled[:size])
        if random.random() < 0.2:
            again = Ledger(ReferenceEngine(other, KEYS.entries_of), KEYS, "Europe/Berlin")
        shuffled = shuffled[size:]
    assert lasting(again.store()) == lasting(ledger.store())
    assert faults(ledger) == []
    assert store is not other


class _Dying(ReferenceEngine):
    """Dies before its n-th batch."""

    def __init__(self, store: Store, batches: int) -> None:
        super().__init__(store, KEYS.entries_of)
        self._batches = batches

    def apply(self, changes: Iterable[Change], advances: Sequence[Advance] = ()) -> list[Result]:
        self._batches -= 1
        if self._batches < 0:
            raise KeyboardInterrupt
        return super().apply(changes, advances)


@given(histories(), st.integers(0, 5), st.integers(0, 30))
def test_a_crash_between_two_writes_is_put_right_when_the_lines_are_read_again(
    lines: list[Ticket], batches: int, cut: int
) -> None:
    _, ledger = fresh()
    record(ledger, *lines)
    store, begun = fresh()
    record(begun, *lines[:cut])
    with suppress(KeyboardInterrupt):
        record(Ledger(_Dying(store, batches), KEYS, "Europe/Berlin"), *lines)
    again = Ledger(ReferenceEngine(store, KEYS.entries_of), KEYS, "Europe/Berlin")
    record(again, *lines)
    assert lasting(again.store()) == lasting(ledger.store())


def test_a_large_import_is_recorded_on_every_engine(engine: Engine) -> None:
    ledger = Ledger(engine, KEYS, "Europe/Berlin")
    lines = [told(f"198.51.{n // 250}.{n % 250}", T0 + n + 0.5, T0 + n) for n in range(1500)]
    rows = [row(f"198.51.{n // 250}.{n % 250}", T0 + n + n % 2) for n in range(0, 1500, 3)]
    assert record(ledger, *lines).new == 1500
    assert record(ledger, *rows).new == 0
    assert len(bans(ledger)) == 1500
    assert list(check(ledger.store(), KEYS)) == []
