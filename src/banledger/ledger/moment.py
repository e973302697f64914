"""A moment on a timeline and by the wall clock. Hashes keep microseconds."""

from typing import NamedTuple

_EXACT = 2**51  # microseconds: a product of that size is right to an eighth


class Moment(NamedTuple):
    """When an event was seen, in seconds: on a timeline without clock steps, and by the wall clock.

    Moments compare by `order`. A record has `wall` in its fields, and `order` only where the two differ.
    """

    order: float
    wall: float


def in_microseconds(seconds: float) -> float:
    """Return `round(seconds, 6)`, in a sixth of the time if that is near, as it is for times that the action wrote."""
    scaled = seconds * 1e6
    whole = round(scaled)
    near = -0.25 < scaled - whole < 0.25 and -_EXACT < whole < _EXACT
    return whole / 1e6 if near and isinstance(seconds, float) else round(seconds, 6)
