"""Answers as JSON, in plain ASCII: whatever outside text holds arrives escaped.

Times are UTC epoch seconds, and once more as ISO 8601 text in the ledger's zone where a ban's own time is meant.
Absent values are null.
"""

import json
from collections.abc import Iterable, Iterator
from math import isinf
from typing import Any
from zoneinfo import ZoneInfo

from banledger.geo.countries import name_of
from banledger.ledger.ban import Ban
from banledger.ledger.network import Network
from banledger.ledger.reader import Gap
from banledger.report.formats.moment import iso
from banledger.report.query import Query
from banledger.report.show import NONE_STOPPED, Shown, Stopped, state_of
from banledger.report.summary import Report, Top
from banledger.whois.stored import WhoisAnswer


def report(answer: Report) -> str:
    """One object."""
    return _pretty(
        {
            "query": _query(answer.query, answer.timezone),
            "total": answer.total,
            "all_time": answer.all_time,
            "ledger_since": answer.since,
            "offenders": answer.offenders,
            "banned_now": answer.banned_now,
            "no_country": answer.no_country,
            "days": [{"day": day.day, "bans": day.bans, "offenders": day.offenders} for day in answer.days],
            "hours": list(answer.hours),
            "countries": _rows(answer.countries),
            "jails": _rows(answer.jails),
            "users": _rows(answer.users),
            "addresses": _rows(answer.addresses),
            "networks": _rows(answer.networks),
            "servers": _rows(answer.servers) if answer.servers else None,
            "waiting": answer.waiting,
            "gaps": [_gap(gap) for gap in answer.gaps],
        }
    )


def top(answer: Top, zone: ZoneInfo) -> str:
    """One object."""
    return _pretty(
        {
            "query": _query(answer.query, str(zone)),
            "dimension": answer.dimension,
            "total": answer.total,
            "distinct": answer.distinct,
            "rows": _rows(answer),
        }
    )


def bans(answer: Iterable[Ban], zone: ZoneInfo, now: float, stopped: Stopped = NONE_STOPPED) -> Iterator[str]:
    """One object a line."""
    return (json.dumps(ban_object(ban, zone, now, stopped)) for ban in answer)


def show(answer: Shown, zone: ZoneInfo, now: float, stopped: Stopped = NONE_STOPPED) -> str:
    """One object."""
    return _pretty(
        {
            "asked": answer.asked,
            "kind": answer.kind,
            "total": len(answer.bans),
            "values": [{"name": name, "bans": count} for name, count in answer.values],
            "networks": [network_object(network) for network in answer.networks],
            "bans": [ban_object(ban, zone, now, stopped) for ban in answer.bans],
        }
    )


def ban_object(ban: Ban, zone: ZoneInfo, now: float, stopped: Stopped = NONE_STOPPED) -> dict[str, Any]:
    """All that is known of one ban."""
    state = state_of(ban, now, stopped)
    return {
        "id": ban.id,
        "server": ban.server,
        "jail": ban.jail,
        "ip": ban.ip,
        "fid": ban.fid,
        "scope": ban.scope,
        "country": ban.country,
        "country_from": ban.country_from,
        "network": ban.network,
        "asn": ban.asn,
        "org": ban.org,
        "whois": ban.whois,
        "located": ban.located,
        "located_from": ban.located_from,
        "time": ban.time,
        "time_iso": iso(ban.time, zone),
        "day": ban.day,
        "failures": ban.failures,
        "bantime": ban.bantime,
        "bancount": ban.bancount,
        "expires": None if isinf(ban.expires) else int(ban.expires),
        "unbanned": ban.unbanned,
        "state": str(state.phase),
        "in_force": state.in_force,
        "users": ban.users,
        "matches": ban.matches,
        "origin": ban.origin,
        "seen": ban.seen,
        "prolonged": ban.prolonged,
        "reopened": ban.reopened,
        "unbanned_before": ban.unbanned_before,
        "held": ban.held,
        "ended": ban.ended,
        "ended_because": ban.ended_because,
    }


def whois(answer: WhoisAnswer, now: float) -> str:
    """One object; `age_s`: since somebody asked about this cell."""
    result = answer.result
    return _pretty(
        {
            "asked": answer.asked,
            "standing": answer.standing,
            "cell": answer.cell.cidr,
            "age_s": round(now - result.asked) if result else None,
            "asn": result.asn if result else None,
            "network": network_object(answer.network) if answer.network else None,
        }
    )


def whole_answer(answer: WhoisAnswer) -> str:
    """The registry's answer, laid out anew: in ASCII, whatever it holds."""
    raw = answer.network.raw if answer.network else b"null"
    try:
        return _pretty(json.loads(raw or b"null"))
    except (ValueError, RecursionError):  # a registry's own idea of JSON
        return _pretty(raw.decode("utf-8", "backslashreplace"))


_NETWORK = (
    "cidrs", "source", "registry", "fetched", "handle", "name", "country", "org", "abuse", "asn", "registered",
    "changed", "remarks",
)  # fmt: skip


def network_object(network: Network) -> dict[str, Any]:
    """All that a registry said of a network, but for its whole answer."""
    return {name: getattr(network, name) for name in _NETWORK}


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2)


def _query(query: Query, timezone: str) -> dict[str, Any]:
    span = query.span
    return {
        "first": span.first,
        "last": span.last,
        "since": span.since,
        "until": span.until,
        "timezone": timezone,
        "filters": query.filters,
    }


def _rows(top: Top) -> list[dict[str, Any]]:
    if top.dimension == "country":
        return [{"name": row.name, "country": name_of(row.name), "bans": row.bans} for row in top.rows]
    owned = top.dimension == "network"
    return [{"name": row.name, "bans": row.bans} | ({"owner": row.owner} if owned else {}) for row in top.rows]


def _gap(gap: Gap) -> dict[str, Any]:
    return {name: getattr(gap, name) for name in ("server", "jail", "since", "seen", "bans", "others", "reason")}
