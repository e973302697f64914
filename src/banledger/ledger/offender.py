"""One jail's offender, whose bans are decided together. Pure."""

from typing import NamedTuple

from banledger.ledger.ban import Ban
from banledger.ledger.ids import Subject
from banledger.ledger.tokens import token
from banledger.net.address import canonical_address
from banledger.spool.events import TicketLine

INDEXES = ("ip", "id")
"""The dimensions by which the bans of an offender are indexed."""


class Offender(NamedTuple):
    """An offender of one jail. `fid` canonical."""

    server: str
    jail: str
    fid: str

    def at(self, second: int) -> Subject:
        """Return the identity of the ban at a second."""
        return Subject(self.server, self.jail, self.fid, second)

    def indexes(self) -> list[tuple[str, str]]:
        """Return the dimensions and tokens by which the bans are indexed."""
        address = canonical_address(self.fid)
        by_address = [("ip", address)] if address else []
        return [*by_address, ("id", token(self.fid))]


def offender_of_line(line: TicketLine) -> Offender:
    """Return the offender of a line."""
    return Offender(line.server, line.jail, canonical_address(line.fid) or line.fid)


def offender_of_subject(subject: Subject) -> Offender:
    """Return the offender of the ban with that identity."""
    return Offender(subject.server, subject.jail, subject.fid)


def offender_of_ban(ban: Ban) -> Offender:
    """Return the offender of a ban."""
    return Offender(ban.server, ban.jail, ban.fid)
