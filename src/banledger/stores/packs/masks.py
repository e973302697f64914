"""Masks: which rows pass, one byte a row: 1, or 0. Pure."""

from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Mask: TypeAlias = bytes
"""One byte a row: 1 if it passes, 0 if not."""


def between(low: int, high: int, rows: int) -> Mask:
    """Return the mask of the rows from `low` up to, not including, `high`."""
    return bytes(low) + b"\1" * (high - low) + bytes(rows - high)


def both(masks: "Sequence[Mask]") -> Mask:
    """Return the mask of rows that pass all masks. There is at least one."""
    return _combine(and_, masks)


def either(masks: "Sequence[Mask]") -> Mask:
    """Return the mask of rows that pass any of the masks. There is at least one."""
    return _combine(or_, masks)


def _combine(how: "Callable[[int, int], int]", masks: "Sequence[Mask]") -> Mask:
    if len(masks) == 1:
        return masks[0]
    return reduce(how, [int.from_bytes(mask, "little") for mask in masks]).to_bytes(len(masks[0]), "little")


def keep(codes: bytes, mask: Mask) -> bytes:
    """Return the codes of the rows that pass, and 0 for the others."""
    kept = int.from_bytes(codes, "little") & (int.from_bytes(mask, "little") * 255)
    return kept.to_bytes(len(mask), "little")
