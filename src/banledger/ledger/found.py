"""What is recorded of a ban under its id: the ban, a tombstone, damage, or nothing."""

from collections.abc import Sequence
from typing import TypeAlias

from banledger.ledger.ban import Ban, from_hash
from banledger.ledger.keys import Keyspace
from banledger.ledger.tombstone import Tombstone, is_tombstone, tombstone_of
from banledger.stores.api import Reader
from banledger.stores.fields import Damaged

Found: TypeAlias = Ban | Tombstone | Damaged | None
"""What the ledger has of a ban: the ban; that it was forgotten; a damaged hash; nothing."""


def read_bans(reader: Reader, keys: Keyspace, ids: Sequence[str]) -> list[Found]:
    """Return what is recorded of each id."""
    hashes = reader.hashes([keys.ban(id_) for id_ in ids])
    return [read_ban(id_, fields) for id_, fields in zip(ids, hashes, strict=True)]


def read_ban(id_: str, fields: dict[str, str]) -> Found:
    """Return what a hash records."""
    if not fields:
        return None
    try:
        return tombstone_of(id_, fields) if is_tombstone(fields) else from_hash(id_, fields)
    except Damaged as error:
        return error
