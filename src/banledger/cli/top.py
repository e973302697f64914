"""`banledger top`."""

import time
from typing import Any

import click

from banledger.cli import completion, options, session
from banledger.cli.progress import ProgressBars
from banledger.ledger.dimensions import TABLE

_DEFAULT = "30d"


_NAMES = [f"{row.name} ({row.noun})" if row.noun else row.name for row in TABLE.values() if "+" not in row.name]

_HELP = f"""The values of DIMENSION with most bans.

DIMENSION is {", ".join(_NAMES[:-1])} or {_NAMES[-1]}. An id is what was banned, if it is not an address. Networks,
systems and organisations come from whois. Without --since and --until it covers the last 30 days; `--since all`
covers everything. Several values of one filter mean any of them; different filters must all match. A ban in which
several user names were tried counts for each of them.

\b
Example:
  banledger top ip
  banledger top country --jail sshd --since all
  banledger top network --country CN
  banledger top day -n 5 --since 2026
  banledger top user --since 7d --csv > users.csv
"""


@click.command(name="top", help=_HELP)
@click.argument("dimension", shell_complete=completion.dimensions)
@options.filters
@click.option(
    "-n", "count", type=options.WholeNumber(1, 1_000_000), default=20, show_default=True, help="How many to list."
)
@options.formats
@options.store_options
def top(dimension: str, count: int, **flags: Any) -> None:
    """Print the values with most bans. See `_HELP`."""
    form, now = options.form(flags), time.time()
    with session.ledger(flags) as reader:
        from banledger.report import summary
        from banledger.report.formats.base import Presentation

        query = session.query(reader, now, flags, since=_DEFAULT)
        with ProgressBars() as progress:
            answer = summary.top(reader, dimension.lower(), query, count, progress)
        view = Presentation(reader.zone, now)
    options.write(form, answer, view)
