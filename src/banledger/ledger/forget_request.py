"""A request to forget, and how far it is. Pure.

The ledger keeps each request as a field of one hash, until some time after it is done: then without what was asked, so
that nothing is kept about what was forgotten.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from banledger.ledger.keys import Keyspace
from banledger.spool.events import ForgetLine
from banledger.stores.api import Hash, Reader
from banledger.stores.fields import Damaged

DAILY = "retention."
"""The beginning of the names of requests that the recorder makes itself, once a day."""
DAY_S = 86_400.0
AGAIN_S = 40 * DAY_S
"""How long before the last request for old matched lines the next one begins: bans that were in force have ended."""

KEPT_S = 30 * DAY_S
"""How long a request that is done is remembered, seconds: if its line is read again, it is known."""

What: TypeAlias = Literal["ip", "user", "server", "bans", "matches"]
"""What is forgotten: bans of an address or network, or of a server; a user name; old bans; old matched lines."""

_LONGEST = 4096


class Forgotten(Struct, frozen=True, omit_defaults=True):
    """What a request did so far, as numbers.

    bans     bans that became tombstones
    erased   bans whose matched lines, or a user name, were erased
    in_force bans that were left because they are in force
    damaged  bans that were left because their hash can't be read
    others   other records: lines set aside, damaged hashes, gaps, networks, rejected lines
    """

    bans: int = 0
    erased: int = 0
    in_force: int = 0
    damaged: int = 0
    others: int = 0


class ForgetRequest(Struct, frozen=True, omit_defaults=True):
    """One request. `value` is canonical.

    before  only bans whose time is before it, UTC epoch seconds
    since   of old matched lines: only bans whose time is not before it; those are done
    asked   when it was asked, UTC epoch seconds
    at      when its bans are forgotten, as their tombstones say: the same after a crash
    done    when it was carried out; 0: it is not yet
    purged  whether freed pages of the store were overwritten after that
    step    grows with each change
    """

    what: What
    before: float
    asked: float
    value: str = ""
    since: float = 0.0
    at: float = 0.0
    done: float = 0.0
    purged: bool = False
    step: int = 1
    result: Forgotten = Forgotten()

    def counting(self, **more: int) -> "ForgetRequest":
        """Return it with these numbers added to its result."""
        added = {name: getattr(self.result, name) + number for name, number in more.items()}
        return replace(self, step=self.step + 1, result=replace(self.result, **added))

    def ended(self, now: float) -> "ForgetRequest":
        """Return it as it is kept when it is done: without what was asked."""
        return replace(self, value="", done=now, step=self.step + 1)


_decoder = msgspec.json.Decoder(ForgetRequest)


def request_of(line: ForgetLine, now: float) -> ForgetRequest:
    """Return the request of a line (UTC epoch `now`)."""
    return ForgetRequest(line.what, line.before, line.seen, line.value, at=now)


def to_text(request: ForgetRequest) -> str:
    """Return the field's value. It begins with the number that grows."""
    return f"{request.step} {msgspec.json.encode(request).decode()}"


def from_text(name: str, text: str) -> ForgetRequest:
    """Return the request in the field `name`. Raises Damaged."""
    step, _, rest = text.partition(" ")
    try:
        request = _decoder.decode(rest[:_LONGEST])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Damaged(name, "is not a request to forget") from None
    if step != str(request.step):
        raise Damaged(name, "has two different numbers")
    return request


def parsed_requests(fields: Mapping[str, str]) -> dict[str, ForgetRequest]:
    """Return the requests of a hash by their name. Raises Damaged."""
    return {name: from_text(name[:80], text) for name, text in fields.items()}


def read_requests(reader: Reader, keys: Keyspace) -> dict[str, ForgetRequest]:
    """Return the requests of a ledger by their name. Damaged ones are left out."""
    found: dict[str, ForgetRequest] = {}
    for name, text in _fields(reader, keys).items():
        try:
            found[name] = from_text(name, text)
        except Damaged:
            continue
    return found


def _fields(reader: Reader, keys: Keyspace) -> Hash:
    return reader.hashes([keys.forget])[0]
