"""One question of a person: what the ledger knows, else what the registry says, which is kept for the ledger."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from banledger.errors import LedgerMissing, LookupFailed, QuestionError
from banledger.geo.registered import locate
from banledger.ledger.network import SHORTEST, Answer, Outcome, cell_of
from banledger.ledger.network_line import line_of
from banledger.ledger.writer import open_to_read
from banledger.net.prefix import block
from banledger.net.special import described, embedded
from banledger.settings import Settings
from banledger.spool.writer import SegmentWriter
from banledger.stores.connect import access
from banledger.whois import stored
from banledger.whois.rdap.bootstrap import Registry
from banledger.whois.stored import AROUND, Alike, WhoisAnswer, answered


class Asks(Protocol):
    """What asks registries. See rdap.client.Lookup."""

    def registry_of(self, address: str) -> Registry | None:
        """The registry of an address; None: there is none."""

    def ask(self, address: str) -> Answer:
        """What that registry says."""


def check(asked: str) -> None:
    """Raises QuestionError for a canonical address or network that no registry knows."""
    there = block(asked)
    if there.prefix < SHORTEST[there.version]:
        raise QuestionError(
            f"{asked} is too large: no registry has a network of that size",
            hint=f"ask about an address, or a network from /{SHORTEST[there.version]} on",
        )
    if locate(asked).scope != "public":
        hint = f"banledger whois {inside}" if (inside := embedded(there)) else "no registry knows whose it is"
        raise QuestionError(f"{asked} is special: {described(there) or 'private or reserved'}", hint=hint)


def known(chosen: Settings, asked: str, now: float, alike: Alike) -> WhoisAnswer:
    """What the ledger knows (UTC epoch `now`); nothing where there is none yet."""
    try:
        reader = open_to_read(chosen.store, chosen.prefix, access(chosen))
    except LedgerMissing:
        return WhoisAnswer(asked, "", cell_of(block(asked), None), None, None, {})
    try:
        return stored.known(reader.networks, asked, now, chosen.whois_refresh_days * 86_400.0, alike)
    finally:
        reader.close()


def is_enough(answer: WhoisAnswer) -> bool:
    """Whether nobody need be asked."""
    return answer.standing not in ("", AROUND)


def ask(answer: WhoisAnswer, asks: Asks, now: float, say: Callable[[str], None]) -> Answer:
    """What the registry says, unless it wants to be left alone. `say` is told before it is asked."""
    registry = asks.registry_of(answer.asked)
    pause = answer.pauses.get(registry.name) if registry else None
    if registry and pause and pause.left_s(now):
        return Answer(address=answer.asked, registry=registry.name, outcome=Outcome.LIMITED)
    say(f"asking about {answer.asked} ...")
    return asks.ask(answer.asked)


def joined(before: WhoisAnswer, answer: Answer | None, now: float, *, refresh: bool) -> WhoisAnswer:
    """What is known with the registry's answer (None: nobody is asked). Raises LookupFailed if that tells nothing.

    What was known stands where the registry tells nothing, unless `refresh`: a new answer was wanted.
    """
    if answer is not None and answer.outcome is Outcome.FOUND:
        return answered(before, answer, now)
    if before.network is not None and not refresh:
        return before
    if answer is None:
        raise LookupFailed(f"nobody is asked about {before.asked}", hint="the setting whois.enabled is false")
    if answer.outcome is Outcome.NONE:
        raise LookupFailed(f"no registry has a network around {before.asked}", hint="it may not be given to anybody")
    limited = "rate limited by it for now" if answer.outcome is Outcome.LIMITED else answer.problem
    raise LookupFailed(f"{answer.registry or 'no registry'}: {limited}", hint="try again later")


def keep(spool: Path, answer: Answer | None, now: float) -> None:
    """Put a network that was found into the spool, for the recorder, which takes nothing there from strangers.

    Does nothing where there is no such spool, or it is not ours. Raises SpoolError.
    """
    if answer is None or answer.network is None or answer.outcome is not Outcome.FOUND:
        return
    if not spool.is_dir() or spool.stat().st_uid != os.geteuid():
        return
    line = line_of(answer.network, about=answer.address, seen=now, server="banledger", writer="whois")
    with SegmentWriter(spool) as writer:
        writer.write(line)
