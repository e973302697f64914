"""Lines set aside: those about bans whose hash is damaged. They are recorded when the hash can be read again.

Theory of operation. A damaged hash must not stop other bans, and no line may be lost. So such lines are written to a
set of the ledger (`Keyspace.aside`), as JSON in ASCII, before the spool forgets them. The recorder tries them again at
its start and every few minutes. A repeated line is the same member, and recording it twice is harmless.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from banledger.ledger.keys import Keyspace
from banledger.ledger.merge import EndedTicket, HeldTicket
from banledger.spool.events import BanLine, ProlongLine, TicketLine, UnbanLine
from banledger.stores.api import Engine, Reader, Repair
from banledger.stores.fields import Damaged
from banledger.stores.pages import pages

_SAID = 5

_Line: TypeAlias = BanLine | ProlongLine | UnbanLine | HeldTicket | EndedTicket
_lines: msgspec.json.Decoder[_Line] = msgspec.json.Decoder(_Line)


def text_of(line: TicketLine) -> str:
    """Return the line as a member of the set."""
    return json.dumps(msgspec.to_builtins(line))


def line_of(member: str) -> TicketLine | None:
    """Return the line of a member; None: invalid."""
    try:
        return _lines.decode(member)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def waiting(reader: Reader, keys: Keyspace) -> Iterator[dict[str, TicketLine]]:
    """Return all lines set aside, by their text, in pages. Invalid members are left out."""
    for page in pages(reader.members(keys.aside)):
        yield {member: line for member in page if (line := line_of(member)) is not None}


class Aside:
    """Sets lines aside, with one notice for each ban."""

    def __init__(self, engine: Engine, keys: Keyspace) -> None:
        self._engine = engine
        self._keys = keys
        self._said: set[str] = set()
        self.notices: list[str] = []

    def put(self, key: str, error: Damaged, lines: Sequence[TicketLine]) -> int:
        """Set aside the lines about the ban at that key; return their number."""
        self._engine.mend(Repair(joins=[(self._keys.aside, text_of(line)) for line in lines]))
        if key not in self._said:
            self._said.add(key)
            self._say(f"{key} is damaged: {error}")
        return len(lines)

    def _say(self, what: str) -> None:
        if len(self._said) <= _SAID:
            self.notices.append(
                f"{what}; lines about it are set aside in {self._keys.aside}, recording continues (banledger store"
                " check names damaged hashes; after banledger store rebuild the lines are recorded)"
            )
        elif len(self._said) == _SAID + 1:
            self.notices.append("more hashes are damaged: banledger store check names them all")

    def drop(self, texts: Iterable[str]) -> None:
        """Remove lines that are recorded now."""
        self._engine.mend(Repair(leaves=[(self._keys.aside, text) for text in texts]))
