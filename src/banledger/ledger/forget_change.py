"""The changes that forget a ban, and that record a forgotten one again. Pure."""

from banledger.ledger.ban import PENDING, Ban, to_hash
from banledger.ledger.keys import Keyspace, whole_guard
from banledger.ledger.tokens import source_token
from banledger.ledger.tombstone import Tombstone, tombstone_hash
from banledger.stores.change import Change, Entries


def forgetting(keys: Keyspace, ban: Ban, now: float) -> Change:
    """Return the change that leaves a tombstone of a ban, and counts it as forgotten (UTC epoch `now`)."""
    after = _forgotten(keys, ban.id, "" if ban.origin == PENDING else source_token(ban.server, ban.jail))
    before, key = keys.entries(ban), keys.ban(ban.id)
    return Change(key, whole_guard(ban), tombstone_hash(now), before=before, after=after, whole=True)


def renaming(keys: Keyspace, ban: Ban, now: float, label: str) -> Change:
    """Return the change that leaves a tombstone of a ban that is recorded under another label (UTC epoch `now`)."""
    before, after = keys.entries(ban), Entries(ban.id)
    fields = tombstone_hash(now, label)
    return Change(keys.ban(ban.id), whole_guard(ban), fields, before=before, after=after, whole=True)


def revival(keys: Keyspace, tombstone: Tombstone, ban: Ban) -> Change:
    """Return the change that records a forgotten ban again, and counts it as forgotten no more."""
    before = _counted(keys, tombstone, source_token(ban.server, ban.jail))
    key, after = keys.ban(ban.id), keys.entries(ban)
    return Change(key, _as_it_is(tombstone), to_hash(ban), before=before, after=after, whole=True)


def removal(keys: Keyspace, tombstone: Tombstone, source: str) -> Change:
    """Return the change that removes a tombstone, whose ban is recorded under another id. `source`: its token."""
    before = _counted(keys, tombstone, source)
    return Change(keys.ban(tombstone.id), _as_it_is(tombstone), None, before=before, after=Entries(tombstone.id))


def _as_it_is(tombstone: Tombstone) -> dict[str, str | None]:
    return {**tombstone_hash(tombstone.at, tombstone.renamed)}


def _counted(keys: Keyspace, tombstone: Tombstone, source: str) -> Entries:
    return _forgotten(keys, tombstone.id, "" if tombstone.renamed else source)


def _forgotten(keys: Keyspace, id_: str, source: str) -> Entries:
    """Return the entries of the tombstone of a ban. `source`: its token; empty: the ban is not counted."""
    return Entries(id_, tallies=((keys.base(id_[:4]), source),) if source else ())
