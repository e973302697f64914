"""What is known of networks, in memory: whose an address is, how well that is proven, and when to ask.

Theory of operation. A registry's answer covers its network only where no smaller one lies inside, and nobody can tell
without asking. So an answer proves a *cell*: the part of the network in the /24 (IPv6: /48) around the address that
was asked about. Another address of the same cell is *proven* too. One in another cell of the network *inherits* the
record, if it is near (in the same /20, IPv6 /44, as a proven cell of that record) and offline data says the same of
both; its cell is then to be asked about. Everywhere else nothing is believed, and the address *waits*.

An answer is `stale` after a while: it is still served, and asked for again. That registries know of no network is
remembered as long; a failure for as long as its cell says (`Cell.until`).
"""

from collections.abc import Callable, Iterator
from contextlib import suppress

from msgspec import Struct

from banledger.clock import is_fresh, left_s
from banledger.ledger.ban import INHERITED, NONE, PROVEN, STALE, WAITING
from banledger.ledger.network import Cell, Network, Outcome, cell_of, near_cells
from banledger.net.prefix import Block, block
from banledger.net.prefix_table import Table


class Known(Struct, frozen=True, gc=False):
    """What a ban needs of a network's record. `cidr`: the network, `record`: the first CIDR of its record."""

    cidr: str
    record: str
    country: str | None
    org: str | None


class _State(Struct, frozen=True, gc=False):
    """What came of asking about a cell. `record`: the first CIDR of the record that it proved."""

    asked: float
    until: float
    record: str | None
    asn: int | None
    tries: int
    nothing: bool


class Found(Struct, frozen=True):
    """What is known of an address. Times: UTC epoch seconds.

    standing  proven, inherited, stale, waiting or none (see `record.FIELDS`, whois)
    cell      what an answer about it would prove, as far as one knows
    known     its network; None if waiting or none
    asn       who announces it
    asked     when that was proven
    until     not to be asked about before (0: at once)
    tries     failures one after the other
    """

    standing: str
    cell: Block
    known: Known | None = None
    asn: int | None = None
    asked: float = 0.0
    until: float = 0.0
    tries: int = 0


class Cache:
    """Networks and cells. `alike`: whether offline data says the same of two blocks. Used by one thread."""

    def __init__(self, refresh_s: float, alike: Callable[[Block, Block], bool]) -> None:
        self._refresh_s = refresh_s
        self._alike = alike
        self._networks: Table[Known] = Table()
        self._cells: dict[tuple[int, int], _State] = {}
        self._texts: dict[str, str] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._networks = Table()
        self._cells.clear()
        self._texts.clear()

    def learn(self, network: Network) -> None:
        """Take a record in, in place of what its CIDRs had."""
        record = network.cidrs[0]
        for cidr in network.cidrs:
            own = record if cidr == record else cidr
            known = Known(own, record, self._same(network.country), self._same(network.org))
            self._networks.put(block(cidr), known)

    def forget(self, cidr: str) -> None:
        """There is no such network any more (or never was: it may be any text)."""
        with suppress(OSError, ValueError):
            self._networks.remove(block(cidr))

    def prove(self, cell: Cell) -> None:
        """Take in what came of asking."""
        there = block(cell.cidr)
        hit = self._networks.longest(there) if cell.result is Outcome.FOUND else None
        record = hit[1].record if hit else None
        nothing = cell.result is Outcome.NONE
        self._cells[_key(there)] = _State(cell.asked, cell.until, record, cell.asn, cell.tries, nothing)

    def inside_of(self, asked: Block, network: Block) -> Iterator[str]:
        """CIDRs of known networks around `asked` that are smaller than `network`."""
        for smaller, known in self._networks.around(asked):
            if smaller.prefix > network.prefix:
                yield known.cidr

    def find(self, asked: Block, now: float) -> Found:
        """What is known of an address or network (UTC epoch `now`)."""
        hit = self._networks.longest(asked)
        cell = cell_of(asked, hit[0] if hit else None)
        state = self._cells.get(_key(cell))
        if state is not None and state.nothing and left_s(state.until, now, self._refresh_s):
            return Found(NONE, cell, until=state.until)
        if hit is not None:
            if state is not None and state.record is not None:
                standing = PROVEN if is_fresh(state.asked, now, self._refresh_s) else STALE
                return Found(standing, cell, hit[1], state.asn, state.asked, state.until, state.tries)
            if (near := self._near(cell, hit[1])) is not None:
                return _waiting(INHERITED, cell, state, hit[1], near.asn)
        return _waiting(WAITING, cell, state)

    def _near(self, cell: Block, known: Known) -> _State | None:
        """A proven cell of the same record whose answer may stand for this one too."""
        for other in near_cells(cell):
            state = self._cells.get(_key(other))
            if state is not None and state.record == known.record and self._alike(cell, other):
                return state
        return None

    def _same(self, text: str | None) -> str | None:
        """One object for equal texts: thousands of networks have the same country, many the same owner."""
        return None if text is None else self._texts.setdefault(text, text)


def _waiting(
    standing: str, cell: Block, state: _State | None, known: Known | None = None, asn: int | None = None
) -> Found:
    return Found(standing, cell, known, asn, 0.0, state.until if state else 0.0, state.tries if state else 0)


def _key(cell: Block) -> tuple[int, int]:
    return cell.first << 1 | (cell.version == 6), cell.prefix
