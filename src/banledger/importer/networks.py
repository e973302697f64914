"""What the ancestor remembered of a network: `ipwhois` dictionaries, read into values of ours. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct

from banledger.identity import canonical_address
from banledger.record import is_country

_UPDATED = "%Y-%m-%dT%H:%M:%SZ"
_TEXT_MAX = 256
_ASN_MAX = 2**32 - 1


class NetworkRecord(Struct, frozen=True):
    """A network as a registry described it. Absent values are None; `updated` is when, UTC epoch seconds."""

    cidr: str
    name: str | None
    country: str | None
    asn: int | None
    registry: str | None
    description: str | None
    updated: int


def network_of(cidr: str, found: object) -> NetworkRecord:
    """The record in an `ipwhois` RDAP dictionary kept for `cidr`. Raises ValueError with the reason."""
    network = canonical_address(cidr)
    if network is None:
        raise ValueError("its key names no network")
    if not isinstance(found, Mapping):
        raise ValueError("it is no dictionary")
    details = found.get("network")
    details = details if isinstance(details, Mapping) else {}
    return NetworkRecord(
        cidr=network,
        name=_text(details.get("name")),
        country=_country(details.get("country")) or _country(found.get("asn_country_code")),
        asn=_asn(found.get("asn")),
        registry=_text(found.get("asn_registry")),
        description=_text(found.get("asn_description")),
        updated=_moment(found.get("updated")),
    )


def _text(value: object) -> str | None:
    return value.strip()[:_TEXT_MAX] or None if isinstance(value, str) else None


def _country(value: object) -> str | None:
    code = value.strip().upper() if isinstance(value, str) else ""
    return code if is_country(code) else None


def _asn(value: object) -> int | None:
    """`ipwhois` keeps it as text; several, for a network announced twice, stand beside each other: the first."""
    first = (value.split() or [""])[0] if isinstance(value, str) else ""
    if not (first.isascii() and first.isdecimal() and len(first) <= 10):
        return None
    return int(first) if 0 < int(first) <= _ASN_MAX else None


def _moment(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("it does not say when it was fetched")
    try:
        return int(datetime.strptime(value, _UPDATED).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise ValueError("when it was fetched is no date") from None
