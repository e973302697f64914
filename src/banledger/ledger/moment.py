"""A moment on a timeline and by the wall clock."""

from typing import NamedTuple


class Moment(NamedTuple):
    """When an event was seen, in seconds: on a timeline without clock steps, and by the wall clock.

    Moments compare by `order`. A record has `wall` in its fields, and `order` only where the two differ.
    """

    order: float
    wall: float
