"""Outages: how long the service waits between tries."""

from pathlib import Path

import pytest

from banledger.errors import SpoolError, StoreUnavailable
from banledger.service.outage import LONGEST_S, Outage, ServiceStatus
from banledger.service.systemd import Notifier
from banledger.spool.reader import SpoolReader


def test_waits_double_up_to_the_longest_and_begin_again_after_a_success() -> None:
    outage = Outage(1.0, 5.0)

    assert [(outage.failed("x"), outage.wait_s)[1] for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert outage.over() and not outage.over()
    assert outage.failed("x") and outage.wait_s == 1.0


@pytest.mark.parametrize("error", [StoreUnavailable("down", hint="x"), SpoolError("gone", hint="x")])
def test_a_mended_store_or_spool_is_seen_soon_however_long_it_was_away(
    tmp_path: Path, error: StoreUnavailable | SpoolError
) -> None:
    status = ServiceStatus(Notifier(""), SpoolReader(tmp_path))

    assert max(status.failed(error) for _ in range(100)) == LONGEST_S <= 5.0
