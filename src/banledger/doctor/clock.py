"""Checks of the clock and of the ledger's time zone."""

import ctypes
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import banledger
from banledger.clock import AHEAD_S
from banledger.doctor import segments
from banledger.doctor.diagnosis import Diagnosis, caution, together, unseen, well, wrong
from banledger.doctor.examined import Examined
from banledger.doctor.store import edit
from banledger.errors import BanledgerError
from banledger.ledger.recorder_health import RecorderState, healths
from banledger.report.formats.moment import rough
from banledger.setup.machine import USER

_UNSYNCHRONISED_US = 16_000_000  # timedatectl says `no` from this error on


class _Timex(ctypes.Structure):
    """The head of struct timex, adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("more", ctypes.c_byte * 256),
    )


def synchronised() -> bool | None:
    """Whether the kernel's clock is kept by NTP; None: unknown."""
    try:
        times = _Timex()
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(times))  # `modes` is 0: nothing is set
    except (OSError, AttributeError):
        return None
    return None if state < 0 else times.maxerror < _UNSYNCHRONISED_US


def clock(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    found = [wrong(what, "timedatectl") for what in _impossible(examined)]
    kept = synchronised()
    if kept is False:
        found.append(caution("no time server sets it", "timedatectl set-ntp true"))
    return together(found, well("a time server sets it" if kept else "unknown whether a time server sets it"))


def _impossible(examined: Examined) -> Iterator[str]:
    """What can't be if the clock is right."""
    now = time.time()
    made = Path(banledger.__file__).stat().st_mtime
    if now < made - AHEAD_S:
        yield f"it is {rough(made - now)} before banledger's own files"
    with suppress(OSError, BanledgerError):
        oldest = segments.listed(examined.spool, examined.machine.user(USER)).oldest
        if oldest is not None and oldest > now + AHEAD_S:
            yield f"it is {rough(oldest - now)} before a segment of the spool"
    with suppress(BanledgerError), examined.ledger() as reader:
        ahead = [one for one in healths(reader.heartbeats(), now) if one.state is RecorderState.AHEAD]
        if ahead:
            yield f"a recorder's heartbeat is {rough(-ahead[0].age_s)} in the future"


def zone(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    try:
        wanted = examined.chosen.timezone
        with examined.ledger() as reader:
            unknown, name = reader.unknown_zone, str(reader.zone)
    except BanledgerError:
        return unseen("the ledger can't be read")
    if unknown:
        return wrong(f"this machine doesn't know the ledger's time zone {unknown}", "apt-get install -y tzdata-legacy")
    if wanted and wanted != name:
        return caution(f"the setting is {wanted}, but the ledger has {name} and keeps it", edit(examined))
    return well(name)
