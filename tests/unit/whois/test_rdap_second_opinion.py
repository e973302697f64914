"""What another RDAP library reads from the same answers; each difference has a reason."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from whoisit.parser import parse as whoisit_parse  # type: ignore[import-untyped]

from banledger.ledger.network import Network
from banledger.whois.rdap.parser import parse
from tests.support.rdap_answers import SAMPLES, Sample

CASE = "it writes handles in capitals"
NO_COUNTRY = "it does not look for the country in the registrant's address"
AS_IS = "it gives the country as it stands there, in any form"
NO_REMARK = "it takes no owner from remarks"
HANDLE = "it takes a handle for a name"
ORDER = "it does not sort CIDRs"

EXPLAINED: dict[str, dict[str, str]] = {
    "ARIN: three CIDRs, no country but in the address, the mailbox inside the registrant": {
        "country": NO_COUNTRY,
        "cidrs": ORDER,
    },
    "ARIN, IPv6": {"country": NO_COUNTRY},
    "RIPE: all of Europe is no country": {"country": AS_IS},
    "APNIC: the owner stands in the remark called description, the mailbox in the IRT": {"org": NO_REMARK},
    "APNIC, IPv6, with an organisation": {"handle": CASE},
    "JPNIC, below APNIC": {"org": NO_REMARK},
    "KRNIC, below APNIC: no dates, country in small letters": {"country": AS_IS, "org": NO_REMARK},
    "LACNIC, IPv6: no field for the country, a code in the address": {"handle": CASE, "country": NO_COUNTRY},
    "AFRINIC, IPv6: a registrant that is called as its handle; the country by its name in the address": {
        "handle": CASE,
        "country": NO_COUNTRY,
        "org": HANDLE,
    },
}

UNREADABLE = {
    "ARIN as it was: zeros before the numbers, no cidr0, lines that end in a backslash and an n": "zeros",
    "RIPE, IPv6: no cidr0, lengths behind the addresses, two countries, nobody but a description": "lengths",
}
"""It raises ValueError."""


class _NoBootstrap:
    """All that its parser asks of a bootstrap."""

    def is_using_overrides(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: ""


def theirs(sample: Sample) -> dict[str, Any]:
    read: dict[str, Any] = whoisit_parse(_NoBootstrap(), "ip", sample.asked, sample.answer)
    return read


def differences(ours: Network, read: dict[str, Any]) -> set[str]:
    """Fields in which both differ. Where theirs has several, ours is to be one of them."""
    people = read["entities"]
    names = [one["name"] for one in people.get("registrant", []) if one.get("name")]
    mailboxes = [mailbox for one in people.get("abuse", []) for mailbox in one.get("emails", [])]
    lines = [line for one in read["remarks"] for line in one["description"] if line]
    same = {
        "handle": ours.handle == read["handle"],
        "name": (ours.name or "") == read["name"],
        "country": (ours.country or "") == read["country"],
        "cidrs": list(ours.cidrs) == [str(cidr) for cidr in read["cidrs"]],
        "org": ours.org in names if names else ours.org is None,
        "abuse": ours.abuse in mailboxes if mailboxes else ours.abuse is None,
        "registered": moment(ours.registered) == moment(read["registration_date"]),
        "changed": moment(ours.changed) == moment(read["last_changed_date"]),
        "remarks": list(ours.remarks) == lines,
    }
    return {field for field, equal in same.items() if not equal}


def moment(value: str | datetime | None) -> datetime | None:
    when = datetime.fromisoformat(value) if isinstance(value, str) else value
    return when.astimezone(UTC) if when else None


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_both_parsers_agree_or_the_difference_is_listed(sample: Sample) -> None:
    ours = parse(json.dumps(sample.answer).encode(), sample.asked, registry=sample.registry, fetched=0.0)
    if sample.name in UNREADABLE:
        with pytest.raises(ValueError, match="does not appear to be"):
            theirs(sample)
        return

    assert differences(ours, theirs(sample)) == set(EXPLAINED.get(sample.name, {}))
