"""Split an iterable into pages."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")


def pages(items: Iterable[_Item], size: int = 500) -> Iterator[list[_Item]]:
    """Return the items in lists of at most `size`."""
    left = iter(items)
    while page := list(islice(left, size)):
        yield page
