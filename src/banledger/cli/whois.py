"""`banledger whois`."""

import time
from typing import TYPE_CHECKING, Any

import click

from banledger.cli import options

if TYPE_CHECKING:
    from banledger.settings import Settings
    from banledger.whois.stored import WhoisAnswer


@click.command(name="whois")
@click.argument("what", metavar="ADDR|CIDR")
@click.option("--refresh", is_flag=True, help="Ask the registry even if the ledger has an answer.")
@options.formats
@click.option("--raw", is_flag=True, help="The registry's whole answer (JSON).")
@options.spool_option
@options.store_options
def whois(what: str, refresh: bool, **flags: Any) -> None:
    """Show the network of an address: name, country, organisation, autonomous system, abuse mailbox.

    The answer comes from the ledger if it has one, with its source and age, and whether this part of the network was
    looked up (proven) or one near it (inherited). Otherwise, or with --refresh, the registry is asked; if you are root
    (or the user that fail2ban runs as), the answer is kept for the ledger. Private addresses are never looked up, and
    no registry is asked if the setting whois.enabled is false.

    \b
    Example:
      banledger whois 115.209.121.31
      banledger whois 115.209.121.31 --refresh
      banledger whois 2001:67c:2e8::/48 --raw
    """
    form = options.form(flags)
    from zoneinfo import ZoneInfo

    from banledger.cli.environment import load
    from banledger.ledger.filters import address
    from banledger.report.formats.base import Presentation
    from banledger.service.wiring import offline_alike
    from banledger.whois import ask

    chosen, now = load(flags), time.time()
    asked = address(what)
    ask.check(asked)
    known = ask.known(chosen, asked, now, offline_alike(chosen))
    if refresh or not ask.is_enough(known):
        known = _asked(chosen, known, now, refresh=refresh)
    options.write(form, known, Presentation(ZoneInfo("UTC"), now))


def _asked(chosen: "Settings", known: "WhoisAnswer", now: float, *, refresh: bool) -> "WhoisAnswer":
    from pathlib import Path

    from banledger.errors import SpoolError
    from banledger.service.wiring import lookup
    from banledger.whois import ask

    answer = ask.ask(known, lookup(chosen), now, _say) if chosen.whois_enabled else None
    try:
        ask.keep(Path(chosen.spool), answer, time.time())
    except SpoolError as error:
        _say(f"not kept for the ledger: {error}")
    return ask.joined(known, answer, now, refresh=refresh)


def _say(line: str) -> None:
    click.echo(line, err=True)
