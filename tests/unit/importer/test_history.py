"""Which bans follow from the lines of logs."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.importer.history import History, version_of
from banledger.importer.line_outcome import LineOutcome
from banledger.importer.log_event import LogEvent
from banledger.importer.log_text import LogText
from banledger.importer.past_ban import PastBan
from banledger.importer.stamps import Stamps
from tests.support.lines import T0

A = "192.0.2.1"


def events(text: str, source: int = 0) -> list[LogEvent]:
    """Lines of `MM:SS message` as events of the hour that begins at T0 - 800."""
    lines = [line.strip() for line in text.strip().splitlines()]
    raw = "".join(f"2026-11-23 02:{line[:5]},000 fail2ban.x [1]: INFO {line[6:]}\n" for line in lines)
    return list(LogText(Stamps(ZoneInfo("UTC"), T0), T0, source).events([raw.encode()]))


def told(*logs: str) -> tuple[list[PastBan], dict[int, int]]:
    history = History()
    ordered = sorted(event for number, log in enumerate(logs) for event in events(log, number))
    bans = [ban for event in ordered for ban in history.take(event)]
    bans += history.end()
    outcomes = sum(history.outcomes.values(), type(history.outcomes[0])())
    return sorted(bans), {outcome: count for outcome, count in outcomes.items() if count}


def at(minute: int, second: int = 0) -> float:
    return T0 - 800 + 60 * minute + second


def ban(logged: float, found: float = 0, fid: str = A, **more: float) -> PastBan:
    return PastBan(logged, "sshd", fid, int(found), **more)  # type: ignore[arg-type]


def test_a_ban_has_the_second_of_the_last_failure_before_it() -> None:
    bans, outcomes = told(
        f"""10:00 [sshd] Found {A} - 2026-11-23 02:09:58
            10:01 [sshd] Found {A} - 2026-11-23 02:10:01
            10:02 [sshd] Found 192.0.2.2 - 2026-11-23 02:10:02
            10:02 [web] Found {A} - 2026-11-23 02:10:02
            10:02 [sshd] Ban {A}
            10:03 [sshd] Found {A} - 2026-11-23 02:10:03"""
    )
    assert bans == [ban(at(10, 2), at(10, 1), failures=2, first=at(9, 58))]
    assert outcomes == {LineOutcome.BANS: 1}


@pytest.mark.parametrize(
    "before",
    [
        "",
        f"10:00 [sshd] Found {A}\n",  # 0.9: no date
        f"10:00 [sshd] Found {A} - 2026-11-23 02:40:00\n",  # of the future
        f"10:00 [sshd] Found {A} - 2026-11-23 02:10:00\n10:01 [sshd] Ban {A}\n10:04 [sshd] Unban {A}\n",
    ],
)
def test_a_ban_without_the_date_of_a_failure_is_inexact(before: str) -> None:
    bans, outcomes = told(before + f"30:00 [sshd] Ban {A}")
    assert bans[-1] == ban(at(30))
    assert outcomes[LineOutcome.INEXACT] == 1


def test_an_unban_belongs_to_the_last_ban_before_it() -> None:
    bans, outcomes = told(
        f"""10:00 [sshd] Unban {A}
            11:00 [sshd] Ban {A}
            12:00 [sshd] Unban {A}
            30:00 [sshd] Ban {A}
            31:00 [web] Unban {A}"""
    )
    assert bans == [ban(at(11), unbanned=at(12)), ban(at(30))]
    assert outcomes == {LineOutcome.BANS: 2, LineOutcome.INEXACT: 2, LineOutcome.UNBANS: 1, LineOutcome.EARLIER: 2}


def test_unbans_of_a_stop_lift_nothing() -> None:
    bans, outcomes = told(
        f"""10:00 Starting Fail2ban v1.0.2
            11:00 [sshd] Ban {A}
            12:00 Stopping all jails
            12:01 [sshd] Unban {A}
            12:02 Exiting Fail2ban
            13:00 Starting Fail2ban v1.0.2
            13:01 [sshd] Restore Ban {A}
            13:01 [sshd] Restore Ban 192.0.2.9
            14:00 [sshd] Unban {A}"""
    )
    assert bans == [ban(at(11), unbanned=at(14))]
    assert outcomes == {
        LineOutcome.BANS: 1,
        LineOutcome.INEXACT: 1,
        LineOutcome.AT_STOP: 1,
        LineOutcome.RESTORED: 1,
        LineOutcome.EARLIER: 1,
        LineOutcome.UNBANS: 1,
    }


def test_before_0_9_a_stop_ends_bans() -> None:
    bans, outcomes = told(
        f"""10:00 Changed logging target to /var/log/fail2ban.log for Fail2ban v0.8.6
            11:00 [sshd] Ban {A}
            12:00 Stopping all jails
            12:01 [sshd] Unban {A}
            12:01 Jail 'sshd' stopped
            12:02 Exiting Fail2ban"""
    )
    assert bans == [ban(at(11), unbanned=at(12, 1))]
    assert outcomes == {LineOutcome.BANS: 1, LineOutcome.INEXACT: 1, LineOutcome.UNBANS: 1}


def test_unbans_of_one_jails_stop_lift_nothing() -> None:
    bans, outcomes = told(
        """10:00 [sshd] Ban 192.0.2.1
           10:01 [sshd] Ban 192.0.2.2
           10:02 [sshd] Ban 192.0.2.3
           10:02 [web] Ban 192.0.2.1
           12:00 [sshd] Unban 192.0.2.3
           12:30 [web] Unban 192.0.2.1
           12:30 [sshd] Flush ticket(s) with nftables
           12:31 [sshd] Unban 192.0.2.1
           12:32 [sshd] Unban 192.0.2.2
           12:33 Jail 'sshd' stopped
           13:00 [sshd] Restore Ban 192.0.2.1
           14:00 [sshd] Unban 192.0.2.1"""
    )
    assert [(one.fid, one.jail, one.unbanned) for one in bans] == [
        ("192.0.2.1", "sshd", at(14)),
        ("192.0.2.2", "sshd", 0.0),
        ("192.0.2.3", "sshd", at(12)),
        ("192.0.2.1", "web", at(12, 30)),
    ]
    assert outcomes == {
        LineOutcome.BANS: 4,
        LineOutcome.INEXACT: 4,
        LineOutcome.AT_STOP: 2,
        LineOutcome.UNBANS: 3,
        LineOutcome.RESTORED: 1,
    }


def test_0_9_restores_bans_with_plain_lines() -> None:
    bans, outcomes = told(
        f"""10:00 Changed logging target to x for Fail2ban v0.9.7
            10:00 Jail 'sshd' started
            10:01 [sshd] Ban 192.0.2.7
            10:20 [sshd] Found {A} - 2026-11-23 02:10:20
            10:20 [sshd] Ban {A}
            10:50 [sshd] Ban 192.0.2.8
            30:00 [sshd] Ban 192.0.2.9"""
    )
    assert bans == [ban(at(10, 20), at(10, 20), failures=1), ban(at(30), fid="192.0.2.9")]
    assert outcomes == {LineOutcome.BANS: 2, LineOutcome.INEXACT: 1, LineOutcome.EARLIER: 2}


def test_an_increase_has_the_bantime_and_the_count() -> None:
    bans, _ = told(
        f"""10:01 [sshd] Found {A} - 2026-11-23 02:10:00
            10:01 [sshd] Ban {A}
            10:02 [sshd] Increase Ban {A} (2 # 20m -> 2026-11-23 02:30:00)
            10:03 [sshd] Increase Ban 192.0.2.2 (3 # permanent -> infinite)
            10:03 [sshd] Ban 192.0.2.2"""
    )
    assert bans == [
        ban(at(10, 1), at(10), failures=1, bantime=1200, bancount=2),
        ban(at(10, 3), fid="192.0.2.2", bantime=-1, bancount=3),
    ]


def test_the_same_lines_in_two_logs_are_one_ban() -> None:
    own = f"""10:00 [sshd] Found {A} - 2026-11-23 02:10:00
              10:01 [sshd] Ban {A}
              20:00 [sshd] Unban {A}"""
    syslog = f"""10:02 [sshd] Ban {A}
                 20:01 [sshd] Unban {A}"""
    wanted = [ban(at(10, 1), at(10), failures=1, unbanned=at(20))]
    assert told(own, own)[0] == wanted
    assert told(own, own)[1] == {LineOutcome.BANS: 1, LineOutcome.UNBANS: 1, LineOutcome.REPEATED: 2}
    assert told(own, syslog)[0] == wanted
    assert told(own, syslog)[1] == {LineOutcome.BANS: 1, LineOutcome.UNBANS: 1, LineOutcome.REPEATED: 2}


LONG = f"""00:01 Starting Fail2ban v1.0.2
10:00 [sshd] Found {A} - 2026-11-23 02:10:00
10:01 [sshd] Ban {A}
11:00 [web] Ban {A}
12:00 Stopping all jails
12:01 [sshd] Unban {A}
12:02 Exiting Fail2ban
12:30 Starting Fail2ban v1.0.2
12:31 [sshd] Restore Ban {A}
20:00 [sshd] Unban {A}
25:00 [sshd] Found {A} - 2026-11-23 02:25:00
25:01 [sshd] Ban {A}
25:02 [sshd] Increase Ban {A} (2 # 20m -> 2026-11-23 02:45:00)
25:03 [sshd] Ban 192.0.2.2"""


@given(st.data())
def test_any_split_and_repetition_of_a_log_gives_the_same_bans(data: st.DataObject) -> None:
    lines = LONG.splitlines()
    places = data.draw(st.lists(st.sets(st.integers(0, 2), min_size=1), min_size=len(lines), max_size=len(lines)))
    logs = ["\n".join(line for line, where in zip(lines, places, strict=True) if n in where) for n in range(3)]
    assert [_bare(one) for one in told(*filter(None, logs))[0]] == [_bare(one) for one in told(LONG)[0]]


def _bare(one: PastBan) -> tuple[object, ...]:
    return one.logged, one.jail, one.fid, one.found, one.unbanned, one.bantime, one.bancount, one.failures


def test_a_bans_unban_long_after_it_is_found() -> None:
    history = History()
    got = []
    for n in range(2000):
        got += history.take(LogEvent(T0 + n, 7, "sshd", str(n)))
    for n in range(2000):
        got += history.take(LogEvent(T0 + 10_000 + n, 6, "sshd", str(n)))
    assert 1000 < len(got) < 2000  # the old ones are given while lines still come
    got += history.end()
    assert [one.unbanned - one.logged for one in got] == [10_000.0] * 2000


@pytest.mark.parametrize(
    ("text", "numbers"), [("0.10.3.fix1", (0, 10, 3)), ("1.1.1.dev1", (1, 1, 1)), ("x", ()), ("0.9.7-1", (0, 9))]
)
def test_a_version_is_its_leading_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert version_of(text) == numbers
