"""Answers as JSON in plain ASCII: outside text arrives escaped.

Times are UTC epoch seconds; a ban's own time also comes as ISO 8601 text in the ledger's zone.
Absent values are null.
"""

import json
from collections.abc import Iterable
from typing import Any

from msgspec.structs import asdict

from banledger.geo.countries import name_of
from banledger.ledger.gap import Gap
from banledger.ledger.network import Network
from banledger.report.answers import Listed, Report, Shown, Top
from banledger.report.columns import ban_columns, ban_values, key, reported
from banledger.report.formats.base import AnyAnswer, Lines, Presentation
from banledger.report.query import Query
from banledger.whois.stored import WhoisAnswer


class JsonFormat(Lines):
    """One object per answer; for bans one by one, one object per line."""

    def lines(self, answer: AnyAnswer, view: Presentation) -> Iterable[str]:
        """See Lines.lines."""
        match answer:
            case Listed():
                columns = ban_columns()
                return (json.dumps(ban_values(ban, columns, view)) for ban in answer.bans)
            case Report():
                return [_pretty(_report(answer))]
            case Top():
                return [_pretty(_top(answer, view))]
            case Shown():
                return [_pretty(_shown(answer, view))]
            case _:
                return [_pretty(whois_object(answer, view.now))]


class RawFormat(JsonFormat):
    """JSON; for whois, the registry's answer reformatted in ASCII."""

    def lines(self, answer: AnyAnswer, view: Presentation) -> Iterable[str]:
        """See Lines.lines."""
        return [_whole(answer.network)] if isinstance(answer, WhoisAnswer) else super().lines(answer, view)


def _report(answer: Report) -> dict[str, Any]:
    tops = {key(name): answer.tops.get(name) for name in reported()}
    return {
        "query": _query(answer.query, answer.timezone),
        "total": answer.total,
        "all_time": answer.all_time,
        "ledger_since": answer.since,
        "offenders": answer.offenders,
        "banned_now": answer.banned_now,
        "no_country": answer.no_country,
        "days": list(map(asdict, answer.days)),
        "hours": list(answer.hours),
        **{name: _rows(top) if top else None for name, top in tops.items()},
        "waiting": answer.waiting,
        "gaps": [gap_object(gap) for gap in answer.gaps],
    }


def _top(answer: Top, view: Presentation) -> dict[str, Any]:
    return {
        "query": _query(answer.query, str(view.zone)),
        "dimension": answer.dimension,
        "total": answer.total,
        "distinct": answer.distinct,
        "rows": _rows(answer),
    }


def _shown(answer: Shown, view: Presentation) -> dict[str, Any]:
    return {
        "asked": answer.asked,
        "kind": answer.kind,
        "total": len(answer.bans),
        "forgotten": answer.forgotten,
        "values": [{"name": name, "bans": count} for name, count in answer.values],
        "networks": [network_object(network) for network in answer.networks],
        "bans": [ban_values(ban, ban_columns(), view) for ban in answer.bans[: view.count]],
    }


def whois_object(answer: WhoisAnswer, now: float) -> dict[str, Any]:
    """`age_s`: seconds since the look-up of this cell."""
    result = answer.result
    return {
        "asked": answer.asked,
        "standing": answer.standing,
        "cell": answer.cell.cidr,
        "age_s": round(now - result.asked) if result else None,
        "asn": result.asn if result else None,
        "network": network_object(answer.network) if answer.network else None,
    }


def _whole(network: Network | None) -> str:
    raw = network.raw if network else b"null"
    try:
        return _pretty(json.loads(raw or b"null"))
    except (ValueError, RecursionError):  # the registry's JSON is invalid
        return _pretty(raw.decode("utf-8", "backslashreplace"))


NETWORK = (
    "cidrs", "source", "registry", "fetched", "handle", "name", "country", "org", "abuse", "asn", "registered",
    "changed", "remarks",
)  # fmt: skip


def network_object(network: Network) -> dict[str, Any]:
    """A network's record, without the registry's whole answer."""
    return {name: getattr(network, name) for name in NETWORK}


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2)


def _query(query: Query, timezone: str) -> dict[str, Any]:
    return asdict(query.span) | {"timezone": timezone, "filters": query.filters}


def _rows(top: Top) -> list[dict[str, Any]]:
    if top.dimension == "country":
        return [{"name": row.name, "country": name_of(row.name), "bans": row.bans} for row in top.rows]
    owned = top.dimension == "network"
    return [{"name": row.name, "bans": row.bans} | ({"owner": row.owner} if owned else {}) for row in top.rows]


def gap_object(gap: Gap) -> dict[str, Any]:
    """A gap."""
    return {name: getattr(gap, name) for name in ("server", "jail", "since", "seen", "bans", "others", "reason")}
