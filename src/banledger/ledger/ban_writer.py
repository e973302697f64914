"""Record bans over any engine: merge lines, apply the changes, and repeat after conflicts."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial, reduce
from math import inf

from msgspec import Struct
from msgspec.structs import astuple, replace

from banledger.errors import StoreUnavailable
from banledger.geo.place import Locate
from banledger.ledger.aside import Aside, waiting
from banledger.ledger.ban import PENDING, Ban
from banledger.ledger.calendar import calendar
from banledger.ledger.forget_change import revival
from banledger.ledger.found import Found, read_ban, read_bans
from banledger.ledger.ids import Subject, ban_id
from banledger.ledger.keys import Keyspace
from banledger.ledger.merge import address_of, erased, merge, place_at, subject_of
from banledger.ledger.new_ban import begin
from banledger.ledger.reader import LedgerReader
from banledger.ledger.tombstone import Tombstone
from banledger.spool.events import BanLine, TicketLine
from banledger.stores.api import Advance, Applied, Conflict, Engine, Repair, Result
from banledger.stores.change import Change
from banledger.stores.fields import Damaged

_ROUNDS = 20
_AT_ONCE = 500


class Recorded(Struct, frozen=True):
    """The result of a batch, as numbers.

    lines     lines read
    new       bans recorded
    amended   bans changed
    known     bans that were recorded before, and did not change; some may be forgotten
    gaps      gaps recorded
    networks  networks recorded
    aside     lines set aside because the hash of their ban is damaged
    """

    lines: int = 0
    new: int = 0
    amended: int = 0
    known: int = 0
    gaps: int = 0
    networks: int = 0
    aside: int = 0

    def __add__(self, other: "Recorded") -> "Recorded":
        return Recorded(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


class BatchBan(Struct, gc=False):
    """One ban of a batch.

    lines      the lines about it
    looked_up  whether `there` was read. If a line begins the ban, it is taken for new: the ledger has it only if that
               line is read again, and then the change is in conflict
    salt, id   see `ban_id`
    there      what the ledger has under that id
    """

    subject: Subject
    lines: list[TicketLine]
    looked_up: bool = False
    salt: int = 0
    id: str = ""
    there: Found = None

    @property
    def owner(self) -> Subject:
        """Whose the id is, as far as the ledger says."""
        return self.there.subject if isinstance(self.there, Ban) else self.subject


class BanWriter(LedgerReader):
    """Writes the bans of a ledger. See `writer.Ledger`.

    reassert  write the entries of unchanged bans again too, because the store may have lost them
    touched   the (month, local day) of all bans recorded while `reassert` was set
    erase_before  matched lines of bans before this moment are erased, unless the ban is in force; UTC epoch seconds
    """

    def __init__(self, engine: Engine, keyspace: Keyspace) -> None:
        super().__init__(engine, keyspace)
        self._engine = engine
        self._change = partial(keyspace.change, derives=engine.derives)
        self._months: set[str] = set()
        self._aside = Aside(engine, keyspace)
        self._calendar = calendar(self.zone)
        self._carried: list[Advance] = []
        self.reassert = False
        self.touched: set[tuple[str, str]] = set()
        self.erase_before = 0.0

    def _record_bans(self, lines: list[TicketLine], locate: Locate) -> Recorded:
        """Merge and apply; after a conflict, merge again over the ledger's record."""
        left = _by_ban(lines)
        new = amended = known = aside = 0
        for _ in range(_ROUNDS):
            self._look_up(left)
            ready = []
            for one in left:
                if isinstance(one.there, Damaged):
                    aside += self._aside.put(self.keys.ban(one.id), one.there, one.lines)
                elif isinstance(one.there, Tombstone) and not revives(one.lines):
                    known += 1
                else:
                    ready.append(one)
            changed: list[tuple[BatchBan, Change]] = []
            outcomes = self._apply(self._merged(ready, locate, changed), {one.id[:4] for one in ready})
            known += len(ready) - len(changed)
            left = []
            for (one, change), outcome in zip(changed, outcomes, strict=True):
                if isinstance(outcome, Conflict):
                    one.there = read_ban(one.id, outcome.current)
                    left.append(one)
                elif change.guard is None or isinstance(one.there, Tombstone):
                    new += 1
                elif change.fields or change.drop:
                    amended += 1
                else:
                    known += 1
            if not left:
                return Recorded(new=new, amended=amended, known=known, aside=aside)
        raise StoreUnavailable("the ledger keeps changing under the recorder", hint="it is tried again")

    def _merged(
        self, bans: Iterable[BatchBan], locate: Locate, changed: list[tuple[BatchBan, Change]]
    ) -> Iterator[Change]:
        """Make the changes one by one, so that the engine may apply the first ones early; add them to `changed`."""
        for one in bans:
            old = one.there if isinstance(one.there, Ban) else None
            ban = reduce(merge, one.lines, old) if old else self._begin(one.subject, one.id, one.lines, locate)
            if ban.time < self.erase_before and ban.matches and not ban.open:
                ban = erased(ban, self.erase_before, lambda _: False)
            if ban is not old or self.reassert:
                change = self._changed(one.there, ban)
                changed.append((one, change))
                yield change
            if self.reassert:
                self.touched.add((ban.id[:4], ban.day))

    def _changed(self, there: Found, ban: Ban) -> Change:
        """Return the change from what is there; from the ban itself: its entries are written again."""
        if isinstance(there, Tombstone):
            return revival(self.keys, there, ban)
        return (
            self.keys.assertion(ban) if there is ban else self._change(there if isinstance(there, Ban) else None, ban)
        )

    def _look_up(self, bans: Sequence[BatchBan]) -> None:
        """Set the id of each, the first that no other ban has, and what is there."""
        owners: dict[str, Subject] = {}
        left = bans
        while left:
            for one in left:
                one.id = _id(one.subject, one.salt)
            asked = [one for one in left if not one.looked_up]
            for one, there in zip(asked, self.bans_or_damage([one.id for one in asked]), strict=True):
                one.there, one.looked_up = there, True
            # An id belongs to the recorded ban, or to the first that asks.
            owners |= {one.id: one.subject for one in left if isinstance(one.there, Ban) and one.owner == one.subject}
            left = [one for one in bans if owners.setdefault(one.id, one.owner) != one.subject]
            for one in left:  # another ban has this id
                one.salt += 1
                one.looked_up = False

    def _begin(self, subject: Subject, id_: str, lines: list[TicketLine], locate: Locate) -> Ban:
        """Make a new record from the lines."""
        if len(lines) == 1:
            ip = address_of(lines[0])
        else:
            ip = min([address for line in lines if (address := address_of(line))], default=None)
        ban = begin(id_, subject, self._calendar(subject.time), ip, locate(ip, subject.time), lines[0])
        return reduce(merge, lines[1:], ban) if len(lines) > 1 else ban

    def amend(self, ids: Iterable[str], locate: Locate) -> int:
        """Give recorded bans the place that `locate` returns now; return how many changed."""
        done, left = 0, list(ids)
        for _ in range(_ROUNDS):
            changes: dict[str, Change] = {}
            for id_, ban in zip(left, self.bans(left), strict=True):
                if ban is not None and ban.origin != PENDING:
                    new = place_at(ban, locate(ban.ip, ban.time))
                    if new is not ban:
                        changes[id_] = self._change(ban, new)
            outcomes = self._apply(list(changes.values()))
            left = [id_ for id_, outcome in zip(changes, outcomes, strict=True) if isinstance(outcome, Conflict)]
            done += len(changes) - len(left)
            if not left:
                return done
        raise StoreUnavailable("the ledger keeps changing under the recorder", hint="it is tried again")

    def dismiss(self, before: float, most: int, locate: Locate) -> bool:
        """Stop waiting for whois: bans older than `before` (UTC epoch), and the oldest if more than `most` wait.

        They keep the place that `locate` returns. Handles one page of bans; returns whether there may be more.
        """
        excess = self.waiting() - most
        for month in sorted(self._reader.members(self.keys.months)):
            if ids := self._overdue(self.keys.waiting(month), before, excess):
                bans = [ban for ban in self.bans(ids) if ban is not None and ban.waits]
                self._apply([self._change(ban, _given_up(ban, locate)) for ban in bans])
                if bans:
                    return True
        return False

    def _overdue(self, key: str, before: float, excess: int) -> list[str]:
        old = self._lowest(key, before)
        return old if old or excess <= 0 else self._lowest(key, inf, min(excess, _AT_ONCE))

    def _lowest(self, key: str, until: float, count: int = _AT_ONCE) -> list[str]:
        return [id_ for id_, _ in self._engine.lowest(key, until, count)]

    def _apply(self, changes: Iterable[Change], months: set[str] | None = None) -> list[Result]:
        """Apply changes. `months`: the slots that they may have; None: take them from the changes."""
        if months is None:
            changes = list(changes)
            months = {_month(change) for change in changes}
        if new := months - self._months:
            self._engine.mend(Repair(joins=[(self.keys.months, month) for month in sorted(new)]))
            self._months |= new
        outcomes = self._engine.apply(changes, self._carried)
        if all(isinstance(outcome, Applied) for outcome in outcomes):
            self._carried = []
        return outcomes

    def record_aside(self, locate: Locate) -> int:
        """Record the lines set aside whose ban can be read again; return their number."""
        done = 0
        for lines in waiting(self._engine, self.keys):
            about = {text: _id(subject_of(line), 0) for text, line in lines.items()}
            found = dict(zip(about.values(), read_bans(self._engine, self.keys, list(about.values())), strict=True))
            sound = [text for text, id_ in about.items() if not isinstance(found[id_], Damaged)]
            if sound and not self._record_bans([lines[text] for text in sound], locate).aside:
                self._aside.drop(sound)  # otherwise one of them has a damaged hash under a salted id
                done += len(sound)
        return done

    def tidy(self, now: float) -> int:
        """Remove amendments whose ban never came; return their number. `now`: UTC epoch, by a settled clock."""
        gone = 0
        for month in list(self._reader.members(self.keys.months)):
            while ids := self._lowest(self.keys.pending(month), now):
                waiting = [ban for ban in self.bans(ids) if ban is not None and ban.origin == PENDING]
                if not waiting:
                    break
                gone += len(self._apply([self.keys.removal(ban) for ban in waiting]))
        return gone


def _by_ban(lines: Iterable[TicketLine]) -> list[BatchBan]:
    """Return the bans that the lines are about. A line that begins a ban needs no look-up: see `BatchBan`."""
    bans: dict[Subject, BatchBan] = {}
    for line in lines:
        subject = subject_of(line)
        if (one := bans.get(subject)) is None:
            one = bans[subject] = BatchBan(subject, [])
        one.lines.append(line)
        if isinstance(line, BanLine) and not line.restored:
            one.looked_up = True
    return list(bans.values())


def revives(lines: Iterable[TicketLine]) -> bool:
    """Whether lines record a ban even if it was forgotten."""
    return any(isinstance(line, BanLine) and line.revive for line in lines)


def _id(subject: Subject, salt: int) -> str:
    return ban_id(subject.server, subject.jail, subject.fid, subject.time, salt)


def _month(change: Change) -> str:
    return change.key.rpartition(":")[2][:4]


def _given_up(ban: Ban, locate: Locate) -> Ban:
    """Return the ban as it is without a look-up."""
    given_up = place_at(ban, locate(ban.ip, 0.0))
    return replace(given_up, whois=None) if given_up.waits else given_up
