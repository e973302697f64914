"""Local times of logs to moments."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.importer.stamps import Stamps
from tests.support.lines import T0

BERLIN = ZoneInfo("Europe/Berlin")


def stamps(zone: ZoneInfo = BERLIN, written: float = T0) -> Stamps:
    return Stamps(zone, written)


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@given(
    st.integers(631_152_000, 2_051_222_400),
    st.sampled_from(["Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "UTC", "Australia/Lord_Howe"]),
)
def test_a_local_time_is_read_as_its_zone_has_it(moment: int, zone: str) -> None:
    there = datetime.fromtimestamp(moment, ZoneInfo(zone))
    text = there.strftime("%Y-%m-%d %H:%M:%S").encode()
    read = stamps(ZoneInfo(zone)).local(text)

    assert read == there.replace(fold=0).timestamp()
    assert stamps(ZoneInfo(zone)).near(text, moment) == moment


def test_a_repeated_hour_has_its_second_pass_after_the_clock_went_back() -> None:
    reading = stamps()
    lines = ["02:10:00", "02:50:00", "02:49:59", "02:10:00", "02:50:00", "03:10:00"]
    read = [reading.local(f"2025-10-26 {line}".encode()) for line in lines]

    assert [moment - utc("2025-10-26 00:00:00") for moment in read] == [600, 3000, 2999, 4200, 6600, 7800]
    assert reading.unclear == 0


def test_times_in_a_repeated_hour_are_counted_if_the_file_shows_no_second_pass() -> None:
    reading = stamps()
    assert reading.local(b"2025-10-26 02:10:00") == utc("2025-10-26 00:10:00")
    assert reading.unclear == 1


def test_the_next_years_clock_change_begins_with_its_first_pass() -> None:
    reading = stamps()
    for line in (b"2024-10-27 02:50:00", b"2024-10-27 02:10:00"):
        reading.local(line)
    assert reading.local(b"2025-10-26 02:10:00") == utc("2025-10-26 00:10:00")


def test_a_failures_date_in_a_repeated_hour_is_the_last_that_is_not_after_its_line() -> None:
    reading = stamps()
    assert reading.near(b"2025-10-26 02:30:00", utc("2025-10-26 01:30:01")) == utc("2025-10-26 01:30:00")
    assert reading.near(b"2025-10-26 02:30:00", utc("2025-10-26 00:30:01")) == utc("2025-10-26 00:30:00")


def test_a_time_that_a_clock_change_skips_is_counted() -> None:
    reading = stamps()
    assert reading.local(b"2025-03-30 02:30:00") == utc("2025-03-30 01:30:00")
    assert reading.skipped == 1


@pytest.mark.parametrize(
    ("text", "written", "moment"),
    [
        (b"Nov 23 03:13:20", "2026-11-23 12:00:00", "2026-11-23 02:13:20"),
        (b"Nov 24 03:13:20", "2026-11-23 12:00:00", "2026-11-24 02:13:20"),  # less than a day ahead
        (b"Dec 31 23:59:59.5", "2026-01-02 12:00:00", "2025-12-31 22:59:59.5"),
        (b"Jan  2 10:00:00", "2026-01-02 12:00:00", "2026-01-02 09:00:00"),
        (b"Feb 29 10:00:00", "2026-01-02 12:00:00", "2024-02-29 09:00:00"),
    ],
)
def test_a_time_without_year_is_the_last_before_its_file_was_written(text: bytes, written: str, moment: str) -> None:
    assert stamps(written=utc(written)).yearless(text) == utc(moment)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (b"2026-11-23T03:13:20.123456+01:00", T0 + 0.123456),
        (b"2026-11-23T03:13:20,5+0100", T0 + 0.5),
        (b"2026-11-23T02:13:20Z", T0),
        (b"2026-11-22T21:13:20-0500", T0),
    ],
)
def test_an_iso_time_has_its_own_offset(text: bytes, moment: float) -> None:
    assert stamps().iso(text) == pytest.approx(moment, abs=1e-6)


@pytest.mark.parametrize("text", [b"2026-13-01 00:00:00", b"2026-02-30 00:00:00", b"2026-11-23", b"x" * 19, b""])
def test_what_is_no_time_is_a_value_error(text: bytes) -> None:
    for read in (stamps().local, stamps().iso, stamps().yearless, lambda one: stamps().near(one, T0)):
        with pytest.raises(ValueError):
            read(text)


def test_the_tables_of_a_hostile_file_stay_bounded() -> None:
    reading = stamps(ZoneInfo("UTC"))
    start = datetime(2000, 1, 1, tzinfo=UTC)
    for minute in range(50_000):
        reading.local((start + timedelta(minutes=minute)).strftime("%Y-%m-%d %H:%M:00").encode())
    assert len(reading._minutes) <= 20_001
