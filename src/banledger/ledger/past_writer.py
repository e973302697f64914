"""Record what logs of the past say, over any engine: `past` decides, this reads and writes.

Theory of operation. The facts of a jail and an offender are in the records of their bans (`logged`). When new facts
come, or an exact ban where there may be facts, the bans near them are read, `decide` says what follows, and the records
that differ are changed: facts move to another record, inexact bans come or go. Nothing else is remembered, so it may be
repeated after a crash between any two changes. A fact is written to its new record before it leaves the old one.
`imported` says which exact bans may have facts near them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeGuard

from msgspec.structs import replace

from banledger.errors import StoreUnavailable
from banledger.geo.place import Locate
from banledger.ledger.ban import IMPORTED, LIVE, Ban
from banledger.ledger.ban_writer import BanWriter, BatchBan, Recorded, revives
from banledger.ledger.forgotten_bans import ForgottenBans
from banledger.ledger.found import read_ban
from banledger.ledger.ids import Subject, second_of
from banledger.ledger.import_count import LineCounts
from banledger.ledger.import_counts import ImportCounts
from banledger.ledger.imported import Imported
from banledger.ledger.keys import Keyspace
from banledger.ledger.log_fact import Facts, LogFact, joined
from banledger.ledger.merge import merge, with_facts
from banledger.ledger.near import Near, Nears, nears, reach
from banledger.ledger.new_ban import begin_from_facts
from banledger.ledger.offender import INDEXES, Offender, offender_of_ban
from banledger.ledger.past import Decision, decide, within
from banledger.ledger.past_plan import Begun, Plan, Planner
from banledger.ledger.tombstone import Tombstone
from banledger.net.address import canonical_address
from banledger.spool.events import VERSION, BanLine, TicketLine
from banledger.stores.api import Conflict, Engine, Hash
from banledger.stores.change import Change
from banledger.stores.fields import Damaged
from banledger.stores.selection import Is, Selection

_ROUNDS = 20
_MOST_OWNERS = 20_000


class PastWriter(BanWriter):
    """Writes bans, live ones and those of the past. See `writer.Ledger`.

    imports  counts what imports do
    """

    def __init__(self, engine: Engine, keyspace: Keyspace) -> None:
        super().__init__(engine, keyspace)
        self._imported = Imported(engine, keyspace.imported)
        self._forgotten = ForgottenBans(engine, keyspace)
        self.imports = ImportCounts(engine, keyspace)
        self._owners: dict[
            str, Offender
        ] = {}  # whose the last new bans are, by id: they needn't be read to be told apart

    def _record_tickets(self, lines: list[TicketLine], locate: Locate, now: float) -> Recorded:
        """Record the lines of fail2ban and those of each import, and count what the imports do."""
        past = [line for line in lines if is_of_past(line)]
        if not past:
            return self._record_some(lines, [], locate, now)[0]
        done = Recorded()
        if len(past) < len(lines):
            done, _ = self._record_some([line for line in lines if not is_of_past(line)], [], locate, now)
        self.imports.know(past, now)
        counted: defaultdict[tuple[str, str], list[BanLine]] = defaultdict(list)
        others = []
        for line in past:
            if self.imports.counted(line):
                others.append(line)
            else:
                counted[line.server, line.writer].append(line)
        for some in (*counted.values(), *([others] if others else [])):
            exact: list[TicketLine] = [line for line in some if not line.logged]
            of_logs = [line for line in some if line.logged] if len(exact) < len(some) else []
            recorded, counts = self._record_some(exact, of_logs, locate, now)
            done += recorded
            if some is not others:
                self.imports.add(some, counts)
        return done

    def _record_some(
        self, exact: list[TicketLine], of_logs: list[BanLine], locate: Locate, now: float
    ) -> tuple[Recorded, LineCounts]:
        """Record exact lines as they are, then decide what logs say beside them. Returns what all these lines did."""
        done = self._record_bans(exact, locate) if exact else Recorded()
        told = LineCounts(done.new, done.amended, len(exact) - done.new - done.amended - done.aside, done.aside)
        self._imported.learn(of_logs, now)
        near = nears(of_logs, self._imported.may_meet_facts(exact))
        if not near:
            return done, told
        plans = self._decide(near, locate)
        moved = min(done.new, sum([plan.moved for plan in plans]))
        told = replace(told, new=told.new - moved, amended=told.amended + moved)
        done += Recorded(
            new=sum([plan.new for plan in plans]),
            amended=sum([plan.amended for plan in plans]),
            known=sum([plan.known for plan in plans]),
        )
        return done, sum([plan.lines for plan in plans], told)

    # What follows.

    def _decide(self, near: dict[Offender, Near], locate: Locate) -> list[Plan]:
        """Decide, and carry out what follows; return that."""
        done: list[Plan] = []
        for again in range(_ROUNDS):
            plans = self._plans(near, locate, again=bool(again))
            conflicts = self._conflicts([change for plan in plans.values() for change in plan.written])
            ready = [plan for plan in plans.values() if plan.removed and not (conflicts and plan.touches(conflicts))]
            conflicts |= self._conflicts([change for plan in ready for change in plan.removed])
            if not conflicts:
                return [*done, *plans.values()]
            for offender, plan in plans.items():
                if not plan.touches(conflicts):
                    done.append(plan)
                    del near[offender]
            if not near:
                return done
        raise StoreUnavailable("the ledger keeps changing under the recorder", hint="it is tried again")

    def _conflicts(self, changes: Sequence[Change]) -> set[str]:
        """Apply changes; return the keys of those that were in conflict."""
        outcomes = zip(changes, self._apply(changes), strict=True) if changes else ()
        return {change.key for change, outcome in outcomes if isinstance(outcome, Conflict)}

    def _plans(self, near: Nears, locate: Locate, *, again: bool) -> dict[Offender, Plan]:
        """Return the changes for each offender. `again`: there was a conflict, so look where new bans will be."""
        there = self._there(near)
        wanted = {offender: _decided(one, there.get(offender, ())) for offender, one in near.items()}
        begun, aside = self._begun(wanted, there, near, locate, again=again)
        planner = Planner(self.keys, self._change, reassert=self.reassert)
        plans = {
            offender: planner.plan(
                one, there.get(offender, ()), wanted[offender], begun.get(offender, ()), aside.get(offender, 0)
            )
            for offender, one in near.items()
        }
        if self.reassert:
            self.touched |= {(ban.id[:4], ban.day) for plan in plans.values() for ban in plan.asserted}
        return plans

    def _there(self, near: Nears) -> dict[Offender, list[Ban]]:
        """Return the recorded bans that matter, of the offenders that have any."""
        owners = self._owners
        ids = sorted([id_ for id_ in self._ids(near) if id_ not in owners or _may_matter(id_, near.get(owners[id_]))])
        found: dict[Offender, list[Ban]] = {}
        for id_, fields in zip(ids, self._engine.hashes([self.keys.ban(id_) for id_ in ids]), strict=True):
            if not _may_matter(id_, near.get(_named(fields))):
                continue
            ban = read_ban(id_, fields)
            if isinstance(ban, Damaged):
                self._note(self.keys.ban(id_), ban)
            elif isinstance(ban, Ban):
                found.setdefault(offender_of_ban(ban), []).append(ban)
        return found

    def _ids(self, near: Nears) -> set[str]:
        """Return the ids of bans of these offenders at these times, and perhaps of others."""
        sizes = zip(INDEXES, self._engine.sizes(list(map(self.keys.top, INDEXES))), strict=True)
        used = [name for name, size in sizes if size]  # most ledgers have no ban of what is no address
        places = [(offender, name, tok) for offender in near for name, tok in offender.indexes() if name in used]
        if not places:
            return set()
        either = tuple([Is(name, frozenset([tok for _, one, tok in places if one == name])) for name in used])
        first, last = reach(near)
        selected = self._engine.select(Selection((either,), first, last + 1))
        if selected is not None:
            return set(selected.newest())
        keys = [(offender, self.keys.members(name, tok)) for offender, name, tok in places]
        ids: set[str] = set()
        for (offender, key), size in zip(keys, self._engine.sizes([key for _, key in keys]), strict=True):
            listed = [(id_, second_of(id_)) for id_ in self._engine.members(key)] if size else []
            times = near[offender].spans if listed else ()
            ids |= {id_ for id_, second in listed if second is not None and within(second, times)}
        return ids

    def _begun(
        self,
        wanted: Mapping[Offender, Decision],
        there: Mapping[Offender, Sequence[Ban]],
        near: Nears,
        locate: Locate,
        *,
        again: bool,
    ) -> tuple[dict[Offender, list[Begun]], dict[Offender, int]]:
        """Return the new bans, each with what is at its place: nothing, or what no index leads to.

        That is amendments that came before it, or a ban whose entries the store lost. And the number of lines that were
        set aside, because what is there is damaged.
        """
        missing = [
            (offender, facts, BatchBan(offender.at(second), [], looked_up=not again))
            for offender, decision in wanted.items()
            for second, facts in (_without(decision, there[offender]) if offender in there else decision.items())
        ]
        self._look_up([one for _, _, one in missing])
        if again or len(self._owners) > _MOST_OWNERS:  # an id may belong to another ban
            self._owners = {}
        known = self._forgotten.among([(offender, facts) for offender, facts, one in missing if one.there is None])
        begun: defaultdict[Offender, list[Begun]] = defaultdict(list)
        aside: dict[Offender, int] = {}
        for offender, facts, one in missing:
            old, subject = one.there or known.get((offender, facts)), one.subject
            if isinstance(old, Tombstone) and not revives(near[offender].lines):
                continue
            if isinstance(old, Damaged):
                aside[offender] = self._aside.put(self.keys.ban(one.id), old, near[offender].lines)
            elif old is None or isinstance(old, Tombstone):
                ip = canonical_address(subject.fid)
                about = one.id, subject, self._calendar(subject.time), ip, locate(ip, subject.time)
                begun[offender].append((old, begin_from_facts(*about, facts)))
                self._owners[one.id] = offender
            else:
                merged = merge(old, _line(subject, facts[0]))
                begun[offender].append((old, with_facts(merged, joined((*facts, *old.logged)))))
        return begun, aside


def is_of_past(line: TicketLine) -> TypeGuard[BanLine]:
    """Whether an import made a line: of a log if it has `logged`, else of an exact ban."""
    return isinstance(line, BanLine) and bool(line.origin)


def _decided(near: Near, there: Sequence[Ban]) -> Decision:
    """Return which bans of an offender follow."""
    if not there:
        return decide(near.facts, ())
    facts = [*near.facts, *(fact for ban in there for fact in ban.logged)]
    exact = [ban for ban in there if not _is_inexact(ban)]
    return decide(facts, [ban.time for ban in exact], {ban.time: ban.seen for ban in exact if ban.origin == LIVE})


def _named(fields: Hash) -> Offender:
    """Return the offender that a ban's hash names."""
    return Offender(fields.get("server", ""), fields.get("jail", ""), fields.get("fid") or fields.get("ip", ""))


def _may_matter(id_: str, near: Near | None) -> bool:
    """Whether the ban with that id lies where bans of its offender matter (None: none does)."""
    second = second_of(id_) if near is not None else None
    return near is not None and second is not None and within(second, near.spans)


def _is_inexact(ban: Ban) -> bool:
    """Whether only logs tell of a ban. (Without its facts, which damage may cost, it stays as it is.)"""
    return ban.exact is not None and ban.origin == IMPORTED and bool(ban.logged)


def _without(decision: Decision, there: Iterable[Ban]) -> list[tuple[int, Facts]]:
    """Return the bans of a decision that are not recorded."""
    seconds = {ban.time for ban in there}
    return [(second, facts) for second, facts in decision.items() if second not in seconds]


def _line(subject: Subject, fact: LogFact) -> BanLine:
    """Return the line that begins a ban that only logs tell of."""
    return BanLine(
        v=VERSION,
        seen=fact.logged,
        seq=0,
        server=subject.server,
        jail=subject.jail,
        fid=subject.fid,
        time=subject.time,
        origin=IMPORTED,
        logged=fact.logged,
        found=fact.found,
        unbanned=fact.unbanned,
        bantime=fact.bantime,
        bancount=fact.bancount,
        failures=fact.failures,
        first=fact.first,
    )
