"""`banledger report`."""

import time
from typing import Any

import click

from banledger.cli import options, session
from banledger.cli.progress import ProgressBars

_DEFAULT = "30d"


@click.command(name="report")
@options.filters
@click.option(
    "-n",
    "count",
    type=options.WholeNumber(1, 100_000),
    default=10,
    show_default=True,
    help="How many values to list per section.",
)
@options.formats
@options.store_options
def report(count: int, **flags: Any) -> None:
    """What happened: totals, bans per day, countries, addresses, jails, user names, hours.

    Without --since and --until it covers the last 30 days; `--since all` covers everything. Days and hours are in the
    ledger's time zone. Several values of one filter mean any of them; different filters must all match.

    \b
    Example:
      banledger report
      banledger report --since 2026-11-01 --until 2026-11-07
      banledger report --since all --country CN --country RU
      banledger report --jail sshd --since 24h --json
    """
    form, now = options.form(flags), time.time()
    with session.ledger(flags) as reader:
        from banledger.report import summary
        from banledger.report.formats.base import Presentation

        query = session.query(reader, now, flags, since=_DEFAULT)
        with ProgressBars() as progress:
            answer = summary.report(reader, query, now, count, progress)
        view = Presentation(reader.zone, now)
        said = session.alarm(reader, now) if form == "text" else ""
    options.write(form, answer, view)
    session.warn_of_recorders(said)
