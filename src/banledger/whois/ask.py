"""One manual look-up (`banledger whois`): answer from the ledger, else from the registry; keep new answers."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from banledger.errors import LedgerMissing, LookupFailed, QuestionError
from banledger.geo.registered import locate
from banledger.ledger.network import SHORTEST, Answer, Outcome, cell_of
from banledger.ledger.network_line import line_of
from banledger.ledger.opening import open_to_read
from banledger.net.prefix import block
from banledger.net.special import described, embedded
from banledger.settings import Settings
from banledger.spool.writer import SegmentWriter
from banledger.stores.connect import access
from banledger.whois import stored
from banledger.whois.rdap.bootstrap import Registry
from banledger.whois.stored import AROUND, Alike, WhoisAnswer, answered


class Asks(Protocol):
    """A client of the registries. See rdap.client.Lookup."""

    def registry_of(self, address: str) -> Registry | None:
        """The registry of an address; None: there is none."""

    def ask(self, address: str) -> Answer:
        """That registry's answer."""


def check(asked: str) -> None:
    """Raise QuestionError for a canonical address or network that no registry can have."""
    there = block(asked)
    if there.prefix < SHORTEST[there.version]:
        raise QuestionError(
            f"{asked} is too large: no registry has a network of that size",
            hint=f"give an address, or a network from /{SHORTEST[there.version]} on",
        )
    if locate(asked).scope != "public":
        kind = described(there) or "private or reserved address"
        hint = f"banledger whois {inside}" if (inside := embedded(there)) else "registries have public addresses only"
        raise QuestionError(f"no registry has {asked}: {kind}", hint=hint)


def known(chosen: Settings, asked: str, now: float, alike: Alike) -> WhoisAnswer:
    """The ledger's answer (UTC epoch `now`); an empty one if there is no ledger yet."""
    try:
        reader = open_to_read(chosen.store, chosen.prefix, access(chosen))
    except LedgerMissing:
        return WhoisAnswer(asked, "", cell_of(block(asked), None), None, None, {})
    try:
        return stored.known(reader.networks, asked, now, chosen.whois_refresh_days * 86_400.0, alike)
    finally:
        reader.close()


def is_enough(answer: WhoisAnswer) -> bool:
    """Whether no registry need be asked."""
    return answer.standing not in ("", AROUND)


def ask(answer: WhoisAnswer, asks: Asks, now: float, say: Callable[[str], None]) -> Answer:
    """The registry's answer, unless the registry is paused. `say` is called before the look-up."""
    registry = asks.registry_of(answer.asked)
    pause = answer.pauses.get(registry.name) if registry else None
    if registry and pause and pause.left_s(now):
        return Answer(address=answer.asked, registry=registry.name, outcome=Outcome.LIMITED)
    say(f"asking about {answer.asked} ...")
    return asks.ask(answer.asked)


def joined(before: WhoisAnswer, answer: Answer | None, now: float, *, refresh: bool) -> WhoisAnswer:
    """Combine the ledger's answer with the registry's (None: not asked). Raises LookupFailed if there is none.

    The ledger's answer stays if the registry has none, unless `refresh` asked for a new one.
    """
    if answer is not None and answer.outcome is Outcome.FOUND:
        return answered(before, answer, now)
    if before.network is not None and not refresh:
        return before
    if answer is None:
        raise LookupFailed(f"not looked up: {before.asked}", hint="the setting whois.enabled is false")
    if answer.outcome is Outcome.NONE:
        raise LookupFailed(f"no registry has a network around {before.asked}", hint="it may not be assigned")
    by = answer.registry or "no registry"
    if answer.outcome is Outcome.LIMITED:
        raise LookupFailed(f"{by}: rate limited for now", hint="try again later")
    raise LookupFailed(f"{by}: {answer.problem}", hint="check this machine's network and DNS, or try again later")


def keep(spool: Path, answer: Answer | None, now: float) -> None:
    """Write a found network to the spool for the recorder, which accepts lines of trusted owners only.

    Does nothing if the spool does not exist or is not ours. Raises SpoolError.
    """
    if answer is None or answer.network is None or answer.outcome is not Outcome.FOUND:
        return
    if not spool.is_dir() or spool.stat().st_uid != os.geteuid():
        return
    line = line_of(answer.network, about=answer.address, seen=now, server="banledger", writer="whois")
    with SegmentWriter(spool) as writer:
        writer.write(line)
