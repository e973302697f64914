"""What the ancestor remembered of a network: `ipwhois` dictionaries, read into values of ours. Pure."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from banledger.block import block
from banledger.enrich.codes import country_code
from banledger.identity import canonical_address
from banledger.network import Network

SOURCE = "import"

_UPDATED = "%Y-%m-%dT%H:%M:%SZ"
_TEXT_MAX = 256
_ASN_MAX = 2**32 - 1
_RAW_MAX = 256 << 10
_REGISTRIES = {"ripencc": "ripe"}


def network_of(cidr: str, found: object) -> Network:
    """The record in an `ipwhois` RDAP dictionary kept for `cidr`. Raises ValueError with the reason."""
    network = canonical_address(cidr)
    if network is None:
        raise ValueError("its key names no network")
    if not isinstance(found, Mapping):
        raise ValueError("it is no dictionary")
    details = found.get("network")
    details = details if isinstance(details, Mapping) else {}
    registry = _text(found.get("asn_registry")) or ""
    raw = json.dumps(found, separators=(",", ":"), default=str).encode()
    return Network(
        cidrs=(block(network).cidr,),
        source=SOURCE,
        registry=_REGISTRIES.get(registry, registry),
        fetched=_moment(found.get("updated")),
        handle=_text(details.get("handle")),
        name=_text(details.get("name")),
        country=_country(details.get("country")) or _country(found.get("asn_country_code")),
        org=_text(found.get("asn_description")),
        abuse=next(_abuse(found.get("objects")), None),
        asn=_asn(found.get("asn")),
        raw=raw if len(raw) <= _RAW_MAX else b"",
    )


def _abuse(objects: object) -> Iterator[str]:
    """Mailboxes of who takes complaints."""
    for one in objects.values() if isinstance(objects, Mapping) else ():
        if isinstance(one, Mapping) and isinstance(one.get("roles"), list | tuple) and "abuse" in one["roles"]:
            contact: Any = one.get("contact")
            emails = contact.get("email") if isinstance(contact, Mapping) else None
            for email in emails if isinstance(emails, list | tuple) else ():
                if isinstance(email, Mapping) and (text := _text(email.get("value"))) and "@" in text:
                    yield text


def _text(value: object) -> str | None:
    return value.strip()[:_TEXT_MAX] or None if isinstance(value, str) else None


def _country(value: object) -> str | None:
    return country_code(value.strip().upper()) if isinstance(value, str) else None


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
        moment = int(datetime.strptime(value, _UPDATED).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise ValueError("when it was fetched is no date") from None
    if moment < 1:
        raise ValueError("when it was fetched is no date")
    return moment
