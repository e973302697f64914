"""The forms of fields that only a ban has."""

from collections.abc import Mapping
from functools import partial

from banledger.ledger.hash_codec import Form, json_text
from banledger.spool.events import TICKETS_END
from banledger.stores import fields as read

LONGEST_BANTIME = 2**37
"""Seconds: 4,000 years."""

_MOMENTS = frozenset(("seen", "prolonged", "reopened", "held", "unbanned", "unbanned_before", "ended"))


def _read_fid(fields: Mapping[str, str], name: str) -> str:
    return read.text(fields, name) or read.address(fields, "ip") or read.required(fields, name)


def _read_time(fields: Mapping[str, str], name: str) -> int:
    return read.whole(fields, name, most=TICKETS_END - 1)


def _read_day(fields: Mapping[str, str], name: str) -> str:
    return read.day(fields, name, int(fields["time"]))  # which was read before


def _read_bantime(fields: Mapping[str, str], name: str) -> int:
    return read.whole(fields, name, -read.MOST_NUMBER, LONGEST_BANTIME)


FID = Form(_read_fid)
TIME = Form(_read_time, str)
DAY = Form(_read_day)
HOUR = Form(partial(read.whole, most=23), str)
BANTIME = Form(_read_bantime, str)
ORDER = Form(partial(read.moments, names=_MOMENTS), lambda order: json_text(dict(order)))
