"""`banledger bans`."""

import sys
import time
from typing import Any

import click

from banledger.cli import options, session
from banledger.cli.progress import ProgressBars


@click.command(name="bans")
@options.filters
@click.option(
    "-n", "count", type=options.WholeNumber(1), help="Maximum number of bans. [default: 50; all with --json and --csv]"
)
@options.formats
@options.store_options
def bans(count: int | None, **flags: Any) -> None:
    """Bans one by one, newest first.

    Without --since and --until it covers all time. Several values of one filter mean any of them; different
    filters must all match. --json writes one object per line, with all fields of a ban; output begins at once, however
    many bans there are.

    \b
    Example:
      banledger bans
      banledger bans --jail sshd --country CN -n 200
      banledger bans --ip 192.0.2.0/24 --since 1y
      banledger bans --user root --json | jq -r .ip | sort | uniq -c
    """
    form, now = options.form(flags), time.time()
    with session.ledger(flags) as reader:
        from banledger.ledger.progress import silent
        from banledger.report.answers import Listed
        from banledger.report.formats.base import Presentation
        from banledger.report.walk import walk

        query = session.query(reader, now, flags)
        limit = options.TABLE if count is None and form == "text" else count
        more = 1 if limit and form == "text" else 0  # tells whether there are more
        with ProgressBars() as progress:
            # The lines themselves show progress.
            quiet = form != "text" and sys.stdout.isatty()
            found = walk(reader, query, limit and limit + more, silent if quiet else progress)
            options.write(form, Listed(found), Presentation(reader.zone, now, reader.stopped, limit))
