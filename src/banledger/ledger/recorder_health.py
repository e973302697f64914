"""Whether recorders record, by their heartbeats. Pure.

Theory of operation. A heartbeat that was not written for `SILENT_S` has no living recorder, or one that can't write.
Clocks of machines may differ by years. On a server, a recorder adds how far the server's clock is ahead of its own; a
reader that asks the server's clock too then knows the true age. A recorder that is gone is no trouble if others record
all of its labels now: its container was created anew, or its address changed.
"""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from banledger.ledger.heartbeat import Heartbeat

SILENT_S = 120.0
"""A recorder without a new heartbeat for this long does not record."""


class RecorderState(StrEnum):
    """What a heartbeat says about its recorder.

    WAITING   it lives, and can't record at present
    SILENT    no heartbeat for `SILENT_S`: it was killed, its machine is down, or it can't write to the store
    STOPPED   it was told to stop
    REPLACED  it is gone, and others record all of its labels
    AHEAD     its heartbeat is from the future: a clock is wrong
    """

    RECORDING = "recording"
    WAITING = "waiting"
    SILENT = "silent"
    STOPPED = "stopped"
    REPLACED = "replaced"
    AHEAD = "clock"

    @property
    def gone(self) -> bool:
        """Whether it does not record, nor try to."""
        return self in (RecorderState.SILENT, RecorderState.STOPPED)


class RecorderHealth(Struct, frozen=True):
    """A recorder's heartbeat, its state, and the age of the heartbeat in seconds (negative: from the future)."""

    beat: Heartbeat
    state: RecorderState
    age_s: float


def healths(beats: Iterable[Heartbeat], now: float, ahead: float | None = None) -> list[RecorderHealth]:
    """Judge heartbeats (UTC epoch `now`), those with trouble first.

    `ahead`: seconds by which the store's clock is ahead of ours; None: unknown, all clocks are taken for equal.
    """
    each = [(beat, age_s(beat, now, ahead)) for beat in beats]
    judged = [RecorderHealth(beat, _state(beat, age), age) for beat, age in each]
    alive = [one.beat for one in judged if not one.state.gone]
    covered = {label for beat in alive for label in beat.labels}
    found = [
        replace(one, state=RecorderState.REPLACED)
        if one.state.gone and alive and covered.issuperset(one.beat.labels)
        else one
        for one in judged
    ]
    return sorted(found, key=lambda one: (_ORDER.index(one.state), one.beat.host, one.beat.spool))


_ORDER = (
    RecorderState.SILENT,
    RecorderState.STOPPED,
    RecorderState.WAITING,
    RecorderState.AHEAD,
    RecorderState.RECORDING,
    RecorderState.REPLACED,
)


def age_s(beat: Heartbeat, now: float, ahead: float | None = None) -> float:
    """Return the age of a heartbeat in seconds. See `healths`."""
    known = beat.ahead is not None and ahead is not None
    return now - beat.written + ((ahead or 0.0) - (beat.ahead or 0.0) if known else 0.0)


def _state(beat: Heartbeat, age: float) -> RecorderState:
    if beat.stopped:
        return RecorderState.STOPPED
    if age > SILENT_S:
        return RecorderState.SILENT
    if age < -SILENT_S:
        return RecorderState.AHEAD
    return RecorderState.WAITING if beat.waits else RecorderState.RECORDING


def doubtful(beats: Iterable[Heartbeat], now: float) -> bool:
    """Whether the store's clock must be known to judge these: by ours, a recorder that runs looks silent or ahead."""
    return any(not beat.stopped and abs(now - beat.written) > SILENT_S for beat in beats)
