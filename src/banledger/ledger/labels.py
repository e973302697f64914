"""The lease on each server label: the recorder that records the bans of that label.

Theory of operation. A label belongs to a machine (its name in `meta`) and, among recorders of machines with that name,
to one recorder. Clones are equal in everything, so a name can't distinguish them: the lease is a nonce in the store.
Its holder replaces it by a new nonce every `RENEW_S`, if it is still one of its own (compare and set). A recorder that
finds a nonce that it did not draw knows that another recorder renewed the lease, and holds the label's bans back. Of
two clones, the first to renew continues; each learns the other's name.

Nonces are kept across restarts (`nonces`), so a restarted recorder continues at once. A nonce that stays the same for
`LEASE_S` of our own elapsed time has no living holder, and is replaced. No wall clock is read. A store that went back
has an older nonce of the holder, or none: neither means another recorder. A recorder that stops releases its leases.

Nothing is recorded under a lease that was last renewed more than `RENEW_S` ago, so two clones both record for at most
that long. A renewal costs one round trip per label, and none per ban.
"""

import logging
import os
from collections.abc import Callable, Collection, Iterable

from msgspec import Struct

from banledger.clock import elapsed_s
from banledger.ledger.keys import Keyspace
from banledger.ledger.lease import Watch
from banledger.ledger.nonces import Nonces
from banledger.ledger.swap import assign, claim, swap
from banledger.ledger.tokens import token
from banledger.stores.api import Engine, Hash

RENEW_S = 20.0
LEASE_S = 60.0
RETRY_S = 5.0
"""How often the lease on a label that is held back is requested again."""
IDLE_S = 86_400.0
"""The lease on a label without lines for this time is released."""

NAMELESS = "nameless"
"""The name of a machine without machine-id, as in many containers."""

OWNER = "server:"
_LONGEST_NAME = 200
_NAMES_SAID = 20
_MET = "bans that both recorded may be merged"

_Notice = tuple[int, str]


class Refusal(Struct, frozen=True):
    """The reason why a label's bans are held back, and what to do."""

    message: str
    hint: str


class LabelTable:
    """The labels and leases in the store. `machine`: this machine's name. Raises StoreError."""

    def __init__(self, engine: Engine, keys: Keyspace, ledger: str, machine: str) -> None:
        self._engine = engine
        self._keys = keys
        self.ledger = ledger
        self._machine = machine

    def claim(self, labels: Iterable[str]) -> set[str]:
        """Assign labels without owner to this machine; return the labels that it owns."""
        wanted = {OWNER + token(label): label for label in labels}
        meta = self._engine.hashes([self._keys.meta])[0]
        if missing := [field for field in wanted if field not in meta]:
            meta = claim(self._engine, self._keys.meta, dict.fromkeys(missing, self._machine))
        return {label for field, label in wanted.items() if meta.get(field) == self._machine}

    def adopt(self, label: str, place: str = "", name: str = "") -> None:
        """Assign the label to this machine, and its lease to the recorder of `place`. `name`: our name, for people."""
        assign(self._engine, self._keys.meta, {OWNER + token(label): self._machine})
        assign(self._engine, self._keys.label(token(label)), {"nonce": _adoption(place), "recorder": name})

    def exchange(self, label: str, among: Collection[str], fields: Hash, otherwise: Hash) -> Hash:
        """Write `fields` to the lease if its nonce is in `among` (an empty text: no nonce), otherwise `otherwise`.

        Returns the lease as it was before.
        """

        def decide(have: Hash) -> Hash:
            return fields if have.get("nonce", "") in among else otherwise

        return swap(self._engine, self._keys.label(token(label)), decide, ("nonce",))[0]


class _Lease:
    """This recorder's state of one label's lease. Moments are elapsed time."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self.due = 0.0
        self.used = 0.0  # the last line with this label
        self.candidate = ""  # the next nonce, drawn but not confirmed by the store
        self.doubtful = False  # the candidate may be in the store: the attempt failed
        self.nonce = ""  # the nonce that we stored last
        self.foreign = Watch(elapsed, "")  # the last nonce of another recorder
        self.refusal: Refusal | None = None


class Labels:
    """The labels that one recorder may record. Used by one thread; outlives connections to the store.

    me       the recorder's name for people: host, boot, process, address
    place    values that survive a restart of the recorder and, as far as known, differ between clones
    spool    the spool it reads: another recorder on the same machine reads another one
    elapsed  monotonic clock, seconds
    """

    def __init__(
        self,
        me: str = "this recorder",
        place: str = "",
        spool: str = "",
        nonces: Nonces | None = None,
        elapsed: Callable[[], float] = elapsed_s,
    ) -> None:
        self._me = me[:_LONGEST_NAME]
        self._adopted = _adoption(place)
        self._spool = spool
        self._nonces = nonces or Nonces()
        self._elapsed = elapsed
        self._ledger = ""
        self._leases: dict[str, _Lease] = {}
        self._rivals: set[str] = set()
        self._notices: list[_Notice] = []

    def new(self, table: LabelTable, labels: Iterable[str]) -> set[str]:
        """Return the labels whose lease was not requested yet."""
        self._see(table)
        now, new = self._elapsed(), set()
        for label in labels:
            if label in self._leases:
                self._leases[label].used = now
            else:
                new.add(label)
        return new

    @property
    def refused(self) -> dict[str, Refusal]:
        """The labels whose bans must be held back."""
        return {label: lease.refusal for label, lease in self._leases.items() if lease.refusal}

    @property
    def due(self) -> bool:
        """Whether a lease must be renewed before anything is recorded, or requested again."""
        return any(lease.due <= self._elapsed() for lease in self._leases.values())

    def notices(self) -> list[_Notice]:
        """Return the (level, text) of all log lines since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def take(self, table: LabelTable, labels: Iterable[str] = ()) -> None:
        """Request the leases on these labels, and renew every lease that is due. Raises StoreError."""
        self._see(table)
        now = self._elapsed()
        for label in labels:
            self._leases.setdefault(label, _Lease(self._elapsed)).used = now
        for label in [label for label, lease in self._leases.items() if now - lease.used >= IDLE_S]:
            self._give_back(table, label)
        due = sorted(label for label, lease in self._leases.items() if lease.due <= now)
        ours = table.claim(due) if due else set()
        for label in due:
            if label in ours:
                self._renew(table, label, now)
            else:
                self._refuse(label, now, _belongs(label))

    def _see(self, table: LabelTable) -> None:
        """Forget the leases if this is another ledger."""
        if table.ledger != self._ledger:
            self._ledger = table.ledger
            self._leases.clear()

    def give_back(self, table: LabelTable) -> None:
        """Release all leases. Raises StoreError."""
        if table.ledger == self._ledger:
            for label in list(self._leases):
                self._give_back(table, label)

    def _give_back(self, table: LabelTable, label: str) -> None:
        if nonce := self._leases[label].nonce:
            table.exchange(label, [nonce], {"nonce": "", "last": nonce}, {})
        del self._leases[label]

    def _renew(self, table: LabelTable, label: str, now: float) -> None:
        lease, name = self._leases[label], f"{self._ledger}\n{label}\n{self._spool}"
        if not lease.candidate:
            lease.candidate = os.urandom(8).hex()
            self._nonces.add(name, lease.candidate)
        candidate = lease.candidate
        ours = [one for one in self._nonces.of(name) if one != candidate or lease.doubtful]
        silent = [lease.foreign.seen] if lease.foreign.seen and lease.foreign.still_s >= LEASE_S else []
        among = ["", *ours, self._adopted, *silent]
        wanted = {"nonce": candidate, "recorder": self._me, "rival": "", "last": ""}
        lease.doubtful = True
        there = table.exchange(label, among, wanted, {"rival": self._me})
        lease.doubtful = False
        found = there.get("nonce", "")
        if found not in among:
            self._found_another(label, found, there.get("recorder", ""), now)
            return
        lease.nonce, lease.candidate, lease.due = candidate, "", now + RENEW_S
        self._say_taken(label, there, known=ours, silent=found in silent)
        lease.foreign.see("")
        lease.refusal = None
        if found == candidate:  # the failed attempt had done it: redraw
            self._renew(table, label, now)

    def _found_another(self, label: str, nonce: str, name: str, now: float) -> None:
        self._leases[label].foreign.see(nonce)
        self._refuse(label, now, _renewed_by(label, _shown(name), self._me))

    def _refuse(self, label: str, now: float, refusal: Refusal) -> None:
        lease = self._leases[label]
        lease.due, lease.nonce = now + RETRY_S, ""
        if lease.refusal != refusal:
            lease.refusal = refusal
            self._notices.append(
                (logging.ERROR, f"{refusal.message}; bans of this label wait in the spool ({refusal.hint})")
            )

    def _say_taken(self, label: str, there: Hash, *, known: list[str], silent: bool) -> None:
        """Log what the lease shows about other recorders, and that a label is recorded again."""
        name, rival = _shown(there.get("recorder", "")), there.get("rival", "")
        if silent:
            text = f"server label {label!r}: {name} did not renew its lease for a minute: {self._me!r} takes over"
            self._notices.append((logging.WARNING, text))
        elif (last := there.get("last")) and known and last not in known:
            text = f"server label {label!r} was recorded by {name} since {self._me!r} last recorded it: {_MET}"
            self._notices.append((logging.ERROR, text))
        elif rival and rival != self._me and rival not in self._rivals and len(self._rivals) < _NAMES_SAID:
            self._rivals.add(rival)
            text = (
                f"server label {label!r} is also used by another recorder, {_shown(rival)}, which holds its bans back;"
                f" {self._me!r} continues; until now {_MET} (docs/stores.md, 'Several servers, one ledger')"
            )
            self._notices.append((logging.ERROR, text))
        if self._leases[label].refusal:
            self._notices.append((logging.WARNING, f"recording again: server label {label!r}"))


def _adoption(place: str) -> str:
    """Return the nonce that assigns a lease to the recorder of that place."""
    return f"for {place}" if place else ""


def _belongs(label: str) -> Refusal:
    return Refusal(
        f"server label {label!r} belongs to another machine of this ledger",
        "give each fail2ban its own label (server=… in jail.d); if this machine replaces the other:"
        f" banledger record --adopt {label}",
    )


def _renewed_by(label: str, name: str, me: str) -> Refusal:
    return Refusal(
        f"server label {label!r} is recorded by another recorder, {name}, not by {me!r}; until now {_MET}",
        "give each fail2ban its own label (server=… in jail.d); if the other recorder is gone, wait a minute;"
        f" if this one replaces it: banledger record --adopt {label}",
    )


def _shown(name: str) -> str:
    """Return another recorder's name, from the store, for a message."""
    return repr(name[:_LONGEST_NAME]) if name else "of unknown name"
