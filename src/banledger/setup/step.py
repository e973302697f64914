"""A step of a setup: what it is, whether that is so already, and how to make it so."""

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

StepWork: TypeAlias = Callable[[], None]


class SetupStep(Struct, frozen=True):
    """title: what it does, in the imperative. done: whether that is so already; changes nothing. do: make it so.

    `do` may be run again after it was killed at any moment.
    """

    title: str
    done: Callable[[], bool]
    do: StepWork
