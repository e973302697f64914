"""What every reading command opens: the ledger that the flags name, the question they ask, progress on stderr."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from banledger.ledger.reader import LedgerReader
    from banledger.report.query import Query

_LEAST_S = 0.5  # silence before progress is shown
_EVERY_S = 0.1


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
    """One line, whatever was left out of the answer."""
    if keys:
        key, why = next(iter(keys.items()))
        more = f", and {len(keys) - 1} more" if len(keys) > 1 else ""
        _warn(f"left out: {key} is damaged: {why}{more} (banledger store check names all, store rebuild mends it)")


def _warn(message: str) -> None:
    from banledger.report.formats.escape import visible

    sys.stderr.write(f"warning: {visible(message)}\n")


def query(reader: "LedgerReader", now: float, options: dict[str, Any], since: str | None = None) -> "Query":
    """The question behind the options of `filters`; `since` where none of --since and --until is given.

    Says on stderr which jails, servers and countries the ledger does not have.
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


class Progress:
    """A line on stderr about long work, if that is a terminal. Used as a context: the line goes at the end."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _LEAST_S
        self._shown = False
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __call__(self, done: int, total: int) -> None:
        """See `walk.Progress`."""
        now = time.monotonic()
        if not self._terminal or now < self._next:
            return
        self._next, self._shown = now + _EVERY_S, True
        sys.stderr.write(f"\r\x1b[Klooked at {done:,} of {total:,}")
        sys.stderr.flush()
