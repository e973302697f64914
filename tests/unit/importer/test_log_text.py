"""Lines of every version and log target into events."""

import re
from collections.abc import Iterable
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.importer.log_event import Kind, LogEvent
from banledger.importer.log_text import LogText
from banledger.importer.prefixes import prefixes_of
from banledger.importer.stamps import Stamps
from tests.support.lines import T0

NOW = T0 + 86_400.0


def parser() -> LogText:
    return LogText(Stamps(ZoneInfo("UTC"), NOW), NOW)


def events(*blocks: str | bytes) -> list[LogEvent]:
    raw = [block.encode() if isinstance(block, str) else block for block in blocks]
    return list(parser().events(raw))


def event(kind: Kind, text: str = "", jail: str = "sshd", moment: float = T0 + 0.123, **more: float) -> LogEvent:
    return LogEvent(moment, int(kind), jail, text, more.get("date", 0.0), int(more.get("number", 0)))


LINES = [
    # 0.8.6
    ("2026-11-23 02:13:20,123 fail2ban.actions: WARNING [sshd] Ban 192.0.2.1", event(Kind.BAN, "192.0.2.1")),
    ("2026-11-23 02:13:20,123 fail2ban.actions: WARNING [sshd] Unban 192.0.2.1", event(Kind.UNBAN, "192.0.2.1")),
    (
        "2026-11-23 02:13:20,123 fail2ban.actions: WARNING [sshd] 192.0.2.1 already banned",
        event(Kind.ALREADY, "192.0.2.1"),
    ),
    ("2026-11-23 02:13:20,123 fail2ban.jail   : INFO   Jail 'sshd' started", event(Kind.JAIL_STARTED)),
    ("2026-11-23 02:13:20,123 fail2ban.jail   : INFO   Jail 'sshd' stopped", event(Kind.JAIL_STOPPED)),
    (
        "2026-11-23 02:13:20,123 fail2ban.server : INFO   Changed logging target to /var/log/fail2ban.log for "
        "Fail2ban v0.8.6",
        event(Kind.SERVER_STARTED, "0.8.6", ""),
    ),
    ("2026-11-23 02:13:20,123 fail2ban.server : INFO   Stopping all jails", event(Kind.STOPPING, jail="")),
    ("2026-11-23 02:13:20,123 fail2ban.server : INFO   Exiting Fail2ban", event(Kind.EXITED, jail="")),
    # 0.8.13
    (
        "2026-11-23 02:13:20,123 fail2ban.actions[504]: WARNING [apache-w00tw00t] Ban 192.0.2.1",
        event(Kind.BAN, "192.0.2.1", "apache-w00tw00t"),
    ),
    ("2026-11-23 02:13:20,123 fail2ban.filter [504]: INFO    [sshd] Found 192.0.2.1", event(Kind.FOUND, "192.0.2.1")),
    # 0.9 and later
    (
        "2026-11-23 02:13:20,123 fail2ban.actions        [4693]: NOTICE  [nginx-http-auth] Ban 192.0.2.1",
        event(Kind.BAN, "192.0.2.1", "nginx-http-auth"),
    ),
    (
        "2026-11-23 02:13:20,123 fail2ban.filter         [4693]: INFO    [web] Found 2001:db8::1 - 2026-11-23 02:13:19",
        event(Kind.FOUND, "2001:db8::1", "web", date=T0 - 1),
    ),
    ("2026-11-23 02:13:20,123 fail2ban.jail           [4693]: INFO    Jail u'sshd' started", event(Kind.JAIL_STARTED)),
    # 0.10
    (
        "2026-11-23 02:13:20,123 fail2ban.actions        [1]: NOTICE  [sshd] Restore Ban 198.51.100.0/24",
        event(Kind.RESTORE, "198.51.100.0/24"),
    ),
    (
        "2026-11-23 02:13:20,123 fail2ban.actions        [1]: NOTICE  [sshd] Reban 192.0.2.1, action 'nft'",
        event(Kind.REBAN, "192.0.2.1"),
    ),
    (
        "2026-11-23 02:13:20,123 fail2ban.actions        [1]: NOTICE  [sshd] Flush ticket(s) with nftables",
        event(Kind.FLUSH),
    ),
    (
        "2026-11-23 02:13:20,123 fail2ban.server         [1]: INFO    Starting Fail2ban v0.10.3.fix1",
        event(Kind.SERVER_STARTED, "0.10.3.fix1", ""),
    ),
    # 0.11
    (
        "2026-11-23 02:13:20,123 fail2ban.observer       [1]: NOTICE  [sshd] Increase Ban 192.0.2.1 (2 # 1d 2h -> "
        "2026-11-24 04:13:20)",
        event(Kind.INCREASE, "192.0.2.1", date=T0 + 93_600, number=2),
    ),
    (
        "2026-11-23 02:13:20,123 fail2ban.observer       [1]: NOTICE  [sshd] Increase Ban 192.0.2.1 (3 # permanent -> "
        "infinite)",
        event(Kind.INCREASE, "192.0.2.1", date=-1, number=3),
    ),
    (
        "2026-11-23 02:13:20,123 fail2ban.observer       [1]: INFO    [sshd] Found 192.0.2.1, bad - "
        "2026-11-23 02:13:18, 3 # -> 4, Ban",
        event(Kind.FOUND, "192.0.2.1", date=T0 - 2),
    ),
    # 1.1.1
    (
        "2026-11-23 02:13:20,123 fail2ban.actions        [1]: NOTICE  [sshd] Repeal Ban 192.0.2.1",
        event(Kind.REPEAL, "192.0.2.1"),
    ),
    # Any jail, any banned value
    (
        "2026-11-23 02:13:20,123 fail2ban.actions        [1]: NOTICE  [a] b]c] Ban x] Ban y - 1",
        None,  # a jail's name ends at the first "] "
    ),
    (
        "2026-11-23 02:13:20,123 fail2ban.actions        [1]: NOTICE  [a]b é] Ban x] Ban y - 1",
        event(Kind.BAN, "x] Ban y - 1", "a]b é"),
    ),
    (
        "2026-11-23 02:13:20,123 fail2ban.filter         [1]: INFO    [sshd] Found a - b - 2026-11-23 02:13:19",
        event(Kind.FOUND, "a - b", date=T0 - 1),
    ),
    # Of no interest
    ("2026-11-23 02:13:20,123 fail2ban.actions        [1]: NOTICE  [sshd] Ignore 192.0.2.1, expired bantime", None),
    ("2026-11-23 02:13:20,123 fail2ban.filter         [1]: INFO    [sshd] Ignore 192.0.2.1 by ip", None),
    ("2026-11-23 02:13:20,123 fail2ban.server         [1]: INFO    rollover performed on /var/log/fail2ban.log", None),
]


@pytest.mark.parametrize(("line", "expected"), LINES, ids=lambda value: value[24:80] if isinstance(value, str) else "")
def test_a_line_of_fail2bans_own_log_is_an_event(line: str, expected: LogEvent | None) -> None:
    wanted = [] if expected is None else [expected]
    assert events(line) == events(line + "\n") == events(line + "\r\n") == wanted


SYSLOG = [
    ("Nov 23 02:13:20 web1 fail2ban.actions[504]: NOTICE [sshd] Ban 192.0.2.1", T0),
    ("Nov 23 02:13:20.250000 web1 fail2ban.actions        [504]: NOTICE  [sshd] Ban 192.0.2.1", T0 + 0.25),
    ("<29>Nov 23 02:13:20 web1 fail2ban.actions[504]: NOTICE [sshd] Ban 192.0.2.1", T0),
    ("2026-11-23T03:13:20.500000+01:00 web1 fail2ban.actions[504]: NOTICE [sshd] Ban 192.0.2.1", T0 + 0.5),
    ("2026-11-23T03:13:20+0100 web1 fail2ban[504]: [sshd] Ban 192.0.2.1", T0),
    ("1795400000.250000 web1 fail2ban-server[504]: [sshd] Ban 192.0.2.1", T0 + 0.25),
    ("Nov 23 02:13:20 web1 fail2ban-server[9]: fail2ban.actions        [9]: NOTICE  [sshd] Ban 192.0.2.1", T0),
    (
        "Nov 23 02:13:20 web1 fail2ban-server[9]: 2026-11-23 02:13:20,123 fail2ban.actions        [9]: NOTICE  "
        "[sshd] Ban 192.0.2.1",
        T0,
    ),
]


@pytest.mark.parametrize(("line", "moment"), SYSLOG, ids=[line[:60] for line, _ in SYSLOG])
def test_a_line_of_syslog_or_of_the_journals_short_forms_is_an_event(line: str, moment: float) -> None:
    assert events(line + "\n") == [event(Kind.BAN, "192.0.2.1", moment=moment)]


CUSTOM = [
    "NOTICE fail2ban.actions 2026-11-23 02:13:20,123 | {}",
    "2026-11-23 02:13:20,123 {}",
    "[2026-11-23 02:13:20,123] f2b:504 <actions> (NOTICE) {}",
    "fail2ban  | 2026-11-23 02:13:20,123 fail2ban.actions        [1]: NOTICE  {}",
    " 2026-11-23 02:13:20,123 7F01 NOTIC {}",
    "1795400000.123 fail2ban.actions {}",
]


@pytest.mark.parametrize("form", CUSTOM)
def test_a_custom_format_is_found_by_its_lines(form: str) -> None:
    messages = ["[sshd] Found 192.0.2.1 - 2026-11-23 02:13:19", "Jail 'sshd' started", "[a-b] Unban 2001:db8::/64"]
    messages += ["[sshd] Ban 192.0.2.1"]
    got = events("".join(form.format(message) + "\n" for message in messages))

    assert [(Kind(one.kind), one.jail, one.text) for one in got] == [
        (Kind.FOUND, "sshd", "192.0.2.1"),
        (Kind.JAIL_STARTED, "sshd", ""),
        (Kind.UNBAN, "a-b", "2001:db8::/64"),
        (Kind.BAN, "sshd", "192.0.2.1"),
    ]
    assert {one.moment for one in got} == {T0 + 0.123}


@pytest.mark.parametrize(
    "line",
    [
        "Nov 23 02:13:20 web1 sshd[7]: Invalid user fail2ban.actions[1]: NOTICE [sshd] Ban 192.0.2.1 from 203.0.113.9",
        "Nov 23 02:13:20 web1 sshd[7]: x\rNov 23 02:13:20 web1 fail2ban[1]: [sshd] Ban 192.0.2.1",
        "Nov 23 02:13:20 web1 CRON[7]: fail2ban.actions[1]: NOTICE [sshd] Ban 192.0.2.1",
    ],
)
def test_what_another_program_logged_is_never_taken_for_fail2bans(line: str) -> None:
    own = "Nov 23 02:13:21 web1 fail2ban.actions[504]: NOTICE [sshd] Ban 192.0.2.7\n"
    for text in (line + "\n" + own, own + line + "\n", (line + "\n") * 50 + own):
        assert [one.text for one in events(text)] == ["192.0.2.7"]
    assert events((line + "\n") * 50) == []


def test_an_upgrade_or_another_log_target_in_the_middle_of_a_file_is_followed() -> None:
    older = "2026-11-23 02:13:20,123 fail2ban.actions: WARNING [ssh] Ban 192.0.2.1\n"
    newer = "2026-11-23 02:13:20,123 fail2ban.actions        [4]: NOTICE  [ssh] Ban 192.0.2.2\n"
    syslog = "Nov 23 02:13:20 web1 fail2ban.actions[504]: NOTICE [ssh] Ban 192.0.2.3\n"
    wanted = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1"]

    assert [one.text for one in events(older + newer + syslog + older)] == wanted
    assert [one.text for one in events(older + newer, syslog, older)] == wanted


def test_lines_with_invalid_or_far_times_are_counted() -> None:
    text = parser()
    good = b"2026-11-23 02:13:20,123 fail2ban.actions        [4]: NOTICE  [ssh] Ban 192.0.2.1\n"
    bad = [good.replace(b"2026-11", b"2026-13"), good.replace(b"2026", b"2028"), good.replace(b"2026", b"1960")]

    assert len(list(text.events([good + b"".join(bad)]))) == 1
    assert (text.lines, dict(text.refused)) == (4, {"its time is invalid": 1, "its time is out of range": 2})


def test_bytes_that_are_not_utf_8_become_visible() -> None:
    line = b"2026-11-23 02:13:20,123 fail2ban.actions        [4]: NOTICE  [ssh] Ban \xff\xfe\n"
    assert [one.text for one in events(line)] == ["\\udcff\\udcfe"]


@given(st.lists(st.sampled_from([line for line, expected in LINES if expected]), max_size=12), st.data())
def test_blocks_may_be_cut_anywhere_between_lines(lines: list[str], data: st.DataObject) -> None:
    blocks = _cut([line + "\n" for line in lines], data.draw(st.sets(st.integers(1, 11))))
    assert events(*blocks) == events("".join(line + "\n" for line in lines))


def _cut(lines: list[str], places: Iterable[int]) -> list[str]:
    edges = [0, *sorted(place for place in places if place < len(lines)), len(lines)]
    return ["".join(lines[start:end]) for start, end in pairwise(edges)]


@given(st.binary(max_size=300), st.integers(0, 80))
def test_any_bytes_are_parsed_without_an_error(noise: bytes, place: int) -> None:
    line = b"2026-11-23 02:13:20,123 fail2ban.filter         [4]: INFO  [ssh] Found x - 2026-11-23 02:13:19\n"
    for text in (noise, line[:place] + noise + line[place:], line + noise):
        list(parser().events([text]))


@pytest.mark.parametrize(
    "noise", ["[" * 60_000, "] " * 30_000, "[a] " * 15_000, "[a" + "] Ban" * 12_000, " - " * 20_000]
)
def test_hostile_lines_take_linear_time(noise: str) -> None:
    import time

    head = "2026-11-23 02:13:20,123 fail2ban.actions        [4]: NOTICE  "
    before = time.process_time()
    events((head + "[ssh] Ban 192.0.2.1\n") + (head + noise + "\n") * 10)
    assert time.process_time() - before < 1


def test_custom_forms_are_not_found_in_what_is_mostly_something_else() -> None:
    line = "2026-11-23 02:13:20,123 [sshd] Ban 192.0.2.1\n"
    assert events(line + "something else\n" * 3) == []
    assert len(events(line * 3 + "something else\n")) == 3


def test_equal_names_are_one_object() -> None:
    first, second = events(LINES[0][0] + "\n" + LINES[1][0] + "\n")
    assert first.jail is second.jail and first.text is second.text
    assert re.match(r"192", first.text)


def test_a_log_may_change_its_form_again_and_again() -> None:
    """As what `cat` makes of logs of several targets."""
    said = "NOTICE  [sshd] Ban 192.0.2.1\n"
    forms = [
        "2026-11-23 02:13:20,123 fail2ban.actions        [504]: ",
        "Nov 23 02:13:20 web1 fail2ban.actions[504]: ",
        "2026-11-23T02:13:20+00:00 web1 fail2ban.actions[504]: ",
        "1795400000.000000 web1 fail2ban.actions[504]: ",
        "<6>Nov 23 02:13:20 web1 fail2ban-server[504]: fail2ban.actions        [504]: ",
    ]
    assert [event.text for event in events(*(form + said for form in forms))] == ["192.0.2.1"] * len(forms)
    assert [event.text for event in events(*(form + said for form in reversed(forms)))] == ["192.0.2.1"] * len(forms)


def test_a_log_that_changes_its_form_all_the_time_is_read_with_a_bounded_number_of_forms() -> None:
    read = parser()
    blocks = [f"{'|' * n} 2026-11-23 02:13:20 [sshd] Ban 192.0.2.1\n".encode() for n in range(1, 100)]
    assert 1 < len(list(read.events(blocks))) == len(read._forms) < 20


def test_a_form_of_prefixes_has_no_thousands_of_words() -> None:
    line = b"%s2026-11-23 02:13:20 [sshd] Ban 192.0.2.1\n"
    assert len(prefixes_of(line % (b"a " * 100))) == 1
    assert prefixes_of(line % (b"a " * 100_000)) == []
