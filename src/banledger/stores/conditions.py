"""Test cells against the conditions of a selection. Pure."""

from collections.abc import Callable
from typing import TypeAlias

from banledger.net.prefix import block
from banledger.stores.selection import Between, Condition, Is, Within

CellTest: TypeAlias = Callable[[str], bool]


def cell_test(condition: Condition, several: bool) -> CellTest:
    """Return the test of a cell for a condition on its column. `several`: see Column."""
    if isinstance(condition, Is):
        return _is(condition, several)
    if isinstance(condition, Between):
        return _between(condition)
    return _within(condition)


def _is(condition: Is, several: bool) -> CellTest:
    tokens = condition.tokens - {""}  # an empty cell has no token
    return (lambda cell: not tokens.isdisjoint(cell.split())) if several else tokens.__contains__


def _between(condition: Between) -> CellTest:
    low, high = condition.low or "", condition.high
    return lambda cell: cell != "" and low <= cell and (high is None or cell <= high)


def _within(condition: Within) -> CellTest:
    network = block(condition.cidr)
    return lambda cell: cell != "" and network.covers(block(cell))
