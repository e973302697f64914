"""What every reading command needs: the ledger that the flags name, the query, progress on stderr."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from banledger.ledger.reader import LedgerReader
    from banledger.report.query import Query


@contextmanager
def ledger(store: str | None, prefix: str | None, config: str | None) -> "Iterator[LedgerReader]":
    """The ledger that the settings name, closed at the end."""
    from banledger.cli.environment import load
    from banledger.ledger.writer import open_to_read
    from banledger.stores.connect import access

    settings = load({"store": store, "prefix": prefix, "config": config})
    reader = open_to_read(settings.store, settings.prefix, access(settings))
    if reader.unknown_zone:
        _warn(f"the ledger's time zone {reader.unknown_zone} is unknown on this machine: dates and times are UTC's")
    try:
        yield reader
        _warn_of_damage(reader.damaged_keys)
    finally:
        reader.close()


def _warn_of_damage(keys: "Mapping[str, str]") -> None:
    """Warn in one line about damaged data that was left out of the answer."""
    if keys:
        key, why = next(iter(keys.items()))
        more = f", and {len(keys) - 1} more" if len(keys) > 1 else ""
        _warn(f"left out: {key} is damaged: {why}{more} (banledger store check names all, store rebuild repairs it)")


def _warn(message: str) -> None:
    from banledger.report.formats.escape import visible

    sys.stderr.write(f"warning: {visible(message)}\n")


def query(reader: "LedgerReader", now: float, options: dict[str, Any], since: str | None = None) -> "Query":
    """The query that the options of `filters` make; `since` applies if neither --since nor --until is given.

    Warns on stderr about jails, servers and countries that the ledger does not have.
    """
    from banledger.report.query import Query, addresses, countries, span, systems
    from banledger.report.unknown import unknown

    start, end = options["since"], options["until"]
    if start is None and end is None:
        start = since
    made = Query(
        span=span(start, end, now, reader.zone),
        jail=options["jail"],
        country=countries(options["country"]),
        ip=addresses(options["ip"]),
        server=options["server"],
        user=options["user"],
        asn=systems(options["asn"]),
    )
    for line in unknown(reader, made):
        _warn(line)
    return made
