"""Wiring of what runs between batches: whois (its cache, look-up and worker) and forgetting, from the settings."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from banledger.clock import ClockWatch
from banledger.ledger.network import Answer
from banledger.net.prefix import Block
from banledger.service.forgetting import Retention
from banledger.service.systemd import state_directory
from banledger.settings import Settings, age_s, machine_id
from banledger.whois.cache import Cache
from banledger.whois.locate import Places, alike
from banledger.whois.pool import ThreadPool
from banledger.whois.queue import Policy
from banledger.whois.throttle import Throttle
from banledger.whois.worker import Whois

if TYPE_CHECKING:
    from banledger.geo.mmdb import MmdbPlace
    from banledger.whois.rdap.client import Lookup

DAY_S = 86_400.0
_THREADS = 8  # more than there are registries: each gets one question at a time


def retention(chosen: Settings) -> Retention:
    """How long bans and their matched lines are kept."""
    return Retention(age_s(chosen.retention_bans), age_s(chosen.retention_matches))


def places(chosen: Settings) -> Places:
    """The offline data: what is known about an address without a look-up."""
    files = _files(chosen)
    cache = Cache(chosen.whois_refresh_days * DAY_S, alike(files))
    return Places(cache, files, time.time, ask=chosen.whois_enabled, backfill_s=chosen.whois_backfill_days * DAY_S)


def offline_alike(chosen: Settings) -> Callable[[Block, Block], bool]:
    """Whether offline data, including the user's databases, gives two blocks the same country and system."""
    return alike(_files(chosen))


def _files(chosen: Settings) -> Callable[[str], "MmdbPlace"] | None:
    if not chosen.mmdb:
        return None
    from banledger.geo.mmdb import Files

    return Files([Path(path) for path in chosen.mmdb.split(":") if path]).locate


def whois(chosen: Settings, known: Places) -> Whois:
    """The background worker; with whois disabled it only follows the ledger."""
    throttle = Throttle()
    policy = Policy(
        f"{chosen.machine or machine_id()}:{os.urandom(4).hex()}",
        chosen.whois_refresh_days * DAY_S,
        chosen.whois_queue,
        chosen.whois_backfill_days * DAY_S,
    )
    if not chosen.whois_enabled:
        return Whois(known, ThreadPool(_nobody, 0), None, throttle, policy, ClockWatch())
    asks = lookup(chosen, throttle)
    return Whois(known, ThreadPool(asks.ask, _THREADS), asks.registry_of, throttle, policy, ClockWatch())


def _nobody(address: str) -> Answer:
    raise AssertionError(f"look-ups are disabled: {address}")


def lookup(chosen: Settings, throttle: Throttle | None = None) -> "Lookup":
    """The client of the registries and of Cymru's DNS. `throttle`: the worker's; None for a single manual look-up."""
    from banledger.whois.cymru import Cymru
    from banledger.whois.http.client import Transport
    from banledger.whois.rdap.bootstrap_refresh import Refreshed
    from banledger.whois.rdap.client import Lookup

    get = Transport(contact=chosen.whois_contact, proxy=chosen.whois_proxy).get
    state = state_directory()
    bootstrap = Refreshed(get if throttle else None, cache=state / "bootstrap" if state else None)
    origin = Cymru(throttle=throttle).ask if chosen.whois_asn else None
    return Lookup(get, bootstrap, origin=origin, take=throttle.take if throttle else None)
