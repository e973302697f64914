"""The bans of the benchmarks, as lines of a spool: a year of them, always the same for a number and a moment."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec

from banledger.spool.events import BanLine
from bench.proof.log_lines import WRITERS, Matched, made_up

YEAR_S = 365 * 86_400
SEGMENT = 1 << 20
"""Bytes of a segment."""

JAILS = tuple(WRITERS)
"""More than half of all bans are of the first, half of the rest of the next, and so on."""
MAIL = ("postfix-sasl", "dovecot")
NAMELESS = ("nginx-botsearch", "recidive")
"""Jails whose bans have no user names."""

KNOWN = ("root", "admin", "ubuntu", "test", "oracle", "postgres", "user", "git", "debian", "pi", "info", "support")
NAMES = (*KNOWN, *[f"{name}{number}" for number in range(250) for name in KNOWN])


def address(number: int) -> str:
    """Return an address: IPv4, spread over the whole space, and every fiftieth IPv6."""
    mixed = number * 2_654_435_761 % 2**32
    if number % 50 == 49:
        return f"2a01:{mixed >> 16 & 0xFFF | 0x1000:x}:{mixed & 0xFFF | 0x1000:x}::{number % 9 + 1:x}"
    return f"{1 + (mixed >> 24) % 223}.{mixed >> 16 & 255}.{mixed >> 8 & 255}.{mixed & 255}"


def lines(bans: int, until: float, matched: Matched = made_up) -> Iterator[bytes]:
    """Yield as many bans of the year before `until`, of a third as many addresses, in the order they happened."""
    rng, addresses = Random(4), max(1, bans * 35 // 100)
    for number in range(bans):
        moment = until - YEAR_S + YEAR_S * number / bans
        jail = JAILS[min(len(JAILS) - 1, int(rng.expovariate(0.8)))]
        ip, users = address(rng.randrange(addresses)), () if jail in NAMELESS else _users(rng)
        yield msgspec.json.encode(
            BanLine(
                v=1, seen=moment + 0.5, seq=number + 1, server="mail1" if jail in MAIL else "web1", jail=jail, fid=ip,
                time=float(int(moment)), failures=rng.randint(3, 9), bantime=604_800 if jail == "recidive" else 600,
                bancount=rng.choice((1, 1, 1, 2, 3)), users=users, matches=matched(rng, jail, moment, ip, users),
            )
        ) + b"\n"  # fmt: skip


def _users(rng: Random) -> tuple[str, ...]:
    """Return one to three names; a few names are common, most are rare."""
    count = rng.choice((1, 1, 1, 1, 2, 2, 3))
    return tuple(sorted({NAMES[min(len(NAMES) - 1, int(rng.paretovariate(0.5)) - 1)] for _ in range(count)}))


def fill_spool(folder: Path, bans: int, until: float, matched: Matched) -> None:
    """Write segments of a closed writer."""
    folder.mkdir()
    segment, number = bytearray(), 0

    def close() -> None:
        nonlocal number
        number += 1
        (folder / f"{1_700_000_000_000 + number}-abcdef01-{number}.jsonl").write_bytes(segment)
        segment.clear()

    for line in lines(bans, until, matched):
        segment += line
        if len(segment) >= SEGMENT:
            close()
    close()
