"""`banledger show`."""

import time
from typing import Any

import click

from banledger.cli import options, session
from banledger.cli.progress import ProgressBars


@click.command(name="show")
@click.argument("what", metavar="ADDR|CIDR|ID")
@click.option(
    "-n",
    "count",
    type=options.WholeNumber(1),
    help="How many bans to list, newest first. [default: 50; all with --json and --csv]",
)
@options.formats
@options.store_options
def show(what: str, count: int | None, **flags: Any) -> None:
    """Show everything the ledger has about an address, a network, a ban's id, or other text that fail2ban banned.

    For an address: its bans and those of networks around it. For a network: bans of all addresses and networks inside
    it and of networks around it. For a ban's id: that ban with the log lines that led to it. Each ban has a state:
    banned until a time or for ever, ran out, lifted, gone (fail2ban no longer holds it), or not in force because its
    fail2ban or jail stopped.

    \b
    Example:
      banledger show 203.0.113.9
      banledger show 2001:db8::/48 --csv
      banledger show 2611230f4k7q2m5x9ctz --json
    """
    form, now = options.form(flags), time.time()
    with session.ledger(flags) as reader:
        from banledger.report.formats.base import Presentation
        from banledger.report.show import show as ask

        with ProgressBars() as progress:
            answer = ask(reader, what, now, progress)
        listed = options.TABLE if count is None and form == "text" else count
        view = Presentation(reader.zone, now, reader.stopped, listed)
        said = session.alarm(reader, now) if form == "text" else ""
    options.write(form, answer, view)
    session.warn_of_recorders(said)
