"""What the journal says of registries."""

import logging

import pytest

from banledger.whois.outages import Outages

T0 = 1_795_400_000.0
HOUR_S = 3600.0


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "banledger")
    return caplog


def test_an_outage_is_logged_when_it_begins_and_ends(said: pytest.LogCaptureFixture) -> None:
    outages = Outages()
    outages.over("ripe")
    for minute in range(100):
        outages.unreachable("ripe", "time out", T0 + minute * 60)
    outages.over("ripe")
    outages.over("ripe")
    assert [record.getMessage() for record in said.records] == [
        "whois: no answer from 'ripe' ('time out'); bans are recorded; it is tried again",
        "whois: 'ripe' answers again",
    ]


def test_an_intermittent_outage_is_logged_once_a_day(said: pytest.LogCaptureFixture) -> None:
    outages = Outages()
    for hour in range(72):
        outages.limited("lacnic", 600.0, T0 + hour * HOUR_S)
        outages.over("lacnic")
    assert [record.getMessage() for record in said.records] == [
        "whois: rate limited by 'lacnic' for 600 s",
        "whois: 'lacnic' answers again",
    ] * 3


def test_an_outage_is_logged_soon_after_a_pause(said: pytest.LogCaptureFixture) -> None:
    outages = Outages()
    outages.limited("ripe", 60.0, T0)
    outages.over("ripe")
    outages.unreachable("ripe", "down", T0 + 120)
    outages.unreachable("arin", "down", T0 + 120)
    assert ["'ripe'" in record.getMessage() for record in said.records] == [True, True, True, False]


def test_a_registrys_text_is_logged_bounded_and_escaped(said: pytest.LogCaptureFixture) -> None:
    Outages().unreachable("ripe", "\x1b[31m\n" * 1000, T0)
    assert "\x1b" not in said.text and len(said.records[0].getMessage()) < 400


def test_a_clock_set_back_suppresses_no_line_for_long(said: pytest.LogCaptureFixture) -> None:
    outages = Outages()
    outages.limited("ripe", 60.0, T0)
    outages.over("ripe")
    outages.limited("ripe", 60.0, T0 - 10 * HOUR_S)
    assert len(said.records) == 3
