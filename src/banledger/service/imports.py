"""Say in the service's log that an import was recorded."""

import logging
from collections.abc import Callable, Iterable

from banledger.ledger.import_count import ImportCount
from banledger.report.formats.escape import many
from banledger.report.imports import counts_text
from banledger.spool.events import Event, ImportLine

_log = logging.getLogger("banledger")


def log_finished(lines: Iterable[Event], count: Callable[[ImportLine], ImportCount]) -> None:
    """Log each import whose last line is among these recorded lines. `count`: returns what it did."""
    for line in lines:
        if isinstance(line, ImportLine):
            found = [f"{many(line.lines, 'line')} read", counts_text(line.bans, count(line))]
            found += [many(line.networks, "network")] if line.networks else []
            _log.info("import of %r recorded: %s", line.server, ", ".join(found))
