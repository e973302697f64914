"""Repair damaged hashes and remove invalid keys, so that entries can be derived from the rest. Used by `rebuild`.

A damaged field of a ban is dropped, or derived from the other fields. A ban or gap whose identity is unknown is moved
to quarantine, where nothing reads it. Damaged keys that are caches, or are rebuilt anyway, are removed.
"""

import json
import os
from zoneinfo import ZoneInfo

from banledger import __version__
from banledger.errors import SettingsError
from banledger.ledger import scan
from banledger.ledger.aside import line_of
from banledger.ledger.ban_repair import Local, repaired
from banledger.ledger.calendar import calendar
from banledger.ledger.form_check import feed_faults, invalid_counts
from banledger.ledger.ids import second_of
from banledger.ledger.key_table import kinds_of_keys
from banledger.ledger.keys import Keyspace
from banledger.ledger.parsers import damage, heads, singles
from banledger.ledger.reader import zone_of
from banledger.ledger.swap import assign
from banledger.spool.position import UNKNOWN, WRITER
from banledger.stores.api import Engine, Hash, Repair
from banledger.stores.change import Score

_KEPT = frozenset(("ban", "gap"))


class Repairs:
    """One run over a ledger that no other process writes to.

    repaired, quarantined, removed  numbers of keys (see `rebuild.Rebuilt`)
    """

    def __init__(self, engine: Engine, keys: Keyspace) -> None:
        self._engine = engine
        self._keys = keys
        self.repaired = self.quarantined = self.removed = 0

    def shapes(self) -> None:
        """Remove keys of a wrong type (bans and gaps: to quarantine), and entries that no engine writes."""
        self.removed += self._engine.sweep()
        kind_of = kinds_of_keys(self._keys.prefix)
        for key, holds in scan.misshapen(self._engine, self._keys).items():
            kind = kind_of(key)
            if kind is not None and kind.word in _KEPT:
                self._quarantine(key, self._as_hash(key, holds))
            else:
                self._remove([key])

    def hashes(self) -> None:
        """Repair or remove hashes with damaged fields, and remove invalid lines set aside."""
        self._meta()
        local = calendar(self._zone())
        for month in scan.months(self._engine, self._keys):
            there = scan.of_month(self._engine, self._keys, month)
            for key, fields in scan.hashes_by_key(self._engine, there["ban"]):
                self._ban(key, fields, local)
            for key, fields in scan.hashes_by_key(self._engine, there["gap"]):
                self._gap(key, fields)
            for key in there["base"]:
                self._base(key)
        for word, head in heads(self._keys).items():
            for key, fields in scan.hashes_by_key(self._engine, list(self._engine.keys(head + "*"))):
                if word == "position":
                    self._position(key, fields)
                elif damage(word, key.removeprefix(head), fields):
                    self._remove([key])
        for word, key in singles(self._keys).items():
            fields = self._engine.hashes([key])[0]
            if fields and damage(word, "", fields):
                self._single(word, key, fields)
        if any(feed_faults(self._engine, self._keys)):  # followers notice, and begin anew
            self._remove([self._keys.feed])
        strange = [member for member in self._engine.members(self._keys.aside) if line_of(member) is None]
        self._engine.mend(Repair(leaves=[(self._keys.aside, member) for member in strange]))
        self.removed += len(strange)

    def _base(self, key: str) -> None:
        strange = invalid_counts(self._engine, key)
        self._engine.mend(Repair(tallies=[Score(key, tok, None) for tok in strange]))
        self.removed += len(strange)

    def _position(self, key: str, fields: Hash) -> None:
        """Mark damaged positions as unknown, so that they don't look like a store that went back."""
        left = {writer: text for writer, text in fields.items() if WRITER.fullmatch(writer)}
        unknown = {writer: UNKNOWN for writer, text in left.items() if damage("position", "", {writer: text})}
        if left | unknown != fields:
            self._engine.put({key: left | unknown})
            self.repaired += 1

    def _single(self, word: str, key: str, fields: Hash) -> None:
        """Remove a hash that is written again by itself; of the heartbeats only those that are damaged."""
        left = {id_: text for id_, text in fields.items() if not damage(word, "", {id_: text})}
        if word == "heartbeats" and left:
            self._engine.put({key: left})
            self.repaired += 1
        else:
            self._remove([key])

    def outboxes(self) -> None:
        """Empty the outboxes: after a rebuild no work is left."""
        months = scan.months(self._engine, self._keys)
        outboxes = [self._keys.outbox(month) for month in months]
        self._remove([key for key, _ in scan.hashes_by_key(self._engine, outboxes)])

    def _meta(self) -> None:
        meta = self._engine.hashes([self._keys.meta])[0]
        again = {"ledger": os.urandom(8).hex(), "made_by": f"banledger {__version__}"}
        for name, value in again.items():
            error = damage("meta", "", meta)
            if error is not None and error.field == name:
                assign(self._engine, self._keys.meta, {name: value})
                meta |= {name: value}
                self.repaired += 1

    def _zone(self) -> ZoneInfo:
        try:
            return zone_of(self._engine.hashes([self._keys.meta])[0].get("timezone", "UTC"))
        except SettingsError:
            return zone_of("UTC")

    def _ban(self, key: str, fields: Hash, local: Local) -> None:
        id_ = key.rpartition(":")[2]
        if damage("ban", id_, fields) is None:
            return
        whole = repaired(id_, fields, local)
        if whole is None:
            self._quarantine(key, fields)
        else:
            self._engine.put({key: whole})
            self.repaired += 1

    def _gap(self, key: str, fields: Hash) -> None:
        again = {"bans": "0", "others": "0", "reason": ""}
        second = second_of(key.rpartition(":")[2])
        again |= {} if second is None else {"since": f"{second}.000000", "seen": f"{second}.000000"}
        left = dict(fields)
        while error := damage("gap", "", left):
            if (made := again.pop(error.field, None)) is None:
                self._quarantine(key, fields)
                return
            left[error.field] = made
        if left != fields:
            self._engine.put({key: left})
            self.repaired += 1

    def _as_hash(self, key: str, holds: str) -> Hash:
        """Return the content of a key of a wrong type as a hash, as far as it can be read."""
        if holds == "set":
            return {"holds": holds, "members": json.dumps(list(self._engine.members(key)))}
        if holds == "zset":
            return {"holds": holds, "members": json.dumps(dict(self._engine.entries(key)))}
        return {"holds": holds}

    def _quarantine(self, key: str, fields: Hash) -> None:
        self._engine.put({self._keys.quarantine(key): fields})
        self._engine.put({key: {}})
        self.quarantined += 1

    def _remove(self, listed: list[str]) -> None:
        self._engine.put({key: {} for key in listed})
        self.removed += len(listed)
