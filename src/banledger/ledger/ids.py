"""The identity of a ban, and the id computed from it.

The same ban seen live, restored, replayed or imported has the same id, so recording it twice is harmless. An id has 20
characters and sorts by time:

    261122  0f4k  7q2m5x9ctz
    │       │     └ 50 bits of SHA-256 over server, jail, fid and second, each preceded by its length
    │       └ second of that day, base 32
    └ UTC day; its first four characters are the month: the hash tag of the ban's key
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from time import gmtime, strftime

from msgspec import Struct

from banledger.stores.id_form import DIGITS, PAIRS, has_id_form

_DAY_S = 86_400
_SALTS = 4  # ids that a ban may have; no collision has been seen yet
_CENTURY = "7"  # ids before it are of this century: fail2ban's clock starts in 1970


class Subject(Struct, frozen=True, gc=False, cache_hash=True):
    """The identity of a ban. `fid` canonical, `time` whole UTC epoch seconds."""

    server: str
    jail: str
    fid: str
    time: int


def whole_second(ticket_time: float) -> int:
    """Return a ticket's time as fail2ban's database stores it: `int(round(time))`, UTC epoch seconds."""
    return round(ticket_time)


def ban_id(server: str, jail: str, fid: str, second: int, salt: int = 0) -> str:
    """Return the id of the ban of `fid` (canonical) by `jail` on `server` with its ticket at `second` (UTC epoch).

    `salt`: number of earlier ids of this ban that belong to another ban (a collision of 50 bits).
    """
    what, when, end = fid.encode("utf-8", "surrogatepass"), b"%d" % second, _framed(str(salt)) if salt else _NO_SALT
    about = b"%b%d:%b%d:%b%b" % (_head(server, jail), len(what), what, len(when), when, end)
    bits = int.from_bytes(hashlib.sha256(about).digest()[:7], "big") >> 6
    return (
        f"{beginning(second)}{PAIRS[bits >> 40]}{PAIRS[bits >> 30 & 1023]}{PAIRS[bits >> 20 & 1023]}"
        f"{PAIRS[bits >> 10 & 1023]}{PAIRS[bits & 1023]}"
    )


def is_id_of(id_: str, subject: Subject) -> bool:
    """Whether an id is that of a ban with this identity, which never changes."""
    return id_ in ids_of(subject)


def ids_of(subject: Subject) -> list[str]:
    """Return the ids that a ban with this identity may have, the likeliest first."""
    about = subject.server, subject.jail, subject.fid, subject.time
    return [ban_id(*about, salt) for salt in range(_SALTS)]


@lru_cache(maxsize=1024)
def _head(server: str, jail: str) -> bytes:
    return b"ban1" + _framed(server) + _framed(jail)


def _framed(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return b"%d:%b" % (len(raw), raw)


_NO_SALT = _framed("")


@lru_cache(maxsize=4096)
def _day_digits(day: int) -> str:
    return strftime("%y%m%d", gmtime(day * _DAY_S))


def second_of(id_: str) -> int | None:
    """Return the UTC epoch second that an id begins with, from 1969 to 2068; None: not an id."""
    if not has_id_form(id_) or (start := _start_of(id_[:6])) is None:
        return None
    second = DIGITS.index(id_[6]) * 32**3 + DIGITS.index(id_[7]) * 32**2
    second += DIGITS.index(id_[8]) * 32 + DIGITS.index(id_[9])
    return start + second if second < _DAY_S else None


@lru_cache(maxsize=4096)
def _start_of(day: str) -> int | None:
    """Return the UTC epoch second at which a day (YYMMDD) begins; None: not a day."""
    try:
        return int(datetime.strptime(day, "%y%m%d").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None


def age_order(id_: str) -> tuple[bool, str]:
    """Sort key of an id, or of its beginning, by time: years have two digits, those from 1970 on come first."""
    return id_ < _CENTURY, id_


def newest_first(ids: Iterable[str]) -> list[str]:
    """Return ids by (second, id) in reverse."""
    ordered = sorted(ids, reverse=True)
    if not ordered or ordered[0] < _CENTURY:
        return ordered
    return [id_ for id_ in ordered if id_ < _CENTURY] + [id_ for id_ in ordered if id_ >= _CENTURY]


def beginning(second: int) -> str:
    """Return the first ten characters of the ids of a UTC epoch second."""
    day, of_day = divmod(second, _DAY_S)
    return f"{_day_digits(day)}{PAIRS[of_day >> 10]}{PAIRS[of_day & 1023]}"
