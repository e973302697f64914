"""The bans of a spool as rows, for stores that are not ours."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import iptocc

from banledger.ledger.ids import ban_id
from banledger.ledger.merge import subject_of
from banledger.spool.events import BanLine, decode


class Row(NamedTuple):
    """A ban: `day` and `hour` in UTC, `time` in epoch seconds, `line` as it was in the spool."""

    id: str
    ip: str
    server: str
    jail: str
    country: str | None
    day: str
    hour: int
    users: tuple[str, ...]
    time: float
    line: bytes


def rows(spool: Path) -> Iterator[Row]:
    """Yield the bans of a spool that holds nothing else, and leave it as it is."""
    for path in sorted(spool.iterdir(), key=lambda path: int(path.stem.rpartition("-")[2])):
        for line in path.read_bytes().split(b"\n")[:-1]:
            event = decode(line)
            assert isinstance(event, BanLine)
            about = subject_of(event)
            id_ = ban_id(about.server, about.jail, about.fid, about.time)
            moment, country = datetime.fromtimestamp(about.time, UTC), iptocc.country_code(about.fid)
            day = moment.strftime("%Y-%m-%d")
            yield Row(
                id_, about.fid, about.server, about.jail, country, day, moment.hour, event.users, about.time, line
            )
