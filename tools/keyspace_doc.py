"""Print docs/keyspace.md: `make docs`. A test compares it with the file."""

import sys

from banledger.ledger import gap, heartbeat, network, source
from banledger.ledger.ban import FIELDS
from banledger.ledger.key_table import META_FIELDS, describe
from banledger.ledger.keys import LAYOUT

TEXT = """\
# The keyspace

<!-- Made by `make docs` from src/banledger/ledger/ (keys.py, ban.py and others). Change those. -->

A ledger consists of keys with plain values: the same in every store, readable with any client. This is layout {layout}.
Every ban is one hash; sets hold its id, and sorted sets hold counts. All entries can be derived again from the
hashes.

    $ banledger kv SCARD bans:country:CN
    (integer) 3
    $ banledger kv SMEMBERS bans:country:CN
    1) "2611230dnf7gxphpka6m"
    ...
    $ banledger kv HGETALL 'bans:{{2611}}:ban:2611230dnf7gxphpka6m'

**From an id to its hash**: the first four characters of an id are its month, so the hash of `2611230dnf7gxphpka6m`
is `bans:{{2611}}:ban:2611230dnf7gxphpka6m`. The braces are a hash tag: on a cluster, all keys of a month that must
change together live on one node. An id is its UTC day (6 digits), the second of that day (4 characters, base 32) and
50 bits of SHA-256 over server, jail, what was banned and the second (10 characters); ids sort by time.

**From a ranking to a set**: a member of `bans:top:jail` is the last part of a key `bans:jail:<value>`.

## Keys

`bans` is the prefix (setting `prefix`).

{keys}

A day is a local day in the ledger's time zone, which is fixed at creation (`bans:meta`); a month is UTC. So a day
at a month's edge may have two sets and two of each tally; readers add them up.

Names from outside (jails, servers, user names, ids that are not addresses) are percent-encoded in keys and in members
of sorted sets: the characters `% : {{ }} | ~`, blanks and control characters. Names above 128 bytes are cut, and end in
`~` and 32 hexadecimal digits of their SHA-256. The hash of the ban has the full name.

## The hash of a ban

{fields}

All moments are UTC epoch seconds.

## The hash of a gap

{gap}

## The hash of a network

{network}

A *cell* is the part of a network in one /24 (IPv6: /48): an answer is proven only there, because smaller networks may
lie elsewhere in the network.

## The hash of a cell

{cell}

## The hash of a source

{source}

## A heartbeat

Each field of `bans:heartbeats` is one recorder: 12 hexadecimal digits that stay the same when it starts again. Its
value is a JSON object. What is absent is empty, 0 or unknown. Moments are by the recorder's clock;
`written` + `ahead` is by the store's.

{heartbeat}

## The hash of the ledger

{meta}

## Guarantees

- A hash, its day's set and its tallies change together or not at all; sets elsewhere follow at once, or after a crash
  when the recorder starts again.
- A ranking's score is the size of its set. A day's tally has the number of ids with that value in the day's set.
- A forgotten ban leaves a hash with the single field `forgotten`, and 1 more in `base` of its month, in one step. So
  what is read again about it changes nothing. Nothing else has its id, except `bans:feed` for a while. The bans that a
  source ever had are those in its days' tallies and in `base`.
- Records with `origin` `pending` are in no set and are not counted.
- Every change of a ban moves its id to the end of `bans:feed`: `ZRANGEBYSCORE bans:feed (<number> +inf LIMIT 0 500
  WITHSCORES` lists what changed after the number seen last. If that number is above the highest one, or more than
  10,000 below it, changes were missed. An id may come again without a change, and its ban may be gone.
- Damaged data is left out of every answer, named by `banledger store check` and repaired by `banledger store
  rebuild`. A hash whose ban or gap is unknown is moved to `bans:quarantine:…`, where nothing reads it.
- New fields and new kinds of keys may come with any version; a change of meaning changes the layout's number, and an
  older banledger refuses a newer layout.
"""


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows)]
    return "\n".join(lines)


def document() -> str:
    """The whole page."""
    keys = [(f"`{key}`", kind, what.replace("|", "\\|")) for key, kind, what in describe()]
    fields, gap_fields, network_fields, cell_fields, source_fields, beat_fields, meta_fields = (
        [(f"`{name}`", what) for name, what in some.items()]
        for some in (
            FIELDS,
            gap.FIELDS,
            network.FIELDS,
            network.CELL_FIELDS,
            source.FIELDS,
            heartbeat.FIELDS,
            META_FIELDS,
        )
    )
    return TEXT.format(
        layout=LAYOUT,
        keys=_table(("key", "type", "holds"), keys),
        fields=_table(("field", "holds"), fields),
        gap=_table(("field", "holds"), gap_fields),
        network=_table(("field", "holds"), network_fields),
        cell=_table(("field", "holds"), cell_fields),
        source=_table(("field", "holds"), source_fields),
        heartbeat=_table(("field", "holds"), beat_fields),
        meta=_table(("field", "holds"), meta_fields),
    )


if __name__ == "__main__":
    sys.stdout.write(document())
