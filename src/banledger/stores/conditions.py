"""Test cells against the conditions of a selection. Pure."""

from collections.abc import Callable
from typing import TypeAlias

from banledger.net.address import canonical_address
from banledger.net.prefix import block
from banledger.stores.selection import Between, Condition, Is, Within

CellTest: TypeAlias = Callable[[str], bool]


def cell_test(condition: Condition, *, several: bool) -> CellTest:
    """Return the test of a cell for a condition on its column. `several`: see Column; any token may pass."""
    if isinstance(condition, Is):
        return _is(condition, several)
    passes = _between(condition) if isinstance(condition, Between) else _within(condition)
    return (lambda cell: any(map(passes, cell.split()))) if several else passes


def _is(condition: Is, several: bool) -> CellTest:
    tokens = condition.tokens - {""}  # an empty cell has no token
    return (lambda cell: not tokens.isdisjoint(cell.split())) if several else tokens.__contains__


def _between(condition: Between) -> CellTest:
    low, high = condition.low or "", condition.high
    return lambda cell: cell != "" and low <= cell and (high is None or cell <= high)


def _within(condition: Within) -> CellTest:
    network = block(condition.cidr)
    is_v6 = network.version == 6
    return lambda cell: (":" in cell) == is_v6 and canonical_address(cell) == cell and network.covers(block(cell))
