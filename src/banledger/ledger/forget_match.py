"""What a request to forget concerns: bans, lines, raw texts. Pure."""

import re

from msgspec.structs import replace

from banledger.ledger.ban import Ban
from banledger.ledger.forget_request import ForgetRequest
from banledger.ledger.gap import Gap
from banledger.ledger.ids import Subject
from banledger.ledger.tokens import token
from banledger.net.address import canonical_address
from banledger.net.prefix import Block, block
from banledger.spool.events import BanLine, TicketLine

_PARTLY = ("user", "matches")  # the bans stay
_ADDRESS = re.compile(r"(?<![0-9A-Za-z.:])[0-9A-Fa-f:.]{3,45}(?:/\d{1,3})?(?![0-9A-Za-z:])")


class Matcher:
    """Whether something belongs to what a request names. Lines and bans after its moment do not."""

    def __init__(self, request: ForgetRequest) -> None:
        self._request = request
        self._block = _block(request.value) if request.what == "ip" else None
        self._token = token(request.value)
        self._word = re.compile(rf"(?<![\w.@-]){re.escape(request.value)}(?![\w@-])")

    def is_user(self, name: str) -> bool:
        """Whether this user name is to be forgotten."""
        return self._request.what == "user" and token(name) == self._token

    def holds(self, cidr: str) -> bool:
        """Whether an address or network lies inside the one to be forgotten."""
        found = _block(cidr) if self._block else None
        return self._block is not None and found is not None and self._block.covers(found)

    @property
    def server(self) -> str:
        """The server to be forgotten; empty: none."""
        return self._request.value if self._request.what == "server" else ""

    @property
    def is_place(self) -> bool:
        """Whether an address or network is to be forgotten."""
        return self._block is not None

    def removes_ban(self, ban: Ban) -> bool:
        """Whether a record is to be forgotten as a whole."""
        return self._request.what not in _PARTLY and self._concerns(ban.subject, ban.ip, ())

    def concerns_gap(self, gap: Gap) -> bool:
        """Whether a gap is to be forgotten."""
        if gap.seen >= self._request.before:
            return False
        return self._request.what == "bans" or (self._request.what == "server" and token(gap.server) == self._token)

    def concerns_line(self, line: TicketLine) -> bool:
        """Whether a line is about such a ban."""
        subject = Subject(line.server, line.jail, line.fid, round(line.time))
        return self._concerns(subject, line.ip or None, line.users if isinstance(line, BanLine) else ())

    def _concerns(self, subject: Subject, ip: str | None, users: tuple[str, ...]) -> bool:
        if subject.time >= self._request.before:
            return False
        if self._request.what == "ip":
            return any(self.holds(one) for one in (ip, subject.fid) if one)
        if self._request.what == "server":
            return token(subject.server) == self._token
        return self._request.what in ("bans", "matches") or any(map(self.is_user, users))

    def without(self, line: TicketLine) -> TicketLine | None:
        """Return what may be kept of a line that this concerns; None: nothing."""
        if self._request.what not in _PARTLY:
            return None
        if not isinstance(line, BanLine):
            return line
        return replace(line, users=tuple([name for name in line.users if not self.is_user(name)]), matches=())

    def in_text(self, text: str) -> bool:
        """Whether a raw text, such as an invalid line, names what is to be forgotten."""
        if self._request.what == "ip":
            return any(map(self._is_address, _ADDRESS.findall(text)))
        return self._request.what in ("user", "server") and bool(self._word.search(text))

    def _is_address(self, text: str) -> bool:
        found = canonical_address(text.rstrip(".:")) or canonical_address(text)
        return found is not None and self.holds(found)


def _block(text: str) -> Block | None:
    """Return an address or network; None: the text is neither."""
    try:
        return block(text)
    except (OSError, ValueError):
        return None
