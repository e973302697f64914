"""The changes from an offender's recorded bans to those that follow from facts, and what the new facts did. Pure."""

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from msgspec import Struct, field

from banledger.ledger.ban import Ban
from banledger.ledger.forget_change import removal, revival
from banledger.ledger.import_count import LineCounts
from banledger.ledger.keys import Keyspace
from banledger.ledger.log_fact import joined
from banledger.ledger.merge import with_facts, without_facts
from banledger.ledger.near import Near
from banledger.ledger.past import Decision
from banledger.ledger.tokens import source_token
from banledger.ledger.tombstone import Tombstone
from banledger.stores.change import Change

Begun: TypeAlias = tuple[Ban | Tombstone | None, Ban]
"""A new ban, and what is at its place: nothing, what no index leads to, or that it was forgotten."""


class Plan(Struct):
    """The changes for one offender: first those that add facts, then those that remove some; and how they count.

    new, amended, known  bans
    lines                what the lines of facts did
    moved                inexact bans that are now an exact one
    asserted             bans whose entries are written again
    """

    written: list[Change] = field(default_factory=list)
    removed: list[Change] = field(default_factory=list)
    asserted: list[Ban] = field(default_factory=list)
    new: int = 0
    amended: int = 0
    known: int = 0
    lines: LineCounts = LineCounts()
    moved: int = 0

    def touches(self, keys: Collection[str]) -> bool:
        """Whether any of these keys is changed."""
        return any(change.key in keys for change in (*self.written, *self.removed))


class Planner:
    """Makes the plans of one round.

    reassert  write the entries of unchanged bans again too. See `BanWriter`
    """

    def __init__(self, keys: Keyspace, change: Callable[[Ban | None, Ban], Change], *, reassert: bool) -> None:
        self._keys = keys
        self._change = change
        self._reassert = reassert

    def plan(self, near: Near, there: Sequence[Ban], wanted: Decision, begun: Sequence[Begun], aside: int) -> Plan:
        """Return the changes from the recorded bans to those that follow.

        `begun`: the new ones. `aside`: lines that were set aside, because what is at the place of a new one is damaged.
        """
        plan = Plan()
        for old, ban in begun:
            if isinstance(old, Tombstone):
                self._revive(plan, old, ban)
            elif old is not ban:
                plan.written.append(self._change(old, ban))
            elif self._reassert:
                self._assert(plan, ban, changed=False)
        plan.new = len(plan.written)
        if there:
            self._plan_recorded(plan, near, there, wanted)
        elif near.facts:
            told = len(near.facts) - aside
            known = told if not begun else 0  # it was forgotten
            plan.lines = LineCounts(plan.new, told - known - plan.new, known, aside)
        return plan

    def _revive(self, plan: Plan, old: Tombstone, ban: Ban) -> None:
        """Add the changes that record a forgotten ban again, perhaps at another second."""
        if old.id == ban.id:
            plan.written.append(revival(self._keys, old, ban))
        else:
            plan.written.append(self._change(None, ban))
            plan.removed.append(removal(self._keys, old, source_token(ban.server, ban.jail)))

    def _plan_recorded(self, plan: Plan, near: Near, there: Sequence[Ban], wanted: Decision) -> None:
        """Add the changes of recorded bans."""
        told = {fact.logged for fact in near.facts}
        amended: set[float] = set()
        gone = sum(ban.time not in wanted for ban in there)
        plan.new, plan.amended = plan.new - gone, min(plan.new, gone)
        for ban in there:
            facts = wanted.get(ban.time)
            if facts is None:
                left = without_facts(ban)
                plan.removed.append(self._change(ban, left) if left else self._keys.removal(ban))
                continue
            after = with_facts(ban, facts)
            if after is not ban:
                amended.update([fact.logged for fact in facts])
                self._amend_facts(plan, ban, after)
            elif not told.isdisjoint([fact.logged for fact in facts]):
                plan.known += 1
            if self._reassert:
                self._assert(plan, after, changed=after is not ban)
        plan.lines = _counted(near, there, wanted, amended)
        plan.moved = min(len(near.exact), max(0, -plan.new))

    def _amend_facts(self, plan: Plan, ban: Ban, after: Ban) -> None:
        """Add facts at once, drop others only when they are written elsewhere."""
        both = with_facts(ban, joined((*ban.logged, *after.logged)))
        if both is not ban:
            plan.written.append(self._change(ban, both))
        if after != both:
            plan.removed.append(self._change(both, after))
        plan.amended += 1

    def _assert(self, plan: Plan, ban: Ban, *, changed: bool) -> None:
        """Write an unchanged ban's entries again too. See `BanWriter`."""
        if not changed:
            plan.written.append(self._keys.assertion(ban))
        plan.asserted.append(ban)


def _counted(near: Near, there: Sequence[Ban], wanted: Decision, amended: Collection[float]) -> LineCounts:
    """Count the lines of new facts beside recorded bans. `amended`: the lines of all facts of bans that change."""
    recorded = {ban.time for ban in there}
    before = {fact.logged for ban in there for fact in ban.logged}
    told = {fact.logged for fact in near.facts}
    new = changed = 0
    for second, facts in wanted.items():
        mine = sum(fact.logged in told for fact in facts)
        if second in recorded:
            changed += mine if any(fact.logged in amended for fact in facts) else 0
        elif mine:
            begins = all(fact.logged not in before for fact in facts)
            new, changed = new + begins, changed + mine - begins
    return LineCounts(new, changed, len(near.facts) - new - changed)
