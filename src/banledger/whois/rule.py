"""The rule of the cache: the network of an address, how well it is proven, and when to ask. Pure.

Theory of operation. A registry's answer covers its network only where no smaller one lies inside, and only another
look-up can tell. So an answer proves a *cell*: the part of the network in the /24 (IPv6: /48) around the address that
was looked up. Another address of the same cell is *proven* too. An address in another cell of the network *inherits*
the record if it is near (in the same /20, IPv6 /44, as a proven cell of that record) and offline data gives both the
same country; its cell is then looked up. Every other address *waits*.

An old answer is `stale`: it is still used, and looked up again. The answer that no registry has a network is kept as
long; a failure until its cell's `Cell.until`.

The same rule works over memory (`cache`, for the recorder) and over a store (`stored`, for `banledger whois`).
"""

from typing import Protocol

from msgspec import Struct

from banledger.clock import is_fresh, left_s
from banledger.ledger.ban import INHERITED, NONE, PROVEN, STALE, WAITING
from banledger.ledger.network import cell_of, near_cells
from banledger.net.prefix import Block


class KnownNetwork(Struct, frozen=True, gc=False):
    """The part of a network's record that a ban needs. `cidr`: the network, `record`: the first CIDR of its record."""

    cidr: str
    record: str
    country: str | None
    org: str | None


class CellState(Struct, frozen=True, gc=False):
    """The result of a cell's look-up. `record`: the first CIDR of the record that it proved."""

    asked: float
    until: float
    record: str | None
    asn: int | None
    tries: int
    nothing: bool


class Knowledge(Struct, frozen=True):
    """What is known about an address. Times: UTC epoch seconds.

    standing  proven, inherited, stale, waiting or none (see `ban.FIELDS`, whois)
    cell      the part that an answer would prove, as far as is known
    known     its network; None if waiting or none
    asn       autonomous system that announces it
    asked     when that was proven
    until     not to be looked up before (0: at once)
    tries     consecutive failures
    near      the proven cell from which it inherits
    """

    standing: str
    cell: Block
    known: KnownNetwork | None = None
    asn: int | None = None
    asked: float = 0.0
    until: float = 0.0
    tries: int = 0
    near: Block | None = None


class View(Protocol):
    """Networks and cells, in memory or in a store."""

    def longest(self, asked: Block) -> tuple[Block, KnownNetwork] | None:
        """The smallest known network around an address or network."""
        ...

    def states(self, cells: list[Block]) -> list[CellState | None]:
        """The result of each cell's look-up."""
        ...

    def alike(self, one: Block, other: Block) -> bool:
        """Whether offline data gives two blocks the same country."""
        ...


def find(view: View, asked: Block, now: float, refresh_s: float) -> Knowledge:
    """What is known about an address or network (UTC epoch `now`). `refresh_s`: how long an answer is fresh."""
    hit = view.longest(asked)
    cell = cell_of(asked, hit[0] if hit else None)
    (state,) = view.states([cell])
    if state is not None and state.nothing and left_s(state.until, now, refresh_s):
        return Knowledge(NONE, cell, until=state.until)
    if hit is not None:
        if state is not None and state.record is not None:
            standing = PROVEN if is_fresh(state.asked, now, refresh_s) else STALE
            return Knowledge(standing, cell, hit[1], state.asn, state.asked, state.until, state.tries)
        if (near := _near(view, cell, hit[1])) is not None:
            return _waiting(INHERITED, cell, state, hit[1], *near)
    return _waiting(WAITING, cell, state)


def _near(view: View, cell: Block, known: KnownNetwork) -> tuple[int | None, Block] | None:
    """Network and block of a near proven cell of the same record, whose answer this one may inherit."""
    near = list(near_cells(cell))
    for other, state in zip(near, view.states(near), strict=True):
        if state is not None and state.record == known.record and view.alike(cell, other):
            return state.asn, other
    return None


def _waiting(
    standing: str,
    cell: Block,
    state: CellState | None,
    known: KnownNetwork | None = None,
    asn: int | None = None,
    near: Block | None = None,
) -> Knowledge:
    until, tries = (state.until, state.tries) if state else (0.0, 0)
    return Knowledge(standing, cell, known, asn, 0.0, until, tries, near)
