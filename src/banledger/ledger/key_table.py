"""The documented kinds of keys: the tables of `docs/keyspace.md`, and which kind a key is of. Pure."""

import re
from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from banledger.ledger import dimensions
from banledger.ledger.dimensions import DAY

_Row: TypeAlias = tuple[str, str, str]

_INDEXED = {row.name: row.holds for row in dimensions.TABLE.values() if row.indexed}
_TALLIED = {row.name: row.holds for row in dimensions.TABLE.values() if row.tallied and not row.indexed}

META_FIELDS = {
    "layout": "version of the keyspace; an older banledger refuses a newer one",
    "timezone": "IANA name of the zone that days and hours are local to; fixed when the ledger is made",
    "ledger": "16 hexadecimal digits, drawn when the ledger is made, that tell it from others; a copy has the same",
    "made_by": "the version that made it; absent in a copy that no recorder has written to",
    "server:<label>": "on a Redis or Valkey: the machine whose bans bear that label (`machine`, or a hash of its "
    "machine-id, or `nameless`); the label is percent-encoded as in keys",
}
"""The fields of the ledger's own hash."""


GAP_FIELDS = {
    "server": "label of the server",
    "jail": "jail of the line that told of it",
    "since": "when the writer could last write, UTC epoch seconds",
    "seen": "when it could again, UTC epoch seconds",
    "bans": "bans that were lost",
    "others": "other events that were lost",
    "reason": "why",
}
"""Every field of a gap's hash and what it holds."""


class KindOfKey(Struct, frozen=True):
    """A kind of key: its first words (`ban`, `top` …) and what it holds, in Redis's words."""

    word: str
    holds: str


def kinds_of_keys(prefix: str = "bans") -> Callable[[str], KindOfKey | None]:
    """A function that tells the kind of a key; None: none that this version knows."""
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
    """A row of the table as a regular expression."""
    parts = re.split(r"(<[^>]*>(?:\|<[^>]*>)?|YYMM)", key)
    return "".join(
        "[0-9]{4}" if part == "YYMM" else ".+" if part.startswith("<") else re.escape(part) for part in parts
    )


def describe(prefix: str = "bans") -> list[_Row]:
    """(key, type, what it holds) of every kind of key: the table of `docs/keyspace.md`."""
    return [*_of_month(f"{prefix}:{{YYMM}}"), *_indexes(prefix), *_of_sources(prefix), *_others(prefix)]


def _of_month(month: str) -> list[_Row]:
    return [
        (f"{month}:ban:<id>", "hash", "one ban"),
        (f"{month}:day:<YYYY-MM-DD>", "set", "ids of the local day's bans in that UTC month"),
        *(
            (f"{month}:count:<YYYY-MM-DD>:{name}", "sorted set", f"bans of the local day by {what}")
            for name, what in (_INDEXED | _TALLIED).items()
        ),
        (f"{month}:pending", "sorted set", "ids of amendments that wait for their ban, by the time they are forgotten"),
        (f"{month}:waiting", "sorted set", "ids of bans that wait for whois, by their time"),
        (f"{month}:outbox", "hash", "what is still to be done outside the month (empty but for moments, or a crash)"),
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
            "what is known of a source: state (`running`, `stopped`, `left`), since, version (fail2ban's) …",
        ),
        (
            f"{prefix}:active:<server>|<jail>",
            "sorted set",
            "ids of a source's bans that were not lifted, by the time they run out (`inf`: never)",
        ),
        (f"{prefix}:gaps", "sorted set", "ids of gaps, by the time they ended"),
    ]


def _others(prefix: str) -> list[_Row]:
    return [
        (f"{prefix}:whois:<cidr>", "hash", "what a registry said of a network"),
        (f"{prefix}:whois", "sorted set", "networks with a record, by when it was put here"),
        (
            f"{prefix}:cell:<cidr>",
            "hash",
            "what came of asking about a cell: asked, result, network, asn, until …",
        ),
        (f"{prefix}:cells", "sorted set", "cells that were asked about, by when that was put here"),
        (
            f"{prefix}:lookups",
            "hash",
            "who asks the registries (holder, until), and which want to be left alone",
        ),
        (
            f"{prefix}:label:<server>",
            "hash",
            "on a Redis or Valkey: which recorder has the label (nonce, recorder, last), which wants it (rival)",
        ),
        (f"{prefix}:aside", "set", "lines (JSON) about bans whose hash is damaged; recorded when that is mended"),
        (
            f"{prefix}:quarantine:<key>",
            "hash",
            "a damaged hash that a rebuild took away, under its key without the prefix",
        ),
        (
            f"{prefix}:position:<server>",
            "hash",
            "how far the lines of each writer are recorded: its highest and lowest line number, when, and its jail",
        ),
        (f"{prefix}:rebuild", "hash", "on a Redis or Valkey: which `store rebuild` is at work (holder, until)"),
        (
            f"{prefix}:recorders",
            "hash",
            "on a Redis or Valkey: the recorders that are alive, and which rebuild they wait for",
        ),
        (f"{prefix}:months", "set", "the months (YYMM) that have keys"),
        (f"{prefix}:meta", "hash", "what the ledger is: its layout, time zone …"),
    ]
