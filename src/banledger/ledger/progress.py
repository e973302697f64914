"""Progress of long work, reported to a function."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the name of the work, the number of items done, and the total (0: unknown)."""


def silent(_what: str, _done: int, _total: int) -> None:
    """Ignore progress."""
