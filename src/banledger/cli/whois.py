"""`banledger whois`."""

import time
from typing import TYPE_CHECKING

import click

from banledger.cli import options

if TYPE_CHECKING:
    from banledger.ledger.network import Answer
    from banledger.settings import Settings
    from banledger.whois.stored import WhoisAnswer


@click.command(name="whois")
@click.argument("what", metavar="ADDR|CIDR")
@click.option("--refresh", is_flag=True, help="Ask the registry again, whatever the ledger knows.")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
@click.option("--raw", is_flag=True, help="The registry's whole answer (JSON).")
@click.option("--spool", metavar="DIR", help="The directory that the recorder reads.")
@options.store_options
def whois(what: str, refresh: bool, as_json: bool, raw: bool, spool: str | None, **flags: str | None) -> None:
    """Whose network an address is in: name, country, organisation, autonomous system, and who takes complaints.

    From the ledger, if it knows: the answer says from where, how old it is, and whether somebody asked about this part
    of the network (proven) or about one near by (inherited). Else, and with --refresh, its registry is asked; if you
    are root (or whoever fail2ban runs as), the answer is kept for the ledger. Private addresses are never asked about,
    and nobody is if the setting whois.enabled is false.

    \b
    Example:
      banledger whois 115.209.121.31
      banledger whois 115.209.121.31 --refresh
      banledger whois 2001:67c:2e8::/48 --raw
    """
    if as_json and raw:
        raise click.UsageError("--json and --raw exclude each other", click.get_current_context())
    from banledger.cli.environment import load

    chosen = load({"spool": spool, **flags})
    now = time.time()
    asked = _address(what)
    known = _known(chosen, asked, now)
    if refresh or known.standing in ("", "around"):
        known = _ask(chosen, known, now, refresh=refresh)
    _print(known, now, "raw" if raw else "json" if as_json else "text")


def _address(what: str) -> str:
    """The address or network in its one spelling, if it is one that registries know. Raises QuestionError."""
    from banledger.errors import QuestionError
    from banledger.geo.registered import locate
    from banledger.ledger.network import SHORTEST
    from banledger.net.prefix import block
    from banledger.net.special import described, embedded
    from banledger.report.query import addresses

    (asked,) = addresses((what,))
    there = block(asked)
    if there.prefix < SHORTEST[there.version]:
        raise QuestionError(
            f"{asked} is too large: no registry has a network of that size",
            hint=f"ask about an address, or a network from /{SHORTEST[there.version]} on",
        )
    if locate(asked).scope != "public":
        hint = f"banledger whois {inside}" if (inside := embedded(there)) else "no registry knows whose it is"
        raise QuestionError(f"{asked} is special: {described(there) or 'private or reserved'}", hint=hint)
    return asked


def _known(chosen: "Settings", asked: str, now: float) -> "WhoisAnswer":
    """What the ledger knows; nothing where there is none yet."""
    from banledger.errors import LedgerMissing
    from banledger.ledger.network import cell_of
    from banledger.ledger.writer import open_to_read
    from banledger.net.prefix import block
    from banledger.service.wiring import offline_alike
    from banledger.stores.connect import access
    from banledger.whois.stored import WhoisAnswer, known

    try:
        reader = open_to_read(chosen.store, chosen.prefix, access(chosen))
    except LedgerMissing:
        return WhoisAnswer(asked, "", cell_of(block(asked), None), None, None, {})
    try:
        return known(reader.networks, asked, now, chosen.whois_refresh_days * 86_400.0, offline_alike(chosen))
    finally:
        reader.close()


def _ask(chosen: "Settings", known: "WhoisAnswer", now: float, *, refresh: bool) -> "WhoisAnswer":
    """Ask the registry; what was known already stands where it can't be asked, unless that was wanted."""
    from banledger.errors import LookupFailed
    from banledger.ledger.network import Outcome
    from banledger.whois.stored import answered

    answer = _answer(chosen, known, now) if chosen.whois_enabled else None
    if answer is not None and answer.outcome is Outcome.FOUND:
        _keep(chosen, answer)
        return answered(known, answer, now)
    if known.network is not None and not refresh:
        return known
    if answer is None:
        raise LookupFailed(f"nobody is asked about {known.asked}", hint="the setting whois.enabled is false")
    if answer.outcome is Outcome.NONE:
        raise LookupFailed(f"no registry has a network around {known.asked}", hint="it may not be given to anybody")
    limited = "asks to be left alone for a while" if answer.outcome is Outcome.LIMITED else answer.problem
    raise LookupFailed(f"{answer.registry or 'no registry'}: {limited}", hint="try again later")


def _answer(chosen: "Settings", known: "WhoisAnswer", now: float) -> "Answer":
    """What the registry says, unless it wants to be left alone."""
    from banledger.ledger.network import Answer, Outcome
    from banledger.service.wiring import lookup

    asks = lookup(chosen)
    registry = asks.registry_of(known.asked)
    pause = known.pauses.get(registry.name) if registry else None
    if registry and pause and pause.left_s(now):
        return Answer(address=known.asked, registry=registry.name, outcome=Outcome.LIMITED)
    click.echo(f"asking about {known.asked} ...", err=True)
    return asks.ask(known.asked)


def _keep(chosen: "Settings", answer: "Answer") -> None:
    """For the ledger, by way of the spool: the recorder takes nothing there from strangers."""
    import os
    from pathlib import Path

    from banledger.errors import SpoolError
    from banledger.ledger.network_line import line_of
    from banledger.spool.writer import SegmentWriter

    assert answer.network is not None  # noqa: S101  # it is found
    spool = Path(chosen.spool)
    if not spool.is_dir() or spool.stat().st_uid != os.geteuid():
        return
    line = line_of(answer.network, about=answer.address, seen=time.time(), server="banledger", writer="whois")
    try:
        with SegmentWriter(spool) as writer:
            writer.write(line)
    except SpoolError as error:
        click.echo(f"not kept for the ledger: {error}", err=True)


def _print(known: "WhoisAnswer", now: float, form: str) -> None:
    if form == "json":
        from banledger.report.formats import json

        click.echo(json.whois(known, now))
    elif form == "raw":
        from banledger.report.formats import json

        click.echo(json.whole_answer(known))
    else:
        from banledger.report.formats import listing, screen

        listing.whois(known, now, screen.Screen())
