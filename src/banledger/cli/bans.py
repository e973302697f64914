"""`banledger bans`."""

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from banledger.cli import options, session
from banledger.cli.progress import ProgressBars

if TYPE_CHECKING:
    from banledger.ledger.ban import Ban
    from banledger.report.show import Stopped

_TABLE = 50


@click.command(name="bans")
@options.filters
@click.option(
    "-n", "count", type=click.IntRange(1), help="How many at most. [default: 50; all of them with --json and --csv]"
)
@options.formats
@options.store_options
def bans(
    store: str | None,
    prefix: str | None,
    config: str | None,
    as_json: bool,
    as_csv: bool,
    count: int | None,
    **asked: Any,
) -> None:
    """Bans one by one, newest first.

    Without --since and --until it is about all time. Several values of one filter mean any of them; different
    filters must all hold. --json writes one object a line, with everything that is known of a ban; output begins at
    once, however many there are.

    \b
    Example:
      banledger bans
      banledger bans --jail sshd --country CN -n 200
      banledger bans --ip 192.0.2.0/24 --since 1y
      banledger bans --user root --json | jq -r .ip | sort | uniq -c
    """
    form = options.one_format(as_json=as_json, as_csv=as_csv)
    now = time.time()
    with session.ledger(store, prefix, config) as reader:
        from banledger.ledger.progress import silent
        from banledger.report.walk import walk

        query = session.query(reader, now, asked)
        limit = _TABLE if count is None and form == "table" else count
        with ProgressBars() as progress:
            # Lines that scroll by are progress enough.
            quiet = form != "table" and sys.stdout.isatty()
            found = walk(reader, query, limit, silent if quiet else progress)
            _print(found, reader.zone, now, form, reader.stopped)


def _print(found: "Iterator[Ban]", zone: ZoneInfo, now: float, form: str, stopped: "Stopped") -> None:
    if form == "table":
        listed = list(found)
        from banledger.report.formats import listing, screen

        listing.bans(listed, zone, now, screen.Screen(), stopped)
        return
    if form == "json":
        from banledger.report.formats import json

        lines = json.bans(found, zone, now, stopped)
    else:
        from banledger.report.formats import csv

        lines = csv.bans(found, zone, now, stopped)
    for line in lines:
        sys.stdout.write(line + "\n")
