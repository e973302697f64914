"""Recorders are judged by their heartbeats, without trust in clocks."""

from typing import Any

import pytest

from banledger.ledger.heartbeat import Heartbeat
from banledger.ledger.heartbeats import KEPT_S
from banledger.ledger.recorder_health import SILENT_S, RecorderHealth, RecorderState, doubtful, healths

NOW = 1_795_410_000.0


def beat(**fields: Any) -> Heartbeat:
    given_: dict[str, Any] = {
        "written": NOW - 5,
        "since": NOW - 3600,
        "host": "web1",
        "pid": 7,
        "version": "1",
        "id": "0123456789ab",
    } | fields
    return Heartbeat(**given_)


def states(*beats: Heartbeat, ahead: float | None = None) -> list[tuple[str, RecorderState]]:
    return [(one.beat.host, one.state) for one in healths(beats, NOW, ahead)]


def test_a_fresh_heartbeat_is_a_recorder_that_records() -> None:
    assert states(beat()) == [("web1", RecorderState.RECORDING)]


def test_a_recorder_that_waits_says_so() -> None:
    assert states(beat(waits="no spool")) == [("web1", RecorderState.WAITING)]


def test_an_old_heartbeat_has_no_recorder() -> None:
    assert states(beat(written=NOW - SILENT_S - 1)) == [("web1", RecorderState.SILENT)]


def test_a_stopped_recorder_is_stopped_however_old() -> None:
    assert states(beat(written=NOW - KEPT_S, stopped=NOW - KEPT_S)) == [("web1", RecorderState.STOPPED)]


def test_a_heartbeat_from_the_future_shows_a_wrong_clock() -> None:
    assert states(beat(written=NOW + 3600)) == [("web1", RecorderState.AHEAD)]


@pytest.mark.parametrize("wrong_s", [-3e8, -3600.0, 3600.0, 3e8])
def test_a_wrong_clock_of_a_recorder_does_not_matter_where_the_stores_clock_is_known(wrong_s: float) -> None:
    assert states(beat(written=NOW - 5 + wrong_s, ahead=-wrong_s), ahead=0.0) == [("web1", RecorderState.RECORDING)]


@pytest.mark.parametrize("wrong_s", [-3e8, -3600.0, 3600.0, 3e8])
def test_a_wrong_clock_of_the_reader_does_not_matter_where_the_stores_clock_is_known(wrong_s: float) -> None:
    assert states(beat(written=NOW - 5 - wrong_s, ahead=0.0), ahead=-wrong_s) == [("web1", RecorderState.RECORDING)]


def test_a_dead_recorder_with_a_wrong_clock_is_silent() -> None:
    assert states(beat(written=NOW, ahead=-3600.0), ahead=0.0) == [("web1", RecorderState.SILENT)]


def test_only_heartbeats_of_running_recorders_that_look_wrong_need_the_stores_clock() -> None:
    assert not doubtful([beat(), beat(written=NOW - 1e6, stopped=NOW - 1e6)], NOW)
    assert doubtful([beat(), beat(written=NOW - 1e6)], NOW)
    assert doubtful([beat(), beat(written=NOW + 1e6)], NOW)


def test_recorders_with_trouble_come_first() -> None:
    found = states(
        beat(host="a", labels=("a",)),
        beat(host="b", labels=("b",), stopped=NOW - 9),
        beat(host="c", labels=("c",), written=NOW - 9999),
        beat(host="d", labels=("d",), waits="no spool"),
    )
    assert [host for host, _ in found] == ["c", "b", "d", "a"]


def test_a_gone_recorder_is_replaced_if_others_record_all_of_its_labels() -> None:
    gone = beat(host="3f2a", labels=("web1",), written=NOW - 9999)
    assert (("3f2a", RecorderState.REPLACED)) in states(gone, beat(host="9c1d", labels=("web1", "web2")))
    assert (("3f2a", RecorderState.SILENT)) in states(gone, beat(host="9c1d", labels=("web2",)))


def test_a_gone_recorder_is_not_replaced_by_another_that_is_gone() -> None:
    gone = beat(host="a", written=NOW - 9999), beat(host="b", stopped=NOW - 5)
    assert [state for _, state in states(*gone)] == [RecorderState.SILENT, RecorderState.STOPPED]


def test_the_age_is_told() -> None:
    assert healths([beat(written=NOW - 7)], NOW) == [
        RecorderHealth(beat(written=NOW - 7), RecorderState.RECORDING, 7.0)
    ]
