"""The change feed: which bans changed last, whoever changed them. Follow it to show what happens.

Theory of operation. Every change of a ban (recorded, prolonged, lifted, placed …) moves its id to the end of one sorted
set, whose scores are the numbers of the changes. The numbers only grow, and the set has the ids of the last `FEED_KEPT`
of them. So a follower remembers one number, and asks for the ids after it: each comes at least once, and again when its
ban changes again, or when a recorder repeated a step after a crash. The feed does not say what changed: read the ban.

Ids sort by the time of the ban, the feed by the time of the record: a ban that comes late is at the end.
"""

from math import inf

from msgspec import Struct

from banledger.ledger.keys import Keyspace
from banledger.stores.api import Reader
from banledger.stores.change import FEED_KEPT
from banledger.stores.fields import count_of


class Changes(Struct, frozen=True):
    """Bans that changed after a number.

    ids     their ids, the least recently changed first; some may be gone from the ledger
    seen    the number to ask with next time
    missed  whether the feed lacks some of the changes, or the ledger went back: read what is shown anew, and go on from
            `seen`. The store may also go back while it can't be reached: do the same after an error
    """

    ids: tuple[str, ...]
    seen: int
    missed: bool = False


def newest(reader: Reader, keys: Keyspace) -> int:
    """Return the number of the last change: where to begin to follow. 0: none yet."""
    rows = reader.ranking(keys.feed, 0, 1)
    return count_of(rows[0][1]) if rows else 0


def changes(reader: Reader, keys: Keyspace, seen: int, most: int = 500) -> Changes:
    """Return up to `most` of the bans that changed after the number `seen`. Ask again while there are any."""
    rows = reader.lowest(keys.feed, inf, most, above=seen)
    last = newest(reader, keys)  # after the rows, to notice what was removed before they were read
    if not last - FEED_KEPT <= seen <= last:
        return Changes((), last, missed=True)
    return Changes(tuple([id_ for id_, _ in rows]), count_of(rows[-1][1]) if rows else seen)
