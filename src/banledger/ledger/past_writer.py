"""Record what logs of the past say, over any engine: `past` decides, this reads and writes.

Theory of operation. The facts of a jail and an offender are in the records of their bans (`logged`). When new facts
come, or an exact ban where there may be facts, the bans near them are read, `decide` says what follows, and the records
that differ are changed: facts move to another record, inexact bans come or go. Nothing else is remembered, so it may be
repeated after a crash between any two changes. A fact is written to its new record before it leaves the old one.
`imported` says which exact bans may have facts near them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeGuard

from msgspec import Struct, field

from banledger.errors import StoreUnavailable
from banledger.geo.place import Locate
from banledger.ledger.ban import IMPORTED, LIVE, Ban
from banledger.ledger.ban_writer import BanWriter, BatchBan, Recorded
from banledger.ledger.ids import Subject, second_of
from banledger.ledger.imported import Imported
from banledger.ledger.keys import Keyspace
from banledger.ledger.log_fact import Facts, LogFact, fact_of, joined
from banledger.ledger.merge import merge, subject_of, with_facts, without_facts
from banledger.ledger.new_ban import begin_from_facts
from banledger.ledger.offender import INDEXES, Offender, offender_of_ban, offender_of_line, offender_of_subject
from banledger.ledger.past import Decision, TimeSpan, decide, exact_span, fact_spans, spans, within
from banledger.ledger.tombstone import Tombstone
from banledger.net.address import canonical_address
from banledger.spool.events import VERSION, BanLine, TicketLine
from banledger.stores.api import Conflict, Engine
from banledger.stores.change import Change
from banledger.stores.fields import Damaged
from banledger.stores.selection import Is, Selection

_ROUNDS = 20


class _Near(Struct):
    """What is decided about an offender: the lines of new facts, and the spans of exact bans that may be new."""

    lines: list[BanLine] = field(default_factory=list)
    facts: list[LogFact] = field(default_factory=list)
    exact: list[TimeSpan] = field(default_factory=list)

    def add(self, line: BanLine) -> None:
        """Add the line of a fact."""
        self.lines.append(line)
        self.facts.append(fact_of(line))

    @property
    def spans(self) -> list[TimeSpan]:
        """Where bans matter."""
        return spans([*(span for fact in self.facts for span in fact_spans(fact)), *self.exact])


class _Plan(Struct):
    """The changes for one offender: first those that add facts, then those that remove some; and how they count."""

    written: list[Change] = field(default_factory=list)
    removed: list[Change] = field(default_factory=list)
    new: int = 0
    amended: int = 0
    known: int = 0

    def touches(self, keys: set[str]) -> bool:
        """Whether any of these keys is changed."""
        return bool(keys) and not keys.isdisjoint(change.key for change in (*self.written, *self.removed))


class PastWriter(BanWriter):
    """Writes bans, live ones and those of the past. See `writer.Ledger`."""

    def __init__(self, engine: Engine, keyspace: Keyspace) -> None:
        super().__init__(engine, keyspace)
        self._imported = Imported(engine, keyspace.imported)

    def _record_tickets(self, lines: list[TicketLine], locate: Locate, now: float) -> Recorded:
        """Record exact lines as they are, then decide what logs say beside them."""
        of_logs = [line for line in lines if is_of_log(line)]
        exact = [line for line in lines if not is_of_log(line)] if of_logs else lines
        done = self._record_bans(exact, locate) if exact else Recorded()
        self._imported.learn(of_logs, now)
        if near := self._near(of_logs, exact):
            done += self._decide(near, locate)
        return done

    def _near(self, of_logs: Iterable[BanLine], exact: Iterable[TicketLine]) -> dict[Offender, _Near]:
        """Return what is to be decided."""
        found: dict[Offender, _Near] = {}
        for line in of_logs:
            found.setdefault(offender_of_line(line), _Near()).add(line)
        for line in self._imported.may_meet_facts(exact):
            found.setdefault(offender_of_line(line), _Near()).exact.append(_span_of(line))
        return found

    # What follows.

    def _decide(self, near: dict[Offender, _Near], locate: Locate) -> Recorded:
        done: list[_Plan] = []
        for again in range(_ROUNDS):
            plans = self._plans(near, locate, again=bool(again))
            conflicts = self._conflicts([change for plan in plans.values() for change in plan.written])
            ready = [plan for plan in plans.values() if not plan.touches(conflicts)]
            conflicts |= self._conflicts([change for plan in ready for change in plan.removed])
            for offender, plan in plans.items():
                if not plan.touches(conflicts):
                    done.append(plan)
                    del near[offender]
            if not near:
                new, amended = sum(plan.new for plan in done), sum(plan.amended for plan in done)
                return Recorded(new=new, amended=amended, known=sum(plan.known for plan in done))
        raise StoreUnavailable("the ledger keeps changing under the recorder", hint="it is tried again")

    def _conflicts(self, changes: Sequence[Change]) -> set[str]:
        """Apply changes; return the keys of those that were in conflict."""
        outcomes = zip(changes, self._apply(changes), strict=True) if changes else ()
        return {change.key for change, outcome in outcomes if isinstance(outcome, Conflict)}

    def _plans(self, near: Mapping[Offender, _Near], locate: Locate, *, again: bool) -> dict[Offender, _Plan]:
        """Return the changes for each offender. `again`: there was a conflict, so look where new bans will be."""
        there = self._there(near)
        wanted: dict[Offender, Decision] = {}
        for offender, one in near.items():
            facts = [*one.facts, *(fact for ban in there[offender] for fact in ban.logged)]
            exact = [ban for ban in there[offender] if not _is_inexact(ban)]
            seen = {ban.time: ban.seen for ban in exact if ban.origin == LIVE}
            wanted[offender] = decide(facts, [ban.time for ban in exact], seen)
        missing = {
            offender.at(second): facts
            for offender, decision in wanted.items()
            for second, facts in _without(decision, there[offender])
        }
        begun = self._begun(missing, near, locate, again=again)
        return {
            offender: self._plan(
                near[offender], there[offender], decision, [begun.get(offender.at(s)) for s in decision]
            )
            for offender, decision in wanted.items()
        }

    def _there(self, near: Mapping[Offender, _Near]) -> dict[Offender, list[Ban]]:
        """Return the recorded bans of each offender that matter."""
        times = {offender: one.spans for offender, one in near.items()}
        found: dict[Offender, list[Ban]] = {offender: [] for offender in near}
        for ban in filter(None, self.bans(sorted(self._ids(near, times)))):
            offender = offender_of_ban(ban)
            if offender in found and within(ban.time, times[offender]):
                found[offender].append(ban)
        return found

    def _ids(self, near: Iterable[Offender], times: Mapping[Offender, list[TimeSpan]]) -> set[str]:
        """Return the ids of bans of these offenders at these times, and perhaps of others."""
        indexes = {offender: offender.indexes() for offender in near}
        ends = [end for several in times.values() for span in several for end in span]
        tokens = [place for places in indexes.values() for place in places]
        either = tuple([Is(name, frozenset([tok for one, tok in tokens if one == name])) for name in INDEXES])
        selected = self._engine.select(Selection((either,), min(ends), max(ends) + 1))
        if selected is not None:
            return set(selected.newest())
        keys = [(offender, self.keys.members(*place)) for offender, places in indexes.items() for place in places]
        ids: set[str] = set()
        for (offender, key), size in zip(keys, self._engine.sizes([key for _, key in keys]), strict=True):
            listed = [(id_, second_of(id_)) for id_ in self._engine.members(key)] if size else []
            ids |= {id_ for id_, second in listed if second is not None and within(second, times[offender])}
        return ids

    def _begun(
        self, missing: Mapping[Subject, Facts], near: Mapping[Offender, _Near], locate: Locate, *, again: bool
    ) -> dict[Subject, tuple[Ban | None, Ban]]:
        """Return the new bans, each with what is at its place: nothing, or what no index leads to.

        That is amendments that came before it, or a ban whose entries the store lost.
        """
        bans = [BatchBan(subject, [], looked_up=not again) for subject in missing]
        self._look_up(bans)
        begun: dict[Subject, tuple[Ban | None, Ban]] = {}
        for one in bans:
            old, subject = one.there, one.subject
            if isinstance(old, Tombstone):
                continue
            if isinstance(old, Damaged):
                self._aside.put(self.keys.ban(one.id), old, near[offender_of_subject(subject)].lines)
            elif old is None:
                ip = canonical_address(subject.fid)
                about = one.id, subject, self._calendar(subject.time), ip, locate(ip, subject.time)
                begun[subject] = None, begin_from_facts(*about, missing[subject])
            else:
                merged = merge(old, _line(subject, missing[subject][0]))
                begun[subject] = old, with_facts(merged, joined((*missing[subject], *old.logged)))
        return begun

    def _plan(
        self, near: _Near, there: Sequence[Ban], wanted: Decision, begun: Sequence[tuple[Ban | None, Ban] | None]
    ) -> _Plan:
        """Return the changes from the recorded bans to those that follow. `begun`: the new ones."""
        plan, new = _Plan(), {fact.logged for fact in near.facts}
        for old, ban in filter(None, begun):
            if old is not ban:
                plan.written.append(self._change(old, ban))
            elif self.reassert:
                self._assert(plan, ban, changed=False)
        added, gone = len(plan.written), sum(ban.time not in wanted for ban in there)
        plan.new, plan.amended = added - gone, min(added, gone)
        for ban in there:
            facts = wanted.get(ban.time)
            if facts is None:
                left = without_facts(ban)
                plan.removed.append(self._change(ban, left) if left else self.keys.removal(ban))
                continue
            after = with_facts(ban, facts)
            if after is not ban:
                self._amend_facts(plan, ban, after)
            elif not new.isdisjoint(fact.logged for fact in facts):
                plan.known += 1
            if self.reassert:
                self._assert(plan, after, changed=after is not ban)
        return plan

    def _amend_facts(self, plan: _Plan, ban: Ban, after: Ban) -> None:
        """Add facts at once, drop others only when they are written elsewhere."""
        both = with_facts(ban, joined((*ban.logged, *after.logged)))
        if both is not ban:
            plan.written.append(self._change(ban, both))
        if after != both:
            plan.removed.append(self._change(both, after))
        plan.amended += 1

    def _assert(self, plan: _Plan, ban: Ban, *, changed: bool) -> None:
        """Write an unchanged ban's entries again too. See `BanWriter`."""
        if not changed:
            plan.written.append(self.keys.assertion(ban))
        self.touched.add((ban.id[:4], ban.day))


def is_of_log(line: TicketLine) -> TypeGuard[BanLine]:
    """Whether a line was made of a log by an import."""
    return isinstance(line, BanLine) and bool(line.origin and line.logged)


def _is_inexact(ban: Ban) -> bool:
    """Whether only logs tell of a ban. (Without its facts, which damage may cost, it stays as it is.)"""
    return ban.exact is not None and ban.origin == IMPORTED and bool(ban.logged)


def _span_of(line: BanLine) -> TimeSpan:
    """Return where facts may mean the ban of an exact line."""
    saw = line.seen if not line.origin and not line.restored else 0.0
    return exact_span(subject_of(line).time, saw, line.bantime)


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
