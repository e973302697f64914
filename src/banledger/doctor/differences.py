"""What differs between fail2ban and the ledger, by jail: bans in force, and the bans in fail2ban's database.

Lines that wait in the spool count as recorded.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from banledger.doctor import segments
from banledger.doctor.examined import Examined
from banledger.errors import BanledgerError, SpoolError
from banledger.importer import database
from banledger.importer.refusal import SourceRefused
from banledger.ledger.ids import ban_id
from banledger.ledger.offender import Offender, offender_of_line
from banledger.ledger.reader import LedgerReader
from banledger.ledger.tokens import source_token
from banledger.net.address import canonical_address
from banledger.setup.machine import USER
from banledger.setup.running import RunningJail
from banledger.spool.events import TicketLine
from banledger.stores.pages import pages

_MOST = 50_000  # bans in force of a jail that are compared
_MOST_ROWS = 200_000  # of the database that are compared
_UNSURE_S = 10.0  # a ban's ticket may be a little older than the ban


class JailDifference(Struct, frozen=True):
    """What differs in a jail.

    banned      number of bans in force; waiting: of them, those that only the spool has
    lacking     bans in force that the ledger lacks
    extra       bans that are in force in the ledger only
    unrecorded  ids of bans in fail2ban's database that the ledger never had, since the jail started
    """

    jail: str
    banned: int
    waiting: int
    lacking: frozenset[str]
    extra: frozenset[str]
    unrecorded: frozenset[str]

    def any(self) -> bool:
        """Whether anything differs."""
        return bool(self.lacking or self.extra or self.unrecorded)

    def confirmed(self, again: "JailDifference") -> "JailDifference":
        """What differs both times."""
        return replace(
            again,
            lacking=self.lacking & again.lacking,
            extra=self.extra & again.extra,
            unrecorded=self.unrecorded & again.unrecorded,
        )


def differences(
    examined: Examined, reader: LedgerReader, labels: Mapping[str, str], jails: Sequence[RunningJail]
) -> Iterator[JailDifference]:
    """Compare these jails, whose server labels are given. Raises StoreError; SpoolError if too much waits."""
    waiting = _waiting(examined)
    tickets = _tickets(examined)
    since = {(source.server, source.jail): source.since for source in reader.sources}
    for jail in jails:
        if len(jail.banned) > _MOST:
            continue
        server = labels[jail.name]
        banned = {canonical_address(fid) or fid for fid in jail.banned}
        recorded = active(reader, server, jail.name)
        lasting = {fid for fid, until in recorded.items() if until > examined.now}
        moving = {one.fid for one in waiting if (one.server, one.jail) == (server, jail.name)}
        began = since.get((server, jail.name))
        unrecorded = (
            {
                ban_id(server, jail.name, fid, second)
                for fid, second in tickets.get(jail.name, ())
                if second > began + _UNSURE_S and fid not in moving
            }
            if began is not None
            else set[str]()
        )
        yield JailDifference(
            jail.name,
            len(banned),
            len((banned - recorded.keys()) & moving),
            frozenset(banned - recorded.keys() - moving),
            frozenset(lasting - banned - moving),
            frozenset(_absent(reader, unrecorded)),
        )


def active(reader: LedgerReader, server: str, jail: str) -> dict[str, float]:
    """What a source has banned and not lifted, and until when (UTC epoch), by the ledger. Raises StoreError.

    A ban that ran out may be among them: fail2ban lifts it a moment later, or has prolonged it.
    """
    found: dict[str, float] = {}
    for page in pages(reader.store().entries(reader.keys.active_of(source_token(server, jail)))):
        bans = reader.bans([id_ for id_, _ in page])
        for ban, (_, until) in zip(bans, page, strict=True):
            if ban is not None:
                found[ban.fid] = max(until, found.get(ban.fid, until))
    return found


def _absent(reader: LedgerReader, ids: set[str]) -> Iterator[str]:
    for page in pages(ids):
        yield from (id_ for id_, found in zip(page, reader.bans_or_damage(page), strict=True) if found is None)


def _waiting(examined: Examined) -> set[Offender]:
    """Return the offenders of the lines that wait in the spool. Raises SpoolError."""
    try:
        names = segments.listed(examined.spool, examined.machine.user(USER)).segments
        found = segments.lines(examined.spool, names)
    except OSError as error:
        raise SpoolError(f"can't read {examined.spool}: {error.strerror}") from error
    if not found.whole:
        raise SpoolError("too much waits in the spool")
    return {offender_of_line(line) for line in found.events if isinstance(line, TicketLine)}


def _tickets(examined: Examined) -> Mapping[str, list[tuple[str, int]]]:
    """The bans in fail2ban's database: what was banned, and the ticket's second, by jail."""
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    with suppress(BanledgerError, SourceRefused):
        if path := examined.jails.database:
            with database.opened(path) as connection:
                for row in islice(database.rows(connection, examined.now), _MOST_ROWS):
                    if isinstance(row, database.DatabaseRow):
                        found[row.jail].append((canonical_address(row.fid) or row.fid, row.time))
    return found
