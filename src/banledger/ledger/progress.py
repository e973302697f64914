"""Progress of long work, as a function that is told of it."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is worked on, how much of it is done, and of how much (0: unknown)."""


def silent(_what: str, _done: int, _total: int) -> None:
    """A `Progress` that shows nothing."""
