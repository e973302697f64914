"""Networks, cells and answers: a registry's record of a network, and the result of a look-up."""

import base64
import zlib
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from banledger.clock import left_s
from banledger.ledger.hash_codec import CIDR, SECONDS, TEXTS, WHOLE, Field, Form, HashCodec, optional
from banledger.net.prefix import Block, block
from banledger.stores import fields as read

MOST_CIDRS = 64
"""Maximum number of CIDRs of a record; the one that was looked up is among them."""

SHORTEST = {4: 8, 6: 16}
"""Prefix lengths of the largest networks that registries describe; larger ones are the registries' own."""

_RAW_MOST = 1 << 20


def packed(raw: bytes) -> str:
    """Return an answer as compressed text."""
    return base64.b64encode(zlib.compress(raw, 6)).decode("ascii")


def unpacked(text: str) -> bytes:
    """Return the answer in a compressed text. Raises ValueError if the text is invalid, or the answer exceeds 1 MiB."""
    try:
        machine = zlib.decompressobj()
        raw = machine.decompress(base64.b64decode(text, validate=True), _RAW_MOST)
    except zlib.error as error:
        raise ValueError(f"not compressed: {error}") from error
    if machine.unconsumed_tail:
        raise ValueError("too large")
    return raw


def _read_cidrs(fields: Mapping[str, str], name: str) -> tuple[str, ...]:
    cidrs = tuple(read.required(fields, name).split(" ", MOST_CIDRS))
    if not all(map(read.is_cidr, cidrs)):
        raise read.Damaged(name, "is not a list of networks")
    return cidrs


def _read_word(fields: Mapping[str, str], name: str) -> str:
    return read.word(fields, name) or read.required(fields, name)


def _read_registry(fields: Mapping[str, str], name: str) -> str:
    return read.required(fields, name) and (read.word(fields, name) or "")  # imported networks: empty


def _read_raw(fields: Mapping[str, str], name: str) -> bytes:
    try:
        return unpacked(read.required(fields, name))
    except ValueError as error:
        raise read.Damaged(name, "is not a compressed answer") from error


_TEXT = optional(Form(read.text))


class Network(Struct, frozen=True, kw_only=True):
    """A network as described by a registry or another program, and the table of its hash's fields.

    Unknown values are None. `cidrs`: canonical with prefix length, at least one, none inside another.
    """

    cidrs: Annotated[
        tuple[str, ...], Field(Form(_read_cidrs, " ".join), "all CIDRs of the record, separated by blanks")
    ]
    source: Annotated[str, Field(Form(_read_word), "`rdap`, `cymru` (DNS), `import` (imported from another program)")]
    registry: Annotated[
        str,
        Field(
            Form(_read_registry),
            "registry that answered: `arin`, `ripe`, `apnic`, `lacnic`, `afrinic`, or a host name",
        ),
    ]
    fetched: Annotated[float, Field(SECONDS, "time of the answer, UTC epoch seconds")]
    handle: Annotated[str | None, Field(_TEXT, "the registry's handle")] = None
    name: Annotated[str | None, Field(_TEXT, "name of the network")] = None
    country: Annotated[str | None, Field(_TEXT, "ISO 3166 code of the registration")] = None
    org: Annotated[str | None, Field(_TEXT, "organisation of the registration")] = None
    abuse: Annotated[str | None, Field(_TEXT, "abuse mailbox")] = None
    asn: Annotated[int | None, Field(optional(WHOLE), "autonomous system that announces it")] = None
    registered: Annotated[str | None, Field(_TEXT, "date of registration, ISO 8601")] = None
    changed: Annotated[str | None, Field(_TEXT, "date of the last change, ISO 8601")] = None
    remarks: Annotated[tuple[str, ...], Field(TEXTS, "JSON array of text")] = ()
    raw: Annotated[
        bytes,
        Field(
            optional(Form(_read_raw, packed), b""),
            "the whole answer as the registry gave it: JSON, compressed (zlib), base64; only with the first of `cidrs`",
        ),
    ] = b""

    def around(self, asked: Block) -> Block | None:
        """Return the smallest of its CIDRs that covers all of `asked`."""
        return smallest_around(asked, map(block, self.cidrs))


class Outcome(StrEnum):
    """How a look-up ended.

    found    with a network
    none     no registry has a network there (also: a placeholder, or 404)
    limited  the registry asks for a pause (429, 503, LACNIC's notice)
    failed   anything else: unreachable, too slow, too large, or an answer about another network
    """

    FOUND = "found"
    NONE = "none"
    LIMITED = "limited"
    FAILED = "failed"


def _read_outcome(fields: Mapping[str, str], name: str) -> Outcome:
    return Outcome(read.one_of(fields, name, _OUTCOMES))


_OUTCOMES = frozenset(map(str, Outcome))
_OUTCOME = Form(_read_outcome, str)


class Answer(Struct, frozen=True, kw_only=True):
    """The result of a look-up of one address.

    address   the address, canonical
    registry  the name of the registry that was asked first
    by        the name of the registry that was asked last, after redirects
    network   if `outcome` is found
    asn       origin of the announced `prefix` (a CIDR) around the address, if asked for and known
    retry_s   the pause that the registry asked for, seconds; 0: none
    problem   the problem, for people; may contain hostile text
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
"""Prefix lengths of the largest cells, by IP version."""


def cell_of(asked: Block, network: Block | None) -> Block:
    """Return the cell that an answer about `asked` with this network (None: unknown) proves."""
    prefix = min(CELL_PREFIX[asked.version], asked.prefix)
    return asked.at(prefix if network is None else max(network.prefix, prefix))


def smallest_around(asked: Block, networks: Iterable[Block]) -> Block | None:
    """Return the smallest of these networks that covers all of `asked`."""
    return max((there for there in networks if there.covers(asked)), key=lambda there: there.prefix, default=None)


def near_cells(cell: Block) -> Iterator[Block]:
    """Return the near cells of full size: those in the same /20 (IPv6: /44). None for a cell wider than that."""
    size, reach = CELL_PREFIX[cell.version], _REACH[cell.version]
    if cell.prefix >= reach:
        first, step = cell.at(reach).first, 1 << cell.at(size).host_bits
        yield from (Block(cell.version, first + number * step, size) for number in range(1 << size - reach))


LONGEST_PAUSE_S = 7 * 86_400.0
"""The longest pause, even if a registry asks for more."""


class Pause(Struct, frozen=True):
    """A pause that a registry asked for: its end (UTC epoch), and its length when it was recorded."""

    until: float
    length_s: float = LONGEST_PAUSE_S

    def left_s(self, now: float) -> float:
        """Return the seconds left at `now` (UTC epoch); 0: the pause is over, or was recorded by a wrong clock."""
        return left_s(self.until, now, min(self.length_s, LONGEST_PAUSE_S))


class Cell(Struct, frozen=True, kw_only=True):
    """The result of a look-up, which holds for the whole cell; and the table of its hash's fields.

    cidr     the cell, canonical with prefix length
    network  the CIDR of the network around it, if `result` is found
    problem  may contain hostile text
    """

    cidr: str
    asked: Annotated[float, Field(SECONDS, "time of the answer, UTC epoch seconds")]
    result: Annotated[Outcome, Field(_OUTCOME, "`found`, `none` (no registry has a network), `failed`")]
    network: Annotated[str | None, Field(optional(CIDR), "CIDR of its network")] = None
    asn: Annotated[int | None, Field(optional(WHOLE), "autonomous system that announces it")] = None
    until: Annotated[float, Field(optional(SECONDS, 0.0), "not looked up again before, UTC epoch seconds")] = 0.0
    tries: Annotated[int, Field(optional(WHOLE, 0), "consecutive failures")] = 0
    problem: Annotated[str, Field(optional(Form(read.text), ""), "last failure")] = ""


_NETWORK, _CELL = HashCodec(Network), HashCodec(Cell)
FIELDS, CELL_FIELDS = _NETWORK.docs, _CELL.docs
"""The fields of a network's and of a cell's hash, and what each holds. Absent values have no field."""


def to_hash(network: Network, *, raw: bool = True) -> dict[str, str]:
    """Return the network's hash, with or without the whole answer."""
    return _NETWORK.to_hash(network if raw else replace(network, raw=b""))


def from_hash(fields: dict[str, str]) -> Network:
    """Return the network with that hash. Raises `fields.Damaged`, a ValueError."""
    return Network(**dict(zip(_NETWORK.fields, _NETWORK.values(fields), strict=True)))


def cell_to_hash(cell: Cell) -> dict[str, str]:
    """Return the cell's hash."""
    return _CELL.to_hash(cell)


def cell_from_hash(cidr: str, fields: dict[str, str]) -> Cell:
    """Return the cell with that hash. Raises `fields.Damaged`, a ValueError."""
    return Cell(cidr=cidr, **dict(zip(_CELL.fields, _CELL.values(fields), strict=True)))
