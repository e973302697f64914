"""Say in the service's log that an import was recorded."""

import logging
from collections.abc import Iterable

from banledger.report.formats.escape import many
from banledger.spool.events import Event, ImportLine

_log = logging.getLogger("banledger")


def log_finished(lines: Iterable[Event]) -> None:
    """Log each import whose last line is among these recorded lines."""
    for line in lines:
        if isinstance(line, ImportLine):
            found = [many(line.bans, "ban"), *([many(line.networks, "network")] if line.networks else [])]
            _log.info("import of %r recorded: %s read, %s", line.server, many(line.lines, "line"), ", ".join(found))
