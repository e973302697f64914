"""A moment of a ban's life."""

from typing import NamedTuple


class Moment(NamedTuple):
    """When something was seen, in seconds: on a timeline that no clock step bends, and by the wall clock.

    They compare by `order`. A record has `wall` in its fields, and `order` of those where the two differ.
    """

    order: float
    wall: float
