"""What the ledger has in force is what fail2ban holds, whatever happened to it, its clock and its lines."""

from collections.abc import Sequence
from math import inf
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from banledger.ledger.check import check
from banledger.ledger.ids import ban_id
from banledger.ledger.swap import assign
from banledger.ledger.tokens import source_token
from banledger.ledger.writer import Ledger
from banledger.report.show import state_of
from banledger.spool.events import BanLine, Event, HeldLine, StartLine
from banledger.stores.api import Repair
from banledger.stores.change import Score
from tests.contract.conftest import KEYS
from tests.support.jail import Jail
from tests.support.lines import T0, ban, held, nowhere, start, stop
from tests.support.reference import ReferenceEngine, Store

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"


def in_force(ledger: Ledger, now: float = T0 + 10.0) -> dict[str, float]:
    """Every ban in force by its own state: what was banned, and until when."""
    engine = ledger.store()
    ids = list(engine.members(KEYS.members("jail", "sshd")))
    ledger.__dict__.pop("_sources_by_token", None)
    bans = [ban for ban in ledger.bans(ids) if ban is not None and state_of(ban, now, ledger.stopped).in_force]
    assert ledger.banned_now(now) == len(bans)
    return {ban.fid: ban.expires for ban in bans}


def truth(jail: Jail) -> dict[str, float]:
    """What fail2ban holds, likewise."""
    return {fid: inf if bantime < 0 else float(time + bantime) for fid, (time, bantime) in jail.bans.items()}


def record(ledger: Ledger, lines: Sequence[Event]) -> None:
    ledger.record(lines, nowhere)
    assert list(check(ledger.store(), KEYS)) == []


@pytest.fixture
def jail() -> Jail:
    made = Jail()
    made.ban(A)
    made.ban(B, 86_400)
    made.ban(C)
    return made


def test_a_term_changed_while_fail2ban_was_down_is_corrected(ledger: Ledger, jail: Jail) -> None:
    jail.restart(bantime=3600)
    record(ledger, jail.lines)
    assert in_force(ledger)[A] == inf
    jail.snapshot()
    record(ledger, jail.lines)
    assert in_force(ledger) == truth(jail) and truth(jail)[A] < inf


def test_a_ban_that_fail2ban_did_not_restore_has_ended(ledger: Ledger, jail: Jail) -> None:
    jail.restart(killed=True, keeps=1)
    jail.snapshot(parts=3)
    record(ledger, jail.lines)
    assert in_force(ledger) == truth(jail) == {A: inf}
    (id_,) = ledger.store().members(KEYS.members("ip", C))
    (gone,) = ledger.bans([id_])
    assert gone is not None
    assert (gone.ended_because, gone.unbanned, gone.failures) == ("not restored", None, 5)


def test_the_next_snapshot_finds_changes_without_events(ledger: Ledger, jail: Jail) -> None:
    jail.changes_unseen(B, -1)
    jail.vanishes_unseen(C)
    jail.bans["203.0.113.9"] = (T0 - 5, 600)  # came while the spool was full
    jail.snapshot()
    record(ledger, jail.lines)
    assert in_force(ledger) == truth(jail)


def test_a_stopped_jail_has_no_bans_in_force_and_changes_no_record(ledger: Ledger, jail: Jail) -> None:
    record(ledger, jail.lines)
    before = {id_: ledger.bans([id_]) for id_ in ledger.store().members(KEYS.members("jail", "sshd"))}
    jail.stop()
    record(ledger, jail.lines)
    assert in_force(ledger) == {}
    assert {id_: ledger.bans([id_]) for id_ in before} == before
    jail.restart(killed=True)
    record(ledger, jail.lines)
    assert in_force(ledger) == truth(jail)


def test_an_action_removed_from_a_running_jail_ends_no_ban(ledger: Ledger, jail: Jail) -> None:
    record(ledger, [*jail.lines, stop(jail.wall + 1, writer="00000001", left=1)])
    assert len(in_force(ledger)) == 3


@pytest.mark.parametrize("step", [-3600.0, -(10.0**6), 3600.0, 10.0 * 365 * 86_400])
def test_setting_the_clock_changes_no_ban(ledger: Ledger, jail: Jail, step: float) -> None:
    jail.steps(step)
    jail.unban(A)
    jail.restart()
    jail.ban("203.0.113.1")
    jail.unban(B)
    jail.steps(-step)
    jail.restart(reboot=True)
    jail.unban(C)
    record(ledger, jail.lines)
    assert in_force(ledger).keys() == truth(jail).keys() == {"203.0.113.1"}


@pytest.mark.parametrize("step", [-30.0, -3600.0, -3 * 86_400.0, 3600.0])
@pytest.mark.parametrize("spaced", [5.0, 100.0])
@pytest.mark.parametrize("read", ["at once", "line by line", "by a recorder that went down with the machine"])
def test_lines_stay_in_order_after_a_reboot_without_stop_and_with_another_clock(
    ledger: Ledger, step: float, spaced: float, read: str
) -> None:
    jail = Jail()
    for fid in (A, B, C):
        jail.passes(spaced)
        jail.ban(fid)
    seen = 0 if read == "at once" else len(jail.lines)
    for line in jail.lines[:seen]:
        record(ledger, [line])
    if "recorder" in read:
        ledger = Ledger(ledger._engine, KEYS, "Europe/Berlin")
    jail.steps(step)
    jail.restart(killed=True, reboot=True)
    jail.unban(A)
    jail.unban(B)
    jail.ban(B)
    jail.unban(C)
    record(ledger, jail.lines[seen:])
    now = jail.wall + 10**6
    assert in_force(ledger, now).keys() == truth(jail).keys() == {B}
    record(ledger, jail.lines)
    assert in_force(ledger, now).keys() == {B}
    jail.vanishes_unseen(B)
    jail.snapshot()
    record(ledger, jail.lines)
    assert in_force(ledger, now) == {}


@pytest.mark.parametrize("reboot", [False, True])
@pytest.mark.parametrize("step", [0.0, -7200.0])
def test_replaying_more_restarts_than_a_source_keeps_gives_the_same_ledger(
    ledger: Ledger, reboot: bool, step: float
) -> None:
    jail = Jail()
    for number in range(40):
        jail.passes(100)
        jail.ban(f"198.51.100.{number}")
        jail.unban(f"198.51.100.{number - 1}")
        jail.steps(step if number % 10 == 5 else 0.0)
        jail.restart(killed=number % 2 == 0, reboot=reboot)
    jail.unban("198.51.100.39")
    jail.ban(A)
    jail.snapshot()
    now = jail.wall + 10**6
    record(ledger, jail.lines)
    assert in_force(ledger, now) == truth(jail) == {A: inf}
    before = ledger.store().hashes([KEYS.source(source_token("web1", "sshd"))])
    for lines in (jail.lines, jail.lines[:9], jail.lines[100:130], jail.lines):
        ledger = Ledger(ledger._engine, KEYS, "Europe/Berlin")
        record(ledger, lines)
        assert in_force(ledger, now) == truth(jail)
        assert ledger.notices() == []
    assert ledger.store().hashes([KEYS.source(source_token("web1", "sshd"))]) == before
    jail.vanishes_unseen(A)
    jail.snapshot()
    record(ledger, jail.lines[-1:])
    assert in_force(ledger, now) == {}


def test_an_imported_ban_is_in_force_only_if_a_snapshot_or_a_restored_line_has_it(ledger: Ledger, jail: Jail) -> None:
    past = [ban(f"203.0.113.{n}", T0 - 100, bantime=-1, origin="import") for n in range(3)]
    record(ledger, [*past, *jail.lines])
    assert in_force(ledger).keys() == {A, B, C}
    jail.bans["203.0.113.1"] = (T0 - 100, -1)
    jail.snapshot()
    jail.bans["203.0.113.2"] = (T0 - 100, -1)
    jail.restart()
    record(ledger, jail.lines)
    assert in_force(ledger) == truth(jail)


def test_an_incomplete_snapshot_judges_only_bans_of_its_parts(ledger: Ledger) -> None:
    jail = Jail()
    for n in range(40):
        jail.ban(f"192.0.2.{n}")
    for n in range(0, 40, 2):
        jail.vanishes_unseen(f"192.0.2.{n}")
    jail.snapshot(parts=4)
    record(ledger, jail.lines[:-2])
    left = in_force(ledger)
    assert left.keys() > truth(jail).keys()
    assert 20 < len(left) < 40
    record(ledger, jail.lines[-2:])  # from another batch
    assert in_force(ledger) == truth(jail)


def test_an_incomplete_snapshot_judges_fids_that_are_not_addresses_too(ledger: Ledger) -> None:
    jail = Jail()
    for n in range(20):
        jail.ban(f"user {n}")
    record(ledger, jail.lines)
    jail.bans.clear()
    jail.snapshot(parts=2)
    record(ledger, jail.lines[-2:-1])
    record(ledger, jail.lines[-1:])  # from another batch
    assert in_force(ledger) == {}


def test_a_term_beyond_every_calendar_is_amended_once(ledger: Ledger, jail: Jail) -> None:
    jail.changes_unseen(A, 2**50)
    jail.snapshot()
    record(ledger, jail.lines)
    jail.snapshot()
    assert ledger.record(jail.lines[-1:], nowhere).amended == 0


def test_a_snapshot_of_an_earlier_writer_is_ignored(ledger: Ledger, jail: Jail) -> None:
    jail.snapshot()
    (old,) = [line for line in jail.lines if isinstance(line, HeldLine)]
    jail.restart()
    jail.ban("203.0.113.1")
    record(ledger, jail.lines)
    record(ledger, [old])
    assert in_force(ledger) == truth(jail)


def test_snapshots_of_two_concurrent_writers_are_ignored_and_logged_once(ledger: Ledger, jail: Jail) -> None:
    jail.restart(killed=True)
    first, second = jail.lines[0].writer, jail.lines[-1].writer
    assert first != second
    record(ledger, jail.lines)
    late = [ban("203.0.113.7", jail.wall + 100, writer=first), ban("203.0.113.8", jail.wall + 100, writer=first)]
    record(ledger, late)
    record(ledger, late)
    (notice,) = ledger.notices()
    assert "two fail2ban servers" in notice
    jail.passes(200)
    jail.bans.clear()
    jail.snapshot()
    record(ledger, jail.lines)
    assert in_force(ledger).keys() == {A, B, C, "203.0.113.7", "203.0.113.8"}
    assert ledger.notices() == []


def test_a_stop_of_one_of_two_concurrent_writers_ends_only_its_own_bans(ledger: Ledger, jail: Jail) -> None:
    first = jail.lines[0].writer
    jail.restart(killed=True)
    jail.ban("203.0.113.9")
    goes_on: list[Event] = [ban(A, T0, jail.wall + seconds, restored=1, writer=first) for seconds in (100, 300)]
    stops: list[Event] = [stop(jail.wall + 400, writer=first)]
    snapshot = held((A, T0, -1, 1), as_of=jail.wall + 350, writer=first)
    second_stops = stop(jail.wall + 200, writer=jail.lines[-1].writer)
    story: list[Event] = [*jail.lines, goes_on[0], second_stops, goes_on[1]]
    for lines in (story, story[3:], story):  # and read again
        record(ledger, lines)
        assert in_force(ledger).keys() == {A, B, C, "203.0.113.9"}
    record(ledger, [snapshot])
    assert in_force(ledger).keys() == {A}
    for lines in (stops, story, stops):
        record(ledger, lines)
        assert in_force(ledger) == {}


def test_snapshots_count_again_after_the_second_writer_stopped(ledger: Ledger, jail: Jail) -> None:
    first = jail.lines[0].writer
    jail.restart(killed=True)
    rival: list[Event] = [ban("203.0.113.7", jail.wall + 100, writer=first), stop(jail.wall + 150, writer=first)]
    record(ledger, [*jail.lines, *rival])
    record(ledger, rival)
    assert len(ledger.notices()) == 1
    jail.passes(200)
    jail.snapshot()
    record(ledger, jail.lines)
    assert in_force(ledger) == truth(jail)


def test_events_of_an_earlier_writer_count_after_the_last_one_stopped(ledger: Ledger, jail: Jail) -> None:
    first = jail.lines[0].writer
    jail.restart(killed=True)
    jail.passes(100)
    jail.stop()
    record(ledger, jail.lines)
    assert in_force(ledger) == {}
    record(ledger, [ban("203.0.113.7", jail.wall + 100, bantime=-1, writer=first)])
    assert in_force(ledger).keys() == {A, B, C, "203.0.113.7"}


def test_a_jail_missing_after_a_machine_crash_has_no_bans_in_force(ledger: Ledger, jail: Jail) -> None:
    record(ledger, jail.lines)
    other = start(jail.wall + 5, writer="b", jail="other", boot="b1", clock=2000.0)
    record(ledger, [other])
    assert in_force(ledger).keys() == {A, B, C}
    fresh = Ledger(ledger._engine, KEYS, "Europe/Berlin")
    again = start(jail.wall + 100, writer="c", jail="other", boot="b2", clock=50.0)
    record(fresh, [again])
    assert in_force(fresh) == {}
    record(fresh, [*jail.lines, other, again])
    assert in_force(fresh) == {}
    jail.passes(200)
    jail.snapshot()  # another machine has that label, and its jail runs on
    record(fresh, jail.lines)
    assert in_force(fresh) == truth(jail)


def test_a_changed_label_takes_the_old_bans_out_of_force_and_is_logged_once(ledger: Ledger, jail: Jail) -> None:
    jail.stop()
    record(ledger, jail.lines)
    record(
        ledger, [start(jail.wall + 1, writer="b", server="web2"), ban(A, T0, jail.wall + 2, server="web2", restored=1)]
    )
    (notice,) = ledger.notices()
    assert "'web1' to 'web2'" in notice
    assert in_force(ledger).keys() == {A}
    assert ledger.banned_now(T0 + 10) == 1


def test_a_start_of_a_new_process_ends_what_the_killed_one_watched_under_any_label(ledger: Ledger, jail: Jail) -> None:
    first = start(jail.wall + 1, writer="a", jail="other", boot="b1", clock=2000.0, process="home.7")
    held = ban("203.0.113.7", jail.wall + 2, jail="other", bantime=-1, writer="a")
    record(ledger, [*jail.lines, first, held])
    again = start(jail.wall + 9, writer="b", server="web2", jail="other", boot="b1", clock=2008.0, process="home.8")
    fresh = Ledger(ledger._engine, KEYS, "Europe/Berlin")
    record(fresh, [again])
    (notice,) = fresh.notices()
    assert "'other' was killed and changed its server label from 'web1' to 'web2'" in notice
    assert in_force(fresh).keys() == {A, B, C}
    record(fresh, [first, held, again])
    assert fresh.notices() == []
    assert in_force(fresh).keys() == {A, B, C}


@pytest.mark.parametrize("process", ["", "home.7", "elsewhere.8"])
def test_a_start_that_proves_no_death_ends_nothing(ledger: Ledger, process: str) -> None:
    one = {"boot": "b1", "writer": "a", "process": "home.7" if process else ""}
    record(ledger, [start(T0, clock=2000.0, **one), ban(A, T0 + 1, bantime=-1, writer="a")])
    other = start(T0 + 9, writer="b", server="web2", boot="b1", clock=2009.0, process=process)
    record(ledger, [other])
    assert ledger.notices() == []
    assert in_force(ledger).keys() == {A}


def test_a_jail_taken_for_dead_is_in_force_again_at_its_next_snapshot(ledger: Ledger, jail: Jail) -> None:
    jail.lines[0] = replace(jail.lines[0], process="home.7")
    record(
        ledger, [*jail.lines, start(jail.wall + 1, writer="b", server="web2", boot="b1", clock=9e3, process="home.8")]
    )
    assert in_force(ledger) == {}
    jail.passes(100)
    jail.snapshot()
    record(ledger, jail.lines)
    assert in_force(ledger) == truth(jail)


def test_events_of_old_actions_without_starts_count(ledger: Ledger) -> None:
    jail = Jail(silent=True)
    jail.lines.clear()
    jail.ban(A)
    jail.ban(B)
    jail.unban(A)
    jail.restart(killed=True)
    record(ledger, jail.lines)
    assert in_force(ledger) == truth(jail)


def test_the_next_snapshot_completes_a_list_of_active_bans(ledger: Ledger, jail: Jail) -> None:
    record(ledger, jail.lines)
    key = KEYS.active("web1", "sshd")
    listed = [id_ for id_, _ in ledger.store().ranking(key, 0, 9)]
    ledger._engine.mend(Repair(scores=[Score(key, id_, None) for id_ in listed[1:]]))
    assert ledger.banned_now(T0 + 10.0) == 1
    jail.snapshot()
    record(ledger, jail.lines)
    assert in_force(ledger) == truth(jail)


@pytest.fixture
def colliding(monkeypatch: pytest.MonkeyPatch) -> None:
    """All bans of a second have the same id."""
    import banledger.ledger.ban_writer
    import banledger.ledger.ids
    import banledger.ledger.snapshots

    def colliding(server: str, jail: str, _fid: str, second: int, salt: int = 0) -> str:
        return ban_id(server, jail, "", second, salt)

    monkeypatch.setattr(banledger.ledger.ids, "ban_id", colliding)
    monkeypatch.setattr(banledger.ledger.ban_writer, "ban_id", colliding)
    monkeypatch.setattr(banledger.ledger.snapshots, "ban_id", colliding)


@pytest.mark.parametrize("terms", [(-1, -1), (86_400, -1)])
@pytest.mark.parametrize("left", [{A, B}, {A}, {B}, set()])
def test_bans_with_colliding_ids_stay_separate(
    ledger: Ledger, colliding: None, left: set[str], terms: tuple[int, int]
) -> None:
    jail = Jail()
    for fid, term in zip((A, B), terms, strict=True):
        jail.bans[fid] = T0, term
        jail._ticket(BanLine, fid)
    jail.snapshot()
    record(ledger, jail.lines)
    assert in_force(ledger) == truth(jail)
    for fid in {A, B} - left:
        jail.vanishes_unseen(fid)
    jail.snapshot()
    record(ledger, jail.lines)
    assert in_force(ledger) == truth(jail)


@pytest.mark.parametrize(
    ("field", "value"), [("since", "x"), ("shift", "nan"), ("past", "a:b c"), ("begun", "inf"), ("state", "\x1b[2J")]
)
def test_a_source_with_an_invalid_hash_counts_as_unknown(ledger: Ledger, jail: Jail, field: str, value: str) -> None:
    assign(ledger._engine, KEYS.source(source_token("web1", "sshd")), {field: value})
    record(ledger, jail.lines)
    assert in_force(ledger) == truth(jail)


_fids = st.sampled_from([f"192.0.2.{n}" for n in range(6)])
_terms = st.sampled_from([-1, 10**8, 2 * 10**8])
_happenings = st.one_of(
    st.tuples(st.just("ban"), _fids, _terms),
    st.tuples(st.just("ban"), _fids, _terms),
    st.tuples(st.just("unban"), _fids),
    st.tuples(st.just("prolong"), _fids, _terms),
    st.tuples(st.just("changes_unseen"), _fids, _terms),
    st.tuples(st.just("vanishes_unseen"), _fids),
    st.tuples(st.just("steps"), st.sampled_from([-7200.0, -12.0, 12.0, 7200.0])),
    st.tuples(st.just("passes"), st.sampled_from([1.0, 100.0])),
    st.tuples(st.just("snapshot"), st.integers(1, 3)),
    st.tuples(st.just("restart"), st.booleans(), st.booleans(), st.integers(0, 6), st.none() | _terms),
)


def _happen(jail: Jail, happenings: list[tuple[object, ...]]) -> None:
    for what, *how in happenings:
        if what == "restart":
            killed, reboot, keeps, bantime = how
            jail.restart(killed=killed, reboot=reboot, keeps=keeps, bantime=bantime)  # type: ignore[arg-type]
        elif what == "power_cut":
            jail.steps(*how)  # type: ignore[arg-type]
            jail.restart(killed=True, reboot=True)
        else:
            getattr(jail, str(what))(*how)


def _fresh() -> Ledger:
    return Ledger(ReferenceEngine(Store(), KEYS.entries_of), KEYS, "Europe/Berlin")


@settings(max_examples=300)
@given(st.lists(_happenings, max_size=14), st.randoms(use_true_random=False))
def test_after_any_history_in_any_batches_with_any_part_read_again_the_ledger_has_what_fail2ban_has(
    happenings: list[tuple[object, ...]], random: Random
) -> None:
    jail = Jail()
    _happen(jail, happenings)
    jail.snapshot()
    once, again = _fresh(), _fresh()
    once.record(jail.lines, nowhere)
    assert in_force(once) == truth(jail)
    at = 0
    while at < len(jail.lines):
        step = random.randint(1, 5)
        again.record(jail.lines[at : at + step], nowhere)
        at += step
        if random.random() < 0.3:  # the recorder goes back
            at -= random.randint(0, at)
        if random.random() < 0.2:  # or starts anew
            again = Ledger(again._engine, KEYS, "Europe/Berlin")
    assert in_force(again) == truth(jail)
    assert list(check(again.store(), KEYS)) == []


_few = st.sampled_from([A, B])
_told = st.one_of(
    st.tuples(st.just("ban"), _few, _terms),
    st.tuples(st.just("unban"), _few),
    st.tuples(st.just("prolong"), _few, _terms),
    st.tuples(st.just("steps"), st.sampled_from([-7200.0, -12.0, 12.0, 7200.0])),
    st.tuples(st.just("passes"), st.sampled_from([1.0, 20.0, 100.0])),
    st.tuples(st.just("snapshot"), st.integers(1, 3)),
    st.tuples(st.just("restart"), st.booleans(), st.booleans(), st.just(99), st.none()),
    st.tuples(st.just("power_cut"), st.sampled_from([-86_400.0, -30.0, 7200.0])),
)
"""What happens to a jail without anything that only a snapshot tells of."""


@settings(max_examples=300)
@given(st.lists(_told, max_size=10), st.sampled_from([1, 3, 100]), st.booleans())
@example([("passes", 20.0), ("ban", A, -1), ("power_cut", -86_400.0), ("unban", A)], 1, True)
@example([("passes", 100.0), ("ban", A, -1), ("power_cut", -86_400.0), ("unban", A)], 100, False)
def test_events_alone_give_the_bans_in_force_without_a_snapshot(
    happenings: list[tuple[object, ...]], at_once: int, anew: bool
) -> None:
    jail = Jail()
    _happen(jail, happenings)
    ledger = _fresh()
    for at in range(0, len(jail.lines), at_once):
        ledger.record(jail.lines[at : at + at_once], nowhere)
        if anew:  # the recorder starts again
            ledger = Ledger(ledger._engine, KEYS, "Europe/Berlin")
    assert in_force(ledger) == truth(jail)


def test_an_import_does_not_count_as_a_second_writer(ledger: Ledger, jail: Jail) -> None:
    late = jail.wall + 600.0
    record(ledger, [*jail.lines, ban("203.0.113.1", late, late, writer="99999999", origin="import")])
    assert ledger.notices() == []
    jail.vanishes_unseen(A)
    jail.snapshot()
    record(ledger, jail.lines)
    assert in_force(ledger) == truth(jail)


def test_a_writer_whose_start_was_lost_is_followed(ledger: Ledger, jail: Jail) -> None:
    jail.passes(600)
    jail.restart()
    jail.vanishes_unseen(A)
    jail.snapshot()
    record(ledger, [line for line in jail.lines if not (isinstance(line, StartLine) and line.seen > T0 + 500)])
    assert ledger.notices() == []
    assert in_force(ledger, T0 + 700.0) == truth(jail)


def test_a_snapshot_from_the_future_or_with_an_invalid_part_is_ignored(ledger: Ledger, jail: Jail) -> None:
    record(ledger, jail.lines)
    writer = jail.lines[-1].writer
    record(ledger, [held(as_of=jail.wall + 1, writer=writer, part=5, parts=2)])
    record(ledger, [held(as_of=jail.wall + 10**8, seen=jail.wall + 2, writer=writer)])
    assert in_force(ledger) == truth(jail)
