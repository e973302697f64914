"""One parser for each kind of hash, by the first words of its key. See `key_table.kinds_of_keys`."""

import re
from collections.abc import Callable, Mapping

from banledger.ledger import import_count
from banledger.ledger.ban import from_hash
from banledger.ledger.forget_request import parsed_requests
from banledger.ledger.gap import from_hash as gap_from_hash
from banledger.ledger.heartbeat import parsed as parsed_heartbeat
from banledger.ledger.ids import is_id_of
from banledger.ledger.keys import Keyspace
from banledger.ledger.networks import parsed_cell, parsed_lookups, parsed_network
from banledger.ledger.reader import parsed_meta
from banledger.ledger.source import parsed as parsed_source
from banledger.ledger.tokens import is_source_token, source_token
from banledger.ledger.tombstone import is_tombstone, tombstone_of
from banledger.spool.position import UNKNOWN, WRITER, from_text
from banledger.stores import fields as read
from banledger.stores.api import Hash
from banledger.stores.fields import Damaged
from banledger.stores.redis.outbox import unfinished

_SIGN = re.compile(r"\d{1,20} [\x21-\x7e]{0,64}")
_NONCE_MAX = 512


def _ban(id_: str, fields: Hash) -> None:
    if is_tombstone(fields):
        tombstone_of(id_, fields)
    elif not is_id_of(id_, from_hash(id_, fields).subject):
        raise Damaged("", "the id belongs to another ban: server, jail, ip, fid or time is wrong")


def _gap(_id: str, fields: Hash) -> None:
    gap_from_hash(fields)


def _source(tok: str, fields: Hash) -> None:
    name = fields.get("server", ""), fields.get("jail", "")
    parsed_source(fields, name)
    if source_token(*name) != tok:
        raise Damaged("", "server or jail differs from its key")


def _outbox(_: str, fields: Hash) -> None:
    for value in fields.values():
        unfinished(value)


def _position(_server: str, fields: Hash) -> None:
    for writer, text in fields.items():
        if not WRITER.fullmatch(writer):
            raise Damaged("", "has a field that is not a writer")
        if text != UNKNOWN and from_text("", writer, text) is None:
            raise Damaged(writer, "is not a position")


def _label(_server: str, fields: Hash) -> None:
    for name in ("nonce", "last"):
        if len(value := fields.get(name, "")) > _NONCE_MAX or not value.isprintable():
            raise Damaged(name, "is not a nonce")
    for name in ("recorder", "rival"):
        read.text(fields, name)


def _recorders(_: str, fields: Hash) -> None:
    if not all(_SIGN.fullmatch(sign) for sign in fields.values()):
        raise Damaged("", "has a field that is not a sign of life")


def _heartbeats(_: str, fields: Hash) -> None:
    for id_, text in fields.items():
        parsed_heartbeat(id_, text)


def _imported(_: str, fields: Hash) -> None:
    for source in fields:
        if not is_source_token(source):
            raise Damaged("", "has a field that is not a source")
        read.whole(fields, source, most=read.YEAR_3000)


def _imports(_server: str, fields: Hash) -> None:
    for writer, text in fields.items():
        if not WRITER.fullmatch(writer):
            raise Damaged("", "has a field that is not a writer")
        if import_count.from_text(text) is None:
            raise Damaged(writer, "is not the count of an import")


def _forget(_: str, fields: Hash) -> None:
    parsed_requests(fields)


PARSERS: Mapping[str, Callable[[str, Hash], object]] = {
    "ban": _ban,
    "gap": _gap,
    "outbox": _outbox,
    "source": _source,
    "whois": parsed_network,
    "cell": parsed_cell,
    "lookups": lambda _, fields: parsed_lookups(fields),
    "meta": lambda _, fields: parsed_meta(fields),
    "position": _position,
    "label": _label,
    "imported": _imported,
    "imports": _imports,
    "rebuild": lambda _, fields: parsed_lookups(fields),
    "recorders": _recorders,
    "heartbeats": _heartbeats,
    "forget": _forget,
    "forgetter": lambda _, fields: parsed_lookups(fields),
}
"""Functions of (the rest of the key, fields) that raise Damaged."""


def damage(word: str, name: str, fields: Hash) -> Damaged | None:
    """Return the damage of a hash of that kind; None: none."""
    try:
        PARSERS[word](name, fields)
    except Damaged as error:
        return error
    return None


def heads(keys: Keyspace) -> dict[str, str]:
    """Return the key prefixes of the kinds of hashes outside months that may have many keys, by kind."""
    return {
        "whois": keys.network(""),
        "cell": keys.cell(""),
        "source": keys.source(""),
        "label": keys.label(""),
        "position": keys.position(""),
        "imports": keys.imports(""),
    }


def singles(keys: Keyspace) -> dict[str, str]:
    """Return the keys of the kinds of hashes with one key each, by kind; without the ledger's own (`meta`)."""
    return {
        "lookups": keys.lookups,
        "imported": keys.imported,
        "rebuild": keys.rebuild,
        "recorders": keys.recorders,
        "heartbeats": keys.heartbeats,
        "forget": keys.forget,
        "forgetter": keys.forgetter,
    }
