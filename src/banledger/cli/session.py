"""What every reading command needs: the ledger that the flags name, the query, progress on stderr."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from banledger.cli.environment import load
from banledger.ledger.dimensions import FILTERS
from banledger.report.formats.escape import visible

if TYPE_CHECKING:
    from banledger.ledger.reader import LedgerReader
    from banledger.report.query import Query


@contextmanager
def ledger(flags: Mapping[str, Any]) -> "Iterator[LedgerReader]":
    """The ledger that the flags of `store_options` and the settings name, closed at the end."""
    from banledger.ledger.opening import open_to_read
    from banledger.stores.connect import access

    settings = load({name: flags[name] for name in ("store", "prefix", "config")})
    with closing(open_to_read(settings.store, settings.prefix, access(settings))) as reader:
        if reader.unknown_zone:
            _warn(f"the ledger's time zone {reader.unknown_zone} is unknown on this machine: dates and times are UTC's")
        yield reader
        _warn_of_damage(reader.damaged_keys)


def _warn_of_damage(keys: "Mapping[str, str]") -> None:
    """Warn in one line about damaged data that was left out of the answer."""
    if keys:
        key, why = next(iter(keys.items()))
        more = f", and {len(keys) - 1} more" if len(keys) > 1 else ""
        _warn(f"left out: {key} is damaged: {why}{more} (banledger store check names all, store rebuild repairs it)")


def alarm(reader: "LedgerReader", now: float) -> str:
    """What a report must warn of: bans that are not recorded, as far as the recorders tell (UTC epoch `now`)."""
    from banledger.report import status

    return status.alarm(reader, now)


def warn_of_recorders(said: str) -> None:
    """Warn in one line, after a report."""
    if said:
        _warn(f"{said}: banledger status")


def _warn(message: str) -> None:
    sys.stderr.write(f"warning: {visible(message)}\n")


def query(reader: "LedgerReader", now: float, flags: Mapping[str, Any], since: str | None = None) -> "Query":
    """The query that the flags of `filters` make; `since` applies if neither --since nor --until is given.

    Warns on stderr about jails, servers and countries that the ledger does not have.
    """
    from banledger.report.query import question, span
    from banledger.report.unknown import unknown

    start, end = flags["since"], flags["until"]
    meant = span(since if start is end is None else start, end, now, reader.zone)
    made = question(meant, **{name: flags[name] for name in FILTERS})
    for line in unknown(reader, made):
        _warn(line)
    return made
