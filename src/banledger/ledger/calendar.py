"""The local calendar of a ledger."""

import logging
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from banledger.ledger.reader import zone_of
from banledger.settings import machine_zone

_log = logging.getLogger("banledger")


def new_zone(name: str) -> str:
    """Return the time zone of a new ledger. Raises SettingsError."""
    name = name or machine_zone()
    if not name:
        _log.warning("this machine's time zone has no name: the ledger's days are UTC days (see the setting timezone)")
        name = "UTC"
    return zone_of(name).key


def calendar(zone: ZoneInfo) -> Callable[[int], tuple[str, int]]:
    """Return a function from a UTC epoch second to its local day (YYYY-MM-DD) and hour.

    It caches quarters of an hour: the offsets of time zones are multiples of that.
    """

    @lru_cache(maxsize=4096)
    def quarter(number: int) -> tuple[str, int]:
        local = datetime.fromtimestamp(900 * number, zone)
        return local.date().isoformat(), local.hour

    return lambda second: quarter(second // 900)
