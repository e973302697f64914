"""Compare a snapshot (the bans that fail2ban held at one moment) with the bans in force in the ledger for that source.

For each difference a line is made and merged like any other; later events take precedence.
"""

from collections.abc import Iterator, Sequence
from math import inf
from typing import Any
from zlib import crc32

from msgspec import Struct

from banledger.ledger.ban import PENDING, RESTORED, Ban
from banledger.ledger.found import Found, read_bans
from banledger.ledger.ids import ban_id
from banledger.ledger.keys import Keyspace
from banledger.ledger.merge import EndedTicket, HeldTicket, bounded
from banledger.ledger.tokens import source_token
from banledger.ledger.tombstone import Tombstone
from banledger.net.address import canonical_address
from banledger.spool.events import VERSION, BanLine, HeldLine, ProlongLine, TicketLine
from banledger.stores.api import Engine, Repair
from banledger.stores.change import Score
from banledger.stores.fields import Damaged
from banledger.stores.pages import pages

_KEPT_S = 86_400.0
_AT_ONCE = 2000


class SnapshotJudge:
    """Compares snapshots with a ledger. Used by the recorder."""

    def __init__(self, engine: Engine, keys: Keyspace) -> None:
        self._engine = engine
        self._keys = keys

    def judge(self, snapshot: list[HeldLine], begun: float) -> list[TicketLine]:
        """Return the lines that correct the ledger after one snapshot (its parts). `begun`: see `Source`."""
        view = _View(snapshot[0], begun)
        active_key = self._keys.active_of(source_token(view.line.server, view.line.jail))
        active = dict(self._engine.entries(active_key))
        listed: dict[str, _Held] = {}
        doubtful: dict[str, _Held] = {}
        for ban in _held(snapshot):
            id_ = ban_id(view.line.server, view.line.jail, ban.fid, ban.time)
            listed[id_] = ban
            if active.get(id_) != ban.expires:
                doubtful[id_] = ban
        ended = self._ended_lines(view, _Listed(snapshot, listed), active)
        found = [*ended, *self._held_lines(view, active_key, doubtful)]
        ran_out = [id_ for id_, expires in active.items() if id_ not in listed and expires < view.wall - _KEPT_S]
        if ran_out:
            self._engine.mend(Repair(scores=[Score(active_key, id_, None) for id_ in ran_out]))
        return found

    def _ended_lines(self, view: "_View", listed: "_Listed", active: dict[str, float]) -> Iterator[TicketLine]:
        """Return lines for bans that are in force in the ledger and not held by fail2ban."""
        unlisted = [id_ for id_, expires in active.items() if id_ not in listed.bans and expires > view.wall]
        taken = []
        for ban in self._paged(unlisted):
            if listed.has(ban):  # it has a salted id, because another ban has the id that was listed
                taken.append(ban_id(ban.server, ban.jail, ban.fid, ban.time))
            elif listed.judges(ban) and not view.is_later(ban):
                yield view.ended(ban)
        again = self._paged([id_ for id_ in taken if active.get(id_, 0.0) > view.wall])
        yield from (view.ended(ban) for ban in again if listed.judges(ban) and not view.is_later(ban))

    def _held_lines(self, view: "_View", active_key: str, doubtful: dict[str, "_Held"]) -> Iterator[TicketLine]:
        """Return lines for bans that fail2ban holds and the ledger lacks or has otherwise.

        Restores lost entries of the list of active bans.
        """
        for page in pages(doubtful.items(), _AT_ONCE):
            lost = []
            for (id_, held), ban in zip(page, self._bans([id_ for id_, _ in page]), strict=True):
                if isinstance(ban, Damaged | Tombstone):  # every snapshot would make the same line again
                    continue
                if ban is None or ban.origin == PENDING or (ban.fid, ban.time) != (held.fid, held.time):
                    yield view.restored(held)
                    continue
                if not ban.open and view.has_seen_the_end_of(ban):
                    yield view.held(held)
                if ban.expires != held.expires:
                    yield view.prolonged(held)
                elif ban.open:
                    lost.append(Score(active_key, id_, ban.expires))
            if lost:
                self._engine.mend(Repair(scores=lost))

    def _paged(self, ids: Sequence[str]) -> Iterator[Ban]:
        return (ban for page in pages(ids, _AT_ONCE) for ban in self._bans(page) if isinstance(ban, Ban))

    def _bans(self, ids: Sequence[str]) -> list[Found]:
        return read_bans(self._engine, self._keys, ids)


class _Held(Struct, frozen=True, gc=False):
    """One entry of a snapshot. `fid` canonical, times as in `Ban`."""

    fid: str
    time: int
    bantime: int
    bancount: int

    @property
    def expires(self) -> float:
        return inf if self.bantime < 0 else float(self.time + self.bantime)


def _held(snapshot: list[HeldLine]) -> Iterator[_Held]:
    for line in snapshot:
        for fid, time, bantime, bancount in line.bans:
            yield _Held(canonical_address(fid) or fid, time, bounded(bantime), bancount)


class _Listed:
    """The bans listed in the available parts of a snapshot."""

    def __init__(self, snapshot: list[HeldLine], bans: dict[str, _Held]) -> None:
        self.bans = bans
        self._parts = {line.part for line in snapshot}
        self._of = snapshot[0].parts
        self._subjects = {(ban.fid, ban.time) for ban in _held(snapshot)}

    def has(self, ban: Ban) -> bool:
        """Whether a ban is listed."""
        return (ban.fid, ban.time) in self._subjects

    def judges(self, ban: Ban) -> bool:
        """Whether a ban would be listed if it were in force, and is not."""
        if self.has(ban):
            return False
        if len(self._parts) == self._of:
            return True
        # fail2ban may spell a text with a backslash otherwise: the backslash may stand for bytes.
        return "\\" not in ban.fid and crc32(ban.fid.encode()) % self._of in self._parts


class _View:
    """The moment of a snapshot, and the lines that follow from it."""

    def __init__(self, line: HeldLine, begun: float) -> None:
        self.line = line
        self.wall = line.as_of - (line.order - line.seen)
        self._begun = begun
        self._common: dict[str, Any] = {
            "v": VERSION,
            "seen": self.wall,
            "at": line.as_of,
            "seq": line.seq,
            "server": line.server,
            "jail": line.jail,
        }

    def is_later(self, ban: Ban) -> bool:
        """Whether a ban began (a restored one: was seen) after the snapshot."""
        return ban.begun.order > self.line.as_of

    def has_seen_the_end_of(self, ban: Ban) -> bool:
        """Whether the ban had been lifted or had ended before the snapshot."""
        ends = ban.moment("unbanned"), ban.moment("ended")
        return all(end is None or end.order <= self.line.as_of for end in ends)

    def ended(self, ban: Ban) -> TicketLine:
        """Return the line of a ban that is no longer in force."""
        old = ban.begun.order < self._begun
        reason = "not restored" if old and ban.origin != RESTORED else "not held"
        return EndedTicket(fid=ban.fid, time=ban.time, reason=reason, **self._common)

    def held(self, held: _Held) -> TicketLine:
        """Return the line of a ban that is in force although the ledger says otherwise."""
        return HeldTicket(fid=held.fid, time=held.time, **self._common)

    def prolonged(self, held: _Held) -> TicketLine:
        """Return the line of a ban with another term."""
        return ProlongLine(fid=held.fid, time=held.time, bantime=held.bantime, bancount=held.bancount, **self._common)

    def restored(self, held: _Held) -> TicketLine:
        """Return the line of a ban that the ledger lacks."""
        counted = self._common | {"bancount": held.bancount + 1}  # as fail2ban counts one that it restores
        return BanLine(fid=held.fid, time=held.time, restored=1, bantime=held.bantime, **counted)
