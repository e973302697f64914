"""The demo's parts: dates that move, a directory that is claimed, signals that wait."""

# ruff: noqa: DTZ001, DTZ007  # a log's dates are local and bare

import os
import signal
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.demo import directory
from banledger.demo.authlog import moved, shipped
from banledger.demo.signals import postponed
from banledger.errors import BanledgerError

MOMENTS = st.datetimes(datetime(2015, 1, 1), datetime(2040, 1, 1)).map(lambda at: at.replace(microsecond=0))
STEPS = st.lists(st.integers(0, 20 * 86_400), min_size=1, max_size=10).filter(lambda steps: sum(steps) < 300 * 86_400)


def stamped(moments: list[datetime]) -> bytes:
    """A log with a line at each of these moments."""
    return b"".join(f"{at:%b} {at.day:2d} {at:%H:%M:%S} web1 sshd[1]: Mar 27 13:06:56\n".encode() for at in moments)


def as_read(line: bytes, now: datetime) -> datetime:
    """The moment of a line for who reads it now: the latest one that is not in the future."""
    for year in (now.year, now.year - 1):
        text = f"{year} {line[:15].decode()}"
        try:
            moment = datetime.strptime(text, "%Y %b %d %H:%M:%S")
        except ValueError:
            continue  # no 29 February in that year
        if moment <= now:
            return moment
    raise AssertionError(line)


# Dates


@given(start=MOMENTS, steps=STEPS, now=MOMENTS)
def test_a_moved_log_ends_within_the_last_day_and_keeps_its_distances(
    start: datetime, steps: list[int], now: datetime
) -> None:
    moments = [start + timedelta(seconds=sum(steps[:count])) for count in range(len(steps) + 1)]

    log = moved(stamped(moments), start.year, now)

    lines = log.text.splitlines()
    new = [as_read(line, now) for line in lines]
    assert timedelta(0) <= now - new[-1] < timedelta(days=1)
    assert [at - new[0] for at in new] == [at - moments[0] for at in moments]
    assert {line[15:] for line in lines} == {b" web1 sshd[1]: Mar 27 13:06:56"}
    assert (log.first, log.last, log.lines) == (new[0].date(), new[-1].date(), len(moments))


def test_a_log_is_moved_over_a_new_year() -> None:
    text = b"Mar 30 10:00:00 a\nMar 31 10:00:00 b\nApr  2 10:00:00 c\n"

    log = moved(text, 2017, datetime(2027, 1, 2, 9, 59))

    assert log.text == b"Dec 29 10:00:00 a\nDec 30 10:00:00 b\nJan  1 10:00:00 c\n"


def test_a_log_over_a_new_year_is_moved() -> None:
    text = b"Dec 31 23:59:59 a\nJan  1 00:00:01 b\nDec 31 23:59:59 late\nJan  1 00:00:02 c\n"

    log = moved(text, 2025, datetime(2026, 6, 15, 12))

    assert log.text == b"Jun 14 23:59:59 a\nJun 15 00:00:01 b\nJun 14 23:59:59 late\nJun 15 00:00:02 c\n"


@pytest.mark.parametrize(("year", "before"), [(2028, b"Feb 29"), (2027, b"Feb 28")])
def test_leap_days_are_handled(year: int, before: bytes) -> None:
    log = moved(b"Apr 10 08:00:00 a\nApr 11 08:00:00 b\n", 2017, datetime(year, 3, 1, 8))

    assert log.text == before + b" 08:00:00 a\nMar  1 08:00:00 b\n"


def test_text_that_is_not_a_stamp_is_unchanged() -> None:
    text = b"\xff\xfe\n Mar 27 13:06:56\nMar 27 13:06:56 Mar 27 13:06:56\n"

    log = moved(text, 2017, datetime(2026, 11, 23, 14))

    assert log.text == b"\xff\xfe\n Mar 27 13:06:56\nNov 23 13:06:56 Mar 27 13:06:56\n"


def test_the_shipped_log_ends_now() -> None:
    log = shipped(datetime(2026, 11, 23, 6, 0))

    assert (str(log.first), str(log.last), log.lines) == ("2026-10-29", "2026-11-22", 7121)
    assert log.text.startswith(b"Oct 29 13:06:56 ip-10-77-20-248 sshd[1291]: Server listening")


# The directory


def never(_: float) -> None:
    raise AssertionError("nobody waits")


def ignored(_: Path) -> None:
    pass


def test_a_new_directory_is_created_and_its_files_stay(tmp_path: Path) -> None:
    with directory.claimed(tmp_path / "a" / "b", never, ignored) as home:
        (home / directory.LEDGER).touch()

    assert home == tmp_path / "a" / "b"
    assert {path.name for path in home.iterdir()} == {directory.MARK, directory.LEDGER}


def test_the_next_demo_clears_only_files_of_demos(tmp_path: Path) -> None:
    with directory.claimed(tmp_path, never, ignored) as home:
        for name in (directory.LEDGER, f"{directory.LEDGER}-wal", "notes.txt"):
            (home / name).touch()

    with directory.claimed(tmp_path, never, ignored):
        assert {path.name for path in tmp_path.iterdir()} == {directory.MARK, "notes.txt"}


def test_a_directory_with_other_files_is_refused_and_not_changed(tmp_path: Path) -> None:
    (tmp_path / directory.LEDGER).write_text("precious")

    with (
        pytest.raises(BanledgerError, match="holds files that no demo made"),
        directory.claimed(tmp_path, never, ignored),
    ):
        pass

    assert [path.name for path in tmp_path.iterdir()] == [directory.LEDGER]
    assert (tmp_path / directory.LEDGER).read_text() == "precious"


def test_a_place_that_cannot_be_used_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(BanledgerError) as caught, directory.claimed(tmp_path / "file" / "x", never, ignored):
        pass

    assert "can't use" in str(caught.value) and "--keep" in caught.value.hint


def test_a_demo_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with pytest.raises(KeyboardInterrupt), directory.claimed(None, never, ignored) as home:
        (home / directory.LEDGER).touch()
        raise KeyboardInterrupt

    assert list(tmp_path.iterdir()) == []


def test_a_second_demo_waits_for_the_first(tmp_path: Path) -> None:
    seen: list[Path] = []
    first = directory.claimed(tmp_path, never, ignored)
    first.__enter__()

    def end_the_first(_: float) -> None:
        first.__exit__(None, None, None)

    with directory.claimed(tmp_path, end_the_first, seen.append):
        assert seen == [tmp_path]


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_clean_up(number: signal.Signals) -> None:
    steps: list[str] = []
    heard = signal.signal(number, lambda *_: steps.append("delivered"))
    try:
        with pytest.raises(KeyboardInterrupt), postponed() as pause:
            os.kill(os.getpid(), number)
            steps.append("not cut off")
            try:
                pause(60)
            finally:
                steps.append("in order")
    finally:
        signal.signal(number, heard)

    assert steps == ["not cut off", "in order", "delivered"]


def test_a_pause_without_signal_lasts_its_time() -> None:
    before = time.monotonic()
    with postponed() as pause:
        pause(0.01)

    assert time.monotonic() - before >= 0.01


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    heard = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with postponed() as pause:
            os.kill(os.getpid(), signal.SIGHUP)
            pause(0)
    finally:
        signal.signal(signal.SIGHUP, heard)


def test_the_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGINT)
    with postponed():
        assert signal.getsignal(signal.SIGINT) is not before

    assert signal.getsignal(signal.SIGINT) is before
