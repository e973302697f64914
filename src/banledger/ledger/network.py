"""What is known of a network: the record that a registry keeps of it, and the answer to a look-up."""

import base64
import zlib
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from banledger.clock import AHEAD_S, left_s
from banledger.net.address import canonical_address
from banledger.net.prefix import Block, block
from banledger.spool.events import VERSION, NetworkLine
from banledger.stores import fields as read

MOST_CIDRS = 64
"""A record has at most so many CIDRs here; the one that was asked about is among them."""

SHORTEST = {4: 8, 6: 16}
"""Prefix lengths of the largest networks that registries describe; what is larger is their own."""

_RAW_MOST = 1 << 20


class Network(Struct, frozen=True, kw_only=True):
    """A network as a registry, or another source, describes it. Unknown values are None. Times: UTC epoch seconds.

    cidrs       its CIDRs, canonical with prefix length, at least one, none inside another
    source      `rdap`, `cymru` (DNS: prefix, ASN and country only), `import` (from another record of the past)
    registry    whose answer it is: `arin`, `ripe`, `apnic`, `lacnic`, `afrinic`, or a national one's host name
    fetched     when
    country     ISO 3166 code of the registration
    org         organisation it is registered to; `abuse`: mailbox for complaints
    asn         autonomous system that announces it, as far as one was asked for
    registered  date of registration, `changed`: of the last change; ISO 8601, as the registry says
    remarks     lines of text
    raw         the whole answer, JSON as it came; empty where there is none
    """

    cidrs: tuple[str, ...]
    source: str
    registry: str
    fetched: float
    handle: str | None = None
    name: str | None = None
    country: str | None = None
    org: str | None = None
    abuse: str | None = None
    asn: int | None = None
    registered: str | None = None
    changed: str | None = None
    remarks: tuple[str, ...] = ()
    raw: bytes = b""

    def around(self, asked: Block) -> Block | None:
        """The smallest of its CIDRs that covers all of `asked`."""
        return smallest_around(asked, map(block, self.cidrs))


class Outcome(StrEnum):
    """How a look-up ended.

    found    with a network
    none     no registry has a network there (a placeholder or 404 likewise)
    limited  the registry asks us to wait (429, 503, LACNIC's notice)
    failed   anything else: unreachable, too slow, too large, not what was asked for
    """

    FOUND = "found"
    NONE = "none"
    LIMITED = "limited"
    FAILED = "failed"


class Answer(Struct, frozen=True, kw_only=True):
    """What a look-up of one address came to.

    address   as asked, canonical
    registry  the name of the registry that was asked first
    by        the name of the one that answered in the end, or did not: another sent us on to it
    network   if `outcome` is found
    asn       origin of the announced `prefix` (a CIDR) around the address, where that was asked for and is known
    retry_s   how long the registry wants to be left alone, seconds; 0: it did not say
    problem   what went wrong, for people; hostile text is possible in it
    """

    address: str
    registry: str
    outcome: Outcome
    network: Network | None = None
    asn: int | None = None
    prefix: str | None = None
    retry_s: float = 0.0
    problem: str = ""
    by: str = ""


_REACH = {4: 20, 6: 44}
CELL_PREFIX = {4: 24, 6: 48}
"""How large a cell is at most, by IP version."""


def cell_of(asked: Block, network: Block | None) -> Block:
    """The cell that an answer about `asked` proves, if `network` (None: unknown) is what it says."""
    prefix = min(CELL_PREFIX[asked.version], asked.prefix)
    return asked.at(prefix if network is None else max(network.prefix, prefix))


def smallest_around(asked: Block, networks: Iterable[Block]) -> Block | None:
    """The smallest of these that covers all of `asked`."""
    return max((there for there in networks if there.covers(asked)), key=lambda there: there.prefix, default=None)


def near_cells(cell: Block) -> Iterator[Block]:
    """The cells of full size that are near: in the same /20 (IPv6: /44). None if the cell is wider than that."""
    size, reach = CELL_PREFIX[cell.version], _REACH[cell.version]
    if cell.prefix >= reach:
        first, step = cell.at(reach).first, 1 << cell.at(size).host_bits
        yield from (Block(cell.version, first + number * step, size) for number in range(1 << size - reach))


LONGEST_PAUSE_S = 7 * 86_400.0
"""No registry is left alone for longer, whatever it says."""


class Pause(Struct, frozen=True):
    """How long a registry is to be left alone: `until` (UTC epoch), which was `length_s` away when it was said."""

    until: float
    length_s: float = LONGEST_PAUSE_S

    def left_s(self, now: float) -> float:
        """Seconds left (UTC epoch `now`); 0: none, or it was said by a clock that was wrong."""
        return left_s(self.until, now, min(self.length_s, LONGEST_PAUSE_S))


class Cell(Struct, frozen=True, kw_only=True):
    """What came of asking about an address: it holds for the whole cell (see `enrich.cache`). Times: UTC epoch.

    cidr     the cell, canonical with prefix length
    network  the CIDR that it lies in, if `result` is found
    until    not to ask again before, if it is not; `tries`: failures one after the other
    problem  what went wrong; hostile text is possible in it
    """

    cidr: str
    asked: float
    result: Outcome
    network: str | None = None
    asn: int | None = None
    until: float = 0.0
    tries: int = 0
    problem: str = ""


# The line of a network.


def line_of(network: Network, *, about: str, seen: float, server: str, writer: str) -> dict[str, Any]:
    """The spool's line, but for its number: `writer` says which command it is from."""
    fields = {name: value for name in (*_TEXTS, "asn", "remarks") if (value := getattr(network, name))}
    head = {"v": VERSION, "kind": "network", "seen": seen, "server": server, "jail": writer, "about": about}
    head |= {"cidrs": network.cidrs, "source": network.source, "registry": network.registry}
    return head | {"fetched": network.fetched, **fields} | ({"raw": packed(network.raw)} if network.raw else {})


def of_line(line: NetworkLine) -> tuple[Network, tuple[Cell, ...]]:
    """The network that a line is about, and the cells that it proves. Raises ValueError if it makes no sense."""
    blocks = [block(cidr) for text in line.cidrs if (cidr := canonical_address(text))]
    if len(blocks) != len(line.cidrs) or any(there.prefix < SHORTEST[there.version] for there in blocks):
        raise ValueError("a cidr is no network of a registry")
    if line.fetched > line.seen + AHEAD_S:  # both by the writer's clock; ours may be wrong
        raise ValueError("it was fetched after it was written")
    network = Network(
        cidrs=tuple(there.cidr for there in blocks),
        source=line.source,
        registry=line.registry,
        fetched=line.fetched,
        asn=line.asn or None,
        remarks=line.remarks,
        raw=unpacked(line.raw) if line.raw else b"",
        **{name: getattr(line, name) or None for name in _TEXTS},
    )
    return network, tuple(_proven(line, blocks))


def _proven(line: NetworkLine, blocks: list[Block]) -> Iterator[Cell]:
    """The cell of the address that was asked about; without one, networks that are no larger than a cell."""
    about = canonical_address(line.about)
    asked = [block(about)] if about else [there for there in blocks if there.prefix >= CELL_PREFIX[there.version]]
    for one in asked:
        if own := smallest_around(one, blocks):
            cidr, asn = cell_of(one, own).cidr, line.asn or None
            yield Cell(cidr=cidr, asked=line.fetched, result=Outcome.FOUND, network=own.cidr, asn=asn)


# The hash of a network: text for text.

FIELDS = {
    "cidrs": "all CIDRs of the record, with a blank between",
    "source": "`rdap`, `cymru` (DNS), `import` (from another record of the past)",
    "registry": "whose answer it is: `arin`, `ripe`, `apnic`, `lacnic`, `afrinic`, or a host name",
    "fetched": "when, UTC epoch seconds",
    "handle": "the registry's handle",
    "name": "name of the network",
    "country": "ISO 3166 code of the registration",
    "org": "organisation it is registered to",
    "abuse": "mailbox for complaints",
    "asn": "autonomous system that announces it",
    "registered": "date of registration, ISO 8601",
    "changed": "date of the last change, ISO 8601",
    "remarks": "JSON array of text",
    "raw": "the whole answer as the registry gave it: JSON, compressed (zlib), base64; only with the first of `cidrs`",
}
"""Every field of a network's hash and what it holds. Absent values have no field."""

_TEXTS = ("handle", "name", "country", "org", "abuse", "registered", "changed")


def to_hash(network: Network, *, raw: bool = True) -> dict[str, str]:
    """The network's hash, with or without the whole answer."""
    fields = {
        "cidrs": " ".join(network.cidrs),
        "source": network.source,
        "registry": network.registry,
        "fetched": f"{network.fetched:.0f}",
    }
    fields |= {name: value for name in _TEXTS if (value := getattr(network, name))}
    if network.asn is not None:
        fields["asn"] = str(network.asn)
    if network.remarks:
        fields["remarks"] = msgspec.json.encode(network.remarks).decode()
    if raw and network.raw:
        fields["raw"] = packed(network.raw)
    return fields


def from_hash(fields: dict[str, str]) -> Network:
    """The network whose hash has `fields`. Raises `fields.Damaged`, a ValueError, if they are no network's."""
    cidrs = tuple(read.required(fields, "cidrs").split(" ", MOST_CIDRS))
    if not all(map(read.is_cidr, cidrs)):
        raise read.Damaged("cidrs", "are no networks")
    return Network(
        cidrs=cidrs,
        source=read.word(fields, "source") or read.required(fields, "source"),
        registry=read.required(fields, "registry") and (read.word(fields, "registry") or ""),  # of an import: empty
        fetched=read.moment(fields, "fetched"),
        asn=read.whole_or_none(fields, "asn"),
        remarks=read.texts(fields, "remarks"),
        raw=_raw(fields) if "raw" in fields else b"",
        **{name: read.text(fields, name) for name in _TEXTS},
    )


def _raw(fields: dict[str, str]) -> bytes:
    try:
        return unpacked(read.required(fields, "raw"))
    except ValueError as error:
        raise read.Damaged("raw", "is no compressed answer") from error


# The hash of a cell.

CELL_FIELDS = {
    "asked": "when, UTC epoch seconds",
    "result": "`found`, `none` (no registry has a network there), `failed`",
    "network": "CIDR of the network that it is in",
    "asn": "autonomous system that announces it",
    "until": "not to be asked about again before, UTC epoch seconds",
    "tries": "failures one after the other",
    "problem": "what went wrong",
}
"""Every field of a cell's hash and what it holds. Absent values have no field."""

_OUTCOMES = frozenset(map(str, Outcome))


def cell_to_hash(cell: Cell) -> dict[str, str]:
    """The cell's hash."""
    fields = {"asked": f"{cell.asked:.0f}", "result": str(cell.result)}
    fields |= {name: str(value) for name in ("network", "asn", "tries", "problem") if (value := getattr(cell, name))}
    if cell.until:
        fields["until"] = f"{cell.until:.0f}"
    return fields


def cell_from_hash(cidr: str, fields: dict[str, str]) -> Cell:
    """The cell whose hash has `fields`. Raises `fields.Damaged`, a ValueError, if they are no cell's."""
    return Cell(
        cidr=cidr,
        asked=read.moment(fields, "asked"),
        result=Outcome(read.one_of(fields, "result", _OUTCOMES)),
        network=read.cidr(fields, "network"),
        asn=read.whole_or_none(fields, "asn"),
        until=read.moment(fields, "until") if "until" in fields else 0.0,
        tries=read.whole(fields, "tries") if "tries" in fields else 0,
        problem=read.text(fields, "problem") or "",
    )


def packed(raw: bytes) -> str:
    """An answer as text, compressed."""
    return base64.b64encode(zlib.compress(raw, 6)).decode("ascii")


def unpacked(text: str) -> bytes:
    """The answer in that text. Raises ValueError for what is none, or unfolds to more than 1 MiB."""
    try:
        machine = zlib.decompressobj()
        raw = machine.decompress(base64.b64decode(text, validate=True), _RAW_MOST)
    except zlib.error as error:
        raise ValueError(f"not compressed: {error}") from error
    if machine.unconsumed_tail:
        raise ValueError("it unfolds to too much")
    return raw
