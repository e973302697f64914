"""A ban of the past, as logs tell it."""

from msgspec import Struct


class PastBan(Struct, frozen=True, gc=False, order=True):
    """A ban of the past, from logs.

    logged    when its Ban line was logged, UTC epoch seconds
    found     its ticket's second by the last failure's line; 0: unknown
    first     the second of the first of its failures; 0: unknown, or the same
    unbanned  when it was lifted; 0: unknown
    bantime   seconds, negative: for ever; 0: unknown. bancount, failures: 0: unknown
    source    number of the source with its Ban line
    """

    logged: float
    jail: str
    fid: str
    found: int = 0
    unbanned: float = 0.0
    bantime: int = 0
    bancount: int = 0
    failures: int = 0
    source: int = 0
    first: int = 0
