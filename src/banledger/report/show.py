"""Everything the ledger has about one address, network, id or text."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from math import inf
from types import MappingProxyType
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from banledger.ledger.ban import IMPORTED, PENDING, Ban
from banledger.ledger.ids import newest_first
from banledger.ledger.network import Network
from banledger.ledger.progress import Progress, silent
from banledger.ledger.reader import LedgerReader
from banledger.ledger.tokens import token
from banledger.ledger.tombstone import Tombstone
from banledger.net.address import canonical_address
from banledger.net.prefix import Block, block
from banledger.net.special import kind_of
from banledger.report.answers import Shown
from banledger.stores.id_form import has_id_form
from banledger.stores.pages import pages

_PROBED = 4096  # addresses of a network that are looked up one by one
_SAID_EVERY = 500  # bans


Stopped: TypeAlias = Mapping[tuple[str, str], float]
"""Stopped sources, (server, jail), with the time of the stop (UTC epoch seconds). See `LedgerReader.stopped`."""

NONE_STOPPED: Stopped = MappingProxyType({})


class Phase(StrEnum):
    """States of a ban: in force until a time or for ever, ran out, lifted, gone, or its jail stopped."""

    UNTIL = "banned"
    FOR_EVER = "banned for ever"
    RAN_OUT = "ran out"
    LIFTED = "lifted"
    ENDED = "gone"
    STOPPED = "fail2ban stopped"


class State(Struct, frozen=True):
    """The state of a ban, and since or until when (UTC epoch seconds; None: for ever, or unknown)."""

    phase: Phase
    at: float | None

    @property
    def in_force(self) -> bool:
        """Whether it is banned."""
        return self.phase in (Phase.UNTIL, Phase.FOR_EVER)


def state_of(ban: Ban, now: float, stopped: Stopped = NONE_STOPPED) -> State:
    """The state of a ban at `now`."""
    if ban.unbanned is not None:
        return State(Phase.LIFTED, ban.unbanned)
    if ban.ended is not None:
        return State(Phase.ENDED, ban.ended)
    if ban.expires <= now < inf:
        return State(Phase.RAN_OUT, ban.expires if ban.bantime or ban.origin != IMPORTED else None)
    if not ban.open:  # imported, and never reported as held by fail2ban
        return State(Phase.ENDED, ban.seen)
    if (ban.server, ban.jail) in stopped:
        return State(Phase.STOPPED, stopped[ban.server, ban.jail])
    return State(Phase.FOR_EVER, None) if ban.expires == inf else State(Phase.UNTIL, ban.expires)


def show(ledger: LedgerReader, asked: str, now: float, progress: Progress = silent) -> Shown:
    """What the ledger has about an address, a network, a ban's id or any other text (UTC epoch `now`)."""
    address = canonical_address(asked.strip())
    if address is not None:
        kind = "network" if "/" in address else "address"
        values = _with_bans(ledger, "ip", _related(ledger, block(address), progress))
        shown = _shown(ledger, address, kind, "ip", values)
        return replace(shown, networks=_networks(ledger, address, now))
    found = ledger.bans_or_damage([asked])[0] if has_id_form(asked) else None
    if isinstance(found, Ban) and found.origin != PENDING:
        return Shown(asked, "ban", ((asked, 1),), (found,))
    if isinstance(found, Tombstone):
        return Shown(asked, "ban", (), (), forgotten=found.at, renamed=found.renamed)
    return _shown(ledger, asked, "id", "id", _with_bans(ledger, "id", [token(asked)]))


def _networks(ledger: LedgerReader, asked: str, now: float) -> tuple[Network, ...]:
    from banledger.whois.stored import named  # other reports start without it

    if kind_of(block(asked)) or not named(ledger.networks, asked, now):
        return ()
    return tuple(ledger.networks.around(asked))


def _shown(ledger: LedgerReader, asked: str, kind: str, dimension: str, values: dict[str, int]) -> Shown:
    ids = newest_first({id_ for tok in values for id_ in ledger.ids(dimension, tok)})
    bans = [ban for page in pages(ids) for ban in ledger.bans(page) if ban is not None]
    named = [(asked if dimension == "id" else tok, size) for tok, size in values.items()]
    return Shown(asked, kind, tuple(named), tuple(bans))


def _with_bans(ledger: LedgerReader, dimension: str, toks: Iterator[str] | Sequence[str]) -> dict[str, int]:
    listed = list(dict.fromkeys(toks))
    sizes = ledger.sizes(dimension, listed)
    return {tok: size for tok, size in zip(listed, sizes, strict=True) if size}


def _related(ledger: LedgerReader, asked: Block, progress: Progress) -> Iterator[str]:
    """Values that may have bans: `asked`, networks around it, addresses and networks inside it."""
    for prefix in range(asked.prefix, -1, -1):
        yield asked.at(prefix).text
    if 1 << asked.host_bits <= _PROBED:
        yield from _parts(asked)
    else:
        yield from _ranked_inside(ledger, asked, progress)


def _parts(asked: Block) -> Iterator[str]:
    """Every network and address inside a small one."""
    for prefix in range(asked.prefix + 1, asked.prefix + asked.host_bits + 1):
        size = 1 << (asked.prefix + asked.host_bits - prefix)
        for number in range(1 << (prefix - asked.prefix)):
            yield Block(asked.version, asked.first + number * size, prefix).text


def _ranked_inside(ledger: LedgerReader, asked: Block, progress: Progress) -> list[str]:
    """Return the values inside a large network, those with most bans first."""
    total = ledger.distinct("ip")
    found = []
    for number, (tok, bans) in enumerate(ledger.values("ip"), 1):
        if canonical_address(tok[:64]) == tok and asked.covers(block(tok)):
            found.append((bans, tok))
        if number % _SAID_EVERY == 0:
            progress("addresses", number, total)
    return [tok for _, tok in sorted(found, reverse=True)]
