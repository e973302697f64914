"""Carry out requests to forget, a few bans at a time, over any engine.

Theory of operation. A request comes by the spool like a ban, and is a field of one hash (`forget_request`). The
recorder carries it out between batches, a step at a time. A forgotten ban leaves a tombstone and stands in no set any
more, so what is left to do is what the sets still name: a killed recorder goes on where it was. When no ban is left,
what stands in no set is removed (`forget_rest`). If the spool held earlier lines when that began, it begins anew;
otherwise the request is done, and then what is left in freed pages of the store is overwritten (`Engine.purge`).

On a server several recorders may see a request; a lease lets one of them work.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from msgspec.structs import replace

from banledger.errors import StoreUnavailable
from banledger.ledger.ban import Ban
from banledger.ledger.dimensions import TABLE
from banledger.ledger.forget_change import forgetting
from banledger.ledger.forget_match import Matcher
from banledger.ledger.forget_request import (
    AGAIN_S,
    DAILY,
    DAY_S,
    KEPT_S,
    ForgetRequest,
    read_requests,
    request_of,
    to_text,
)
from banledger.ledger.forget_rest import forget_rest
from banledger.ledger.ids import second_of
from banledger.ledger.keys import Keyspace
from banledger.ledger.lease import Held, take
from banledger.ledger.merge import erased
from banledger.ledger.reader import LedgerReader
from banledger.ledger.selected import select
from banledger.spool.events import ForgetLine
from banledger.stores.api import Advance, Applied, Engine
from banledger.stores.change import Change
from banledger.stores.fields import Damaged
from banledger.stores.selection import Selection

AT_ONCE = 200
"""Bans of one step."""
_FOUND = 2000  # ids that are looked up at once
_ROUNDS = 20


class Forgetter:
    """The requests of a ledger. Used by the recorder, by one thread.

    asked  whether requests were recorded since `step` last looked for any
    open   whether a request is known that is not done
    ended  the requests that were carried out, until the caller takes them away
    """

    def __init__(self, engine: Engine, keys: Keyspace) -> None:
        self._engine = engine
        self._keys = keys
        self._work: _Work | None = None
        self._unpurged: dict[str, ForgetRequest] = {}
        self._looked = ""  # the request that was carried out, but for lines that are still in the spool
        self.asked = self.open = False
        self.ended: list[ForgetRequest] = []

    def record(self, lines: Iterable[ForgetLine], now: float) -> None:
        """Record the requests of lines (UTC epoch `now`). Those that are known stay as they are."""
        asked = {line.writer or f"{line.seen:.0f}": to_text(request_of(line, now)) for line in lines}
        if asked:
            self._engine.apply([], [Advance(self._keys.forget, asked)])
            self.asked = True

    def ask_daily(self, request: ForgetRequest) -> None:
        """Record a request for what is too old, unless the last one is open, or was done within a day."""
        name = f"{DAILY}{request.what}"
        there = read_requests(self._engine, self._keys).get(name)
        if there is None or (there.done and abs(request.asked - there.done) >= DAY_S):
            if there is not None:  # bans that come late are recorded without old matched lines
                since = max(0.0, there.before - AGAIN_S) if request.what == "matches" else 0.0
                request = replace(request, step=there.step + 1, since=since)
            self._engine.apply([], [Advance(self._keys.forget, {name: to_text(request)})])

    def lease(self, wanted: Held, seen: Held) -> Held:
        """Take the lease on requests; return it. See `lease.take`."""
        return take(self._engine, self._keys.forgetter, wanted, seen)

    def step(self, now: float, rejected: Callable[[Matcher], int], *, settled: bool) -> bool:
        """Do a part of the oldest request; return whether there is more to do at once. Raises StoreError.

        `now`: UTC epoch. `rejected`: removes what a request names from invalid lines that were set aside; returns their
        number. `settled`: whether all lines that the spool holds are recorded.
        """
        if self._unpurged:
            return self._purge()
        if self._work is None:
            self._work = self._begin(now, settled=settled)
            return bool(self._work or self._unpurged)
        if not self._work.step():
            if self._work.settled:
                self.ended.append(self._work.end(now, rejected(self._work.matcher)))
            self._looked, self._work = self._work.name, None
        return True

    def _purge(self) -> bool:
        """Overwrite in the store's files what was deleted, and note for which requests that is done."""
        if not self._engine.purge(rewrite=any(not name.startswith(DAILY) for name in self._unpurged)):
            done = {name: to_text(replace(one, purged=True).counting()) for name, one in self._unpurged.items()}
            self._engine.apply([], [Advance(self._keys.forget, done)])
            self._unpurged = {}
        return True

    def _begin(self, now: float, *, settled: bool) -> "_Work | None":
        """Begin the oldest open request; None: nothing is to be done now. Drop those that were done long ago."""
        self.asked = False
        found = read_requests(self._engine, self._keys)
        old = [name for name, one in found.items() if one.done and abs(now - one.done) > KEPT_S]
        if old:
            self._engine.apply([], [Advance(self._keys.forget, {}, tuple(old))])
        self._unpurged = {name: one for name, one in found.items() if one.done and not one.purged and name not in old}
        waiting = [(one.asked, name) for name, one in found.items() if not one.done]
        self.open = bool(waiting)
        name = min(waiting)[1] if waiting else ""
        if self._unpurged or not name or (name == self._looked and not settled):
            return None
        return _Work(self._engine, self._keys, name, found[name], settled=settled)


class _Work:
    """One request that is carried out. `settled`: whether the spool held no earlier line when it began."""

    def __init__(self, engine: Engine, keys: Keyspace, name: str, request: ForgetRequest, *, settled: bool) -> None:
        self._engine = engine
        self._keys = keys
        self.name = name
        self._request = replace(request, result=replace(request.result, in_force=0, damaged=0))
        self._ledger = LedgerReader(engine, keys)
        self._all = request.what in ("bans", "matches")
        self._ids = _by_day(self._ledger, request) if self._all else iter(())
        self._left: set[str] = set()  # ids that stay
        self._rest = True
        self.settled = settled
        self.matcher = Matcher(request)

    def step(self) -> bool:
        """Do a part; return whether more is to be done."""
        if ids := self._next():
            self._forget(ids)
        elif self._rest:
            self._rest = False
            self._request = self._request.counting(
                others=forget_rest(self._engine, self._keys, self.matcher, self._request.at)
            )
        else:
            return False
        return True

    def end(self, now: float, rejected: int) -> ForgetRequest:
        """Note that all is done. `rejected`: number of invalid lines that were removed."""
        self._request = self._request.counting(others=rejected).ended(now)
        self._engine.apply([], [self._advance(self._request)])
        return self._request

    def _next(self) -> list[str]:
        """Return the next ids; none: there are no more."""
        ids = list(islice(self._ids, AT_ONCE))
        if ids or self._all:
            return ids
        conditions = TABLE[self._request.what].conditions((self._request.value,))
        found = select(self._ledger, Selection((conditions,), None, self._request.before))
        self._ids = iter([id_ for id_ in found.newest(_FOUND + len(self._left)) if id_ not in self._left])
        return list(islice(self._ids, AT_ONCE))

    def _forget(self, ids: Sequence[str]) -> None:
        """Forget these bans; again after conflicts."""
        left = list(ids)
        for _ in range(_ROUNDS):
            changes = self._changes(left)
            done = self._request.counting(**{self._counted: len(changes)})
            outcomes = self._engine.apply(list(changes.values()), [self._advance(done)])
            left = [id_ for id_, outcome in zip(changes, outcomes, strict=True) if not isinstance(outcome, Applied)]
            self._request = self._request.counting(**{self._counted: len(changes) - len(left)})
            if not left:
                return
            self._engine.settle()
        raise StoreUnavailable("the ledger keeps changing under the recorder", hint="it is tried again")

    @property
    def _counted(self) -> str:
        return "erased" if self._request.what in ("user", "matches") else "bans"

    def _advance(self, request: ForgetRequest) -> Advance:
        return Advance(self._keys.forget, {self.name: to_text(request)})

    def _changes(self, ids: Sequence[str]) -> dict[str, Change]:
        """Return what is to be done about these bans. Those that stay are noted."""
        changes: dict[str, Change] = {}
        for id_, found in zip(ids, self._ledger.bans_or_damage(ids), strict=True):
            change = self._change(found) if isinstance(found, Ban) else None
            if change is not None:
                changes[id_] = change
            else:
                self._left.add(id_)
                if isinstance(found, Damaged):
                    self._request = self._request.counting(damaged=1)
        return changes

    def _change(self, ban: Ban) -> Change | None:
        """Return the change of a ban; None: it stays as it is."""
        if self._all and is_in_force(ban, self._ledger, self._request.at):
            self._request = self._request.counting(in_force=1)
            return None
        if self._counted == "bans":
            return forgetting(self._keys, ban, self._request.at)
        after = erased(ban, self._request.at, self.matcher.is_user)
        return None if after is ban else self._keys.change(ban, after)


def is_in_force(ban: Ban, ledger: LedgerReader, now: float) -> bool:
    """Whether fail2ban may still hold a ban, as far as the ledger knows (UTC epoch `now`)."""
    return ban.open and ban.expires > now and (ban.server, ban.jail) not in ledger.stopped


def _by_day(ledger: LedgerReader, request: ForgetRequest) -> Iterator[str]:
    """Return the ids of all bans from the request's first moment to its last, oldest day first."""
    first = time.strftime("%Y-%m-%d", time.gmtime(max(0.0, request.since - DAY_S)))
    for day in ledger.days():
        if day < first:
            continue
        moments = [(id_, second_of(id_) or 0) for id_ in reversed(ledger.ids_of_day(day))]
        if moments and moments[0][1] >= request.before:
            return
        yield from [id_ for id_, second in moments if request.since <= second < request.before]
