"""Convert the predecessor's networks, `ipwhois` dictionaries, into our values. Pure.

A record is filed under the network that its answer names, not under its key: otherwise anyone who may write keys could
assign any network to anyone. The key counts only if the answer names no network.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from banledger.clock import is_future
from banledger.geo.countries import is_country
from banledger.ledger.network import MOST_CIDRS, SHORTEST, Network, smallest_around
from banledger.net.address import canonical_address
from banledger.net.prefix import Block, block, blocks_between
from banledger.whois.rdap.vcard import text

SOURCE = "import"

_UPDATED = "%Y-%m-%dT%H:%M:%SZ"
_CIDR_MAX = 64
_LISTED_MAX = 8192
_ASN_MAX = 2**32 - 1
_RAW_MAX = 256 << 10
_REGISTRIES = {"ripencc": "ripe"}

Fields = Mapping[Any, Any]


def network_of(key: str, found: object, now: float) -> Network:
    """Convert an `ipwhois` RDAP dictionary from the key `cidr:<key>`; UTC epoch `now`.

    Raises ValueError with one of a few reasons.
    """
    filed = _block(key)
    if filed is None:
        raise ValueError("its key is not a network")
    if not isinstance(found, Mapping):
        raise ValueError("it is not a dictionary")
    details = found.get("network")
    details = details if isinstance(details, Mapping) else {}
    registry = text(found.get("asn_registry")) or ""
    return Network(
        cidrs=tuple(one.cidr for one in _cidrs(details, found.get("query"), filed)),
        source=SOURCE,
        registry=_REGISTRIES.get(registry, registry),
        fetched=_moment(found.get("updated"), now),
        handle=text(details.get("handle")),
        name=text(details.get("name")),
        country=_country(details.get("country")) or _country(found.get("asn_country_code")),
        org=text(found.get("asn_description")),
        abuse=next(_abuse(found.get("objects")), None),
        asn=_asn(found.get("asn")),
        raw=_whole(found),
    )


# The network.


def _cidrs(details: Fields, query: object, filed: Block) -> list[Block]:
    """The CIDRs of the answer, in order, or the key's if it names none. Raises ValueError."""
    asked = None if query is None else _block(query)
    if query is not None and asked is None:
        raise ValueError("it does not name the address that was looked up")
    blocks = _without_inner(_listed(details) or _between(details) or [filed])
    own = smallest_around(asked or filed, blocks)
    if asked is not None and own is None:
        raise ValueError("its network does not contain the address that was looked up")
    if any(one.prefix < SHORTEST[one.version] for one in blocks):
        raise ValueError("its network is larger than any registry assigns")
    first = [own] if own else []
    return sorted([*first, *(one for one in blocks if one != own)][:MOST_CIDRS], key=_order)


def _listed(details: Fields) -> list[Block]:
    """The field `cidr`: networks separated by commas. Raises ValueError for an invalid one."""
    listed = details.get("cidr")
    if not isinstance(listed, str) or not listed.strip():
        return []
    blocks = [_block(one) for one in listed[: _LISTED_MAX + 1].split(",")]
    if len(listed) > _LISTED_MAX or None in blocks:
        raise ValueError("its network is invalid")
    return [one for one in blocks if one is not None]


def _between(details: Fields) -> list[Block]:
    """The CIDRs from its first to its last address. Raises ValueError if that is not a range."""
    first, last = _block(details.get("start_address")), _block(details.get("end_address"))
    if first is None or last is None:
        return []
    if first.host_bits or last.host_bits or first.version != last.version or last.first < first.first:
        raise ValueError("its network is invalid")
    return list(blocks_between(first.text, last.text))


def _without_inner(blocks: list[Block]) -> list[Block]:
    """Blocks that lie in no other, each once, in order."""
    kept: list[Block] = []
    for one in sorted(blocks, key=_order):
        if not (kept and kept[-1].covers(one)):
            kept.append(one)
    return kept


def _order(one: Block) -> tuple[int, int, int]:
    return one.version, one.first, one.prefix


def _block(value: object) -> Block | None:
    """The address or network in a text."""
    if not isinstance(value, str) or len(value) > _CIDR_MAX:
        return None
    canonical = canonical_address(value.strip())
    return block(canonical) if canonical else None


# Other fields.


def _whole(found: Fields) -> bytes:
    """The whole answer as JSON; empty if it is too large or not serialisable. Stops at the limit."""
    pieces, size = [], 0
    try:
        for piece in json.JSONEncoder(separators=(",", ":"), allow_nan=False).iterencode(found):
            pieces.append(piece)
            size += len(piece)
            if size > _RAW_MAX:
                return b""
    except (TypeError, ValueError):
        return b""
    return "".join(pieces).encode("ascii")


def _abuse(objects: object) -> Iterator[str]:
    """Abuse mailboxes."""
    for one in objects.values() if isinstance(objects, Mapping) else ():
        if isinstance(one, Mapping) and isinstance(one.get("roles"), list | tuple) and "abuse" in one["roles"]:
            contact: Any = one.get("contact")
            emails = contact.get("email") if isinstance(contact, Mapping) else None
            for email in emails if isinstance(emails, list | tuple) else ():
                if isinstance(email, Mapping) and (mailbox := text(email.get("value"))) and "@" in mailbox:
                    yield mailbox


def _country(value: object) -> str | None:
    code = value.strip().upper() if isinstance(value, str) else ""
    return code if is_country(code) else None


def _asn(value: object) -> int | None:
    """The AS number, which `ipwhois` keeps as text; the first of several, for a network announced twice."""
    first = (value[:256].split() or [""])[0] if isinstance(value, str) else ""
    if not (first.isascii() and first.isdecimal() and len(first) <= 10):
        return None
    return int(first) if 0 < int(first) <= _ASN_MAX else None


def _moment(value: object, now: float) -> int:
    if not isinstance(value, str):
        raise ValueError("it has no fetch date")
    try:
        moment = int(datetime.strptime(value, _UPDATED).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise ValueError("its fetch date is invalid") from None
    if moment < 1:
        raise ValueError("its fetch date is invalid")
    if is_future(moment, now):
        raise ValueError("it was fetched in the future")
    return moment
