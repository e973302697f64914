"""The kinds of keys: the tables of `docs/keyspace.md`, and the kind of a given key. Pure."""

import re
from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from banledger.ledger import dimensions
from banledger.ledger.dimensions import DAY
from banledger.ledger.import_count import KEPT
from banledger.stores.change import FEED_KEPT

_Row: TypeAlias = tuple[str, str, str]

_INDEXED = {row.name: row.holds for row in dimensions.TABLE.values() if row.indexed}
_TALLIED = {row.name: row.holds for row in dimensions.TABLE.values() if row.tallied and not row.indexed}

META_FIELDS = {
    "layout": "version of the keyspace; an older banledger refuses a newer one",
    "timezone": "IANA time zone of its days and hours; fixed when the ledger is created",
    "ledger": "its identity: 16 random hexadecimal digits, drawn when it is created; a copy has the same",
    "made_by": "the version that created it; absent in a copy that no recorder has written to",
    "server:<label>": "on Redis or Valkey: the machine to which that label belongs (`machine`, or a hash of its "
    "machine-id, or `nameless`); the label is percent-encoded as in keys",
}
"""The fields of the ledger's own hash."""


class KindOfKey(Struct, frozen=True):
    """A kind of key: its first words (`ban`, `top` …), and its type as Redis names it."""

    word: str
    holds: str


def kinds_of_keys(prefix: str = "bans") -> Callable[[str], KindOfKey | None]:
    """Return a function from a key to its kind; None: unknown to this version."""
    rows = describe(prefix)
    kinds = [KindOfKey(_word(key, prefix), holds.replace("sorted set", "zset")) for key, holds, _ in rows]
    patterns = re.compile("|".join(f"({_pattern(key)})" for key, _, _ in rows), re.DOTALL)

    def kind(key: str) -> KindOfKey | None:
        found = patterns.fullmatch(key)
        return kinds[found.lastindex - 1] if found and found.lastindex else None

    return kind


def _word(key: str, prefix: str) -> str:
    return key.removeprefix(f"{prefix}:").removeprefix("{YYMM}:").partition(":<")[0]


def _pattern(key: str) -> str:
    """Return a key of the table as a regular expression."""
    parts = re.split(r"(<[^>]*>(?:\|<[^>]*>)?|YYMM)", key)
    return "".join(
        "[0-9]{4}" if part == "YYMM" else ".+" if part.startswith("<") else re.escape(part) for part in parts
    )


def describe(prefix: str = "bans") -> list[_Row]:
    """Return (key, type, what it holds) for every kind of key: the table of `docs/keyspace.md`."""
    return [
        *_of_month(f"{prefix}:{{YYMM}}"),
        *_indexes(prefix),
        *_of_sources(prefix),
        *_of_whois(prefix),
        *_of_recorders(prefix),
    ]


def _of_month(month: str) -> list[_Row]:
    return [
        (
            f"{month}:ban:<id>",
            "hash",
            "one ban; or only `forgotten`: when it was forgotten, UTC epoch second, and perhaps `renamed`: the label "
            "that its server has now, under which it has another id",
        ),
        (f"{month}:day:<YYYY-MM-DD>", "set", "ids of the local day's bans in that UTC month"),
        *(
            (f"{month}:count:<YYYY-MM-DD>:{name}", "sorted set", f"bans of the local day by {what}")
            for name, what in (_INDEXED | _TALLIED).items()
        ),
        (f"{month}:base", "sorted set", "number of that month's forgotten bans by server and jail: `server|jail`"),
        (f"{month}:pending", "sorted set", "ids of amendments that wait for their ban; score: when they are removed"),
        (f"{month}:waiting", "sorted set", "ids of bans that wait for whois; score: their time"),
        (f"{month}:outbox", "hash", "work still to be done outside the month; empty, except briefly or after a crash"),
        (f"{month}:gap:<id>", "hash", "events that a writer lost: server, jail, since, seen, bans, others, reason"),
    ]


def _indexes(prefix: str) -> list[_Row]:
    return [
        *((f"{prefix}:{name}:<value>", "set", f"ids by {what}") for name, what in _INDEXED.items()),
        *(
            (f"{prefix}:top:{name}", "sorted set", f"all-time number of bans by {what}")
            for name, what in (_INDEXED | {DAY: "local day"}).items()
        ),
    ]


def _of_sources(prefix: str) -> list[_Row]:
    return [
        (f"{prefix}:sources", "set", "every source, a jail of a server: `server|jail`"),
        (
            f"{prefix}:source:<server>|<jail>",
            "hash",
            "a source: state (`running`, `stopped`, `left`), since, version (of fail2ban) …",
        ),
        (
            f"{prefix}:active:<server>|<jail>",
            "sorted set",
            "ids of a source's bans that were not lifted; score: when they run out (`inf`: never)",
        ),
        (f"{prefix}:gaps", "sorted set", "ids of gaps; score: when they ended"),
        (
            f"{prefix}:feed",
            "sorted set",
            f"ids of the bans that changed last; score: the number of the change (the last {FEED_KEPT:,} are kept)",
        ),
    ]


def _of_whois(prefix: str) -> list[_Row]:
    return [
        (f"{prefix}:whois:<cidr>", "hash", "a registry's record of a network"),
        (f"{prefix}:whois", "sorted set", "networks with a record; score: when it was stored"),
        (
            f"{prefix}:cell:<cidr>",
            "hash",
            "result of the last look-up of a cell: asked, result, network, asn, until …",
        ),
        (f"{prefix}:cells", "sorted set", "cells that were looked up; score: when the result was stored"),
        (
            f"{prefix}:lookups",
            "hash",
            "the lease on look-ups (holder, until), and the pauses of registries",
        ),
    ]


def _of_recorders(prefix: str) -> list[_Row]:
    return [
        (
            f"{prefix}:label:<server>",
            "hash",
            "on Redis or Valkey: the lease on a label (nonce, recorder, last; rival: another recorder that wants it)",
        ),
        (f"{prefix}:aside", "set", "lines (JSON) about bans whose hash is damaged; recorded when it is repaired"),
        (
            f"{prefix}:quarantine:<key>",
            "hash",
            "a damaged hash that a rebuild moved here; `<key>`: its old key without the prefix",
        ),
        (
            f"{prefix}:position:<server>",
            "hash",
            "how far the lines of each writer are recorded: its highest and lowest line number, the time, its jail",
        ),
        (f"{prefix}:rebuild", "hash", "on Redis or Valkey: the lease of a running `store rebuild` (holder, until)"),
        (
            f"{prefix}:recorders",
            "hash",
            "on Redis or Valkey: signs of life of the running recorders, and the rebuild that each waits for",
        ),
        (
            f"{prefix}:heartbeats",
            "hash",
            "for each recorder what it says about itself, JSON: see below; removed when it is gone for 30 days",
        ),
        (
            f"{prefix}:forget",
            "hash",
            "requests to forget, by name: a number that grows, and JSON: what is asked, and how far it is; when it is "
            "done only the numbers, for 30 days",
        ),
        (
            f"{prefix}:forgetter",
            "hash",
            "on Redis or Valkey: the lease on these requests (holder, until)",
        ),
        (
            f"{prefix}:imported",
            "hash",
            "sources of which logs were imported (`server|jail`), and the time of each one's last imported Ban line",
        ),
        (
            f"{prefix}:imports:<server>",
            "hash",
            f"what the last {KEPT} imports did, by their writer: number of the last line counted, when it began, new, "
            "amended and known bans, bans set aside, all its bans (`-`: not yet known), `counted` or `approximate`, "
            "and a random name of the run that counted",
        ),
        (f"{prefix}:months", "set", "the months (YYMM) that have keys"),
        (f"{prefix}:meta", "hash", "properties of the ledger: layout, time zone …"),
    ]
