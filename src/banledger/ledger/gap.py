"""The record of a gap, and its hash."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Struct

from banledger.ledger.hash_codec import MOMENT, TEXT, WHOLE, Field, HashCodec


class Gap(Struct, frozen=True):
    """Events that a writer lost, and the table of its hash's fields."""

    server: Annotated[str, Field(TEXT, "label of the server")]
    jail: Annotated[str, Field(TEXT, "jail of the line that reported it")]
    since: Annotated[float, Field(MOMENT, "when the writer could last write, UTC epoch seconds")]
    seen: Annotated[float, Field(MOMENT, "when it could write again, UTC epoch seconds")]
    bans: Annotated[int, Field(WHOLE, "number of lost bans")]
    others: Annotated[int, Field(WHOLE, "number of other lost events")]
    reason: Annotated[str, Field(TEXT, "why they were lost")]


_CODEC = HashCodec(Gap)

FIELDS = _CODEC.docs
"""The fields of a gap's hash, and what each holds."""


def to_hash(gap: Gap) -> dict[str, str]:
    """Return the gap's hash."""
    return _CODEC.to_hash(gap)


def from_hash(fields: Mapping[str, str]) -> Gap:
    """Return the gap with that hash. Raises `fields.Damaged`, a ValueError."""
    return Gap(*_CODEC.values(fields))
