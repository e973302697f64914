"""What registries answer, in their own manners; the networks and their owners are made up.

Each sample has an address, the registry that is asked about it (a key of `rdap_server.HOSTS`), the answer, and what
is to be read from it. `PLACEHOLDERS` are answers that name no network.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

Json: TypeAlias = dict[str, Any]


class Sample(NamedTuple):
    """An answer, and what it says; `read`: fields of `Network` that are not None or empty."""

    name: str
    registry: str
    asked: str
    answer: Json
    read: dict[str, Any]


def card(
    name: str,
    *,
    kind: str = "group",
    mail: Sequence[str] = (),
    label: str | None = None,
    address: Sequence[str] = ("",) * 7,
    **mail_parameters: str,
) -> list[Any]:
    """A jCard (RFC 7095)."""
    where: Json = {} if label is None else {"label": label}
    rows: list[Any] = [["version", {}, "text", "4.0"], ["fn", {}, "text", name], ["kind", {}, "text", kind]]
    rows.append(["adr", where, "text", list(address)])
    rows += [["email", dict(mail_parameters), "text", one] for one in mail]
    rows.append(["tel", {"type": ["work", "voice"]}, "text", "+1-555-0100"])
    return ["vcard", rows]


def entity(handle: str, roles: Sequence[str], vcard: list[Any] | None = None, *inside: Json) -> Json:
    """An entity with what links lead to it; nobody is to follow them."""
    link = {"rel": "self", "type": "application/rdap+json", "href": f"https://rdap.db.ripe.net/entity/{handle}"}
    there: Json = {"objectClassName": "entity", "handle": handle, "roles": list(roles), "links": [link]}
    return there | ({"vcardArray": vcard} if vcard else {}) | ({"entities": list(inside)} if inside else {})


def network(first: str, last: str, **fields: Any) -> Json:
    """An object of the class `ip network`, with the notices that all answers bear."""
    terms = {"title": "Terms and Conditions", "description": ["Objects are in RDAP format."]}
    return {
        "rdapConformance": ["rdap_level_0", "cidr0", "nro_rdap_profile_0"],
        "notices": [terms],
        "objectClassName": "ip network",
        "startAddress": first,
        "endAddress": last,
        "ipVersion": "v6" if ":" in first else "v4",
    } | fields


def cidr0(*cidrs: str) -> list[Json]:
    """The extension `cidr0`."""
    pairs = [cidr.split("/") for cidr in cidrs]
    return [{("v6prefix" if ":" in one else "v4prefix"): one, "length": int(length)} for one, length in pairs]


def events(registered: str | None, changed: str | None) -> list[Json]:
    """When it was registered and changed."""
    dates = {"last changed": changed, "registration": registered}
    return [{"eventAction": action, "eventDate": date} for action, date in dates.items() if date]


def remark(title: str | None, *lines: str) -> Json:
    """Lines of text, with or without a title."""
    return ({"title": title} if title else {}) | {"description": list(lines)}


ARIN_OWNER = entity(
    "EXCLO-2",
    ["registrant"],
    card("Example Cloud LLC", kind="org", label="1 Example Parkway\nSpringfield\nOR\n97477\nUnited States"),
    entity("TECH-ARIN", ["technical", "administrative"], card("Technicians", mail=["noc@cloud.example"])),
    entity("ABUSE-ARIN", ["abuse"], card("Abuse", mail=["abuse@cloud.example"])),
)

SAMPLES = [
    Sample(
        "ARIN: three CIDRs, no country but in the address, the mailbox inside the registrant",
        "arin",
        "13.100.5.6",
        network(
            "13.64.0.0",
            "13.107.255.255",
            handle="NET-13-64-0-0-1",
            name="EXCLOUD",
            type="DIRECT ALLOCATION",
            parentHandle="NET-13-0-0-0-0",
            status=["active"],
            cidr0_cidrs=cidr0("13.96.0.0/13", "13.64.0.0/11", "13.104.0.0/14"),
            events=events("2015-03-26T13:58:18-04:00", "2021-12-14T20:28:53-05:00"),
            entities=[ARIN_OWNER],
            remarks=[remark("Registration Comments", "Complaints are read on\r", "weekdays.\r", "")],
            arin_originas0_originautnums=[64500],
        ),
        {
            "cidrs": ("13.64.0.0/11", "13.96.0.0/13", "13.104.0.0/14"),
            "handle": "NET-13-64-0-0-1",
            "name": "EXCLOUD",
            "country": "US",
            "org": "Example Cloud LLC",
            "abuse": "abuse@cloud.example",
            "registered": "2015-03-26T13:58:18-04:00",
            "changed": "2021-12-14T20:28:53-05:00",
            "remarks": ("Complaints are read on", "weekdays."),
        },
    ),
    Sample(
        "ARIN as it was: zeros before the numbers, no cidr0, lines that end in a backslash and an n",
        "arin",
        "74.125.225.229",
        network(
            "074.125.000.000",
            "074.125.255.255",
            handle="NET-74-125-0-0-1",
            name="EXSEARCH",
            events=events("2007-03-13T12:09:54-04:00", None),
            entities=[
                entity(
                    "EXSE",
                    ["registrant"],
                    card("Example Search Inc.", kind="org", label="5 Rue Exemple\\nMontreal\\nQC\\nH2X\\nCANADA"),
                ),
                entity("EX1-ARIN", ["noc", "technical", "abuse"], card("Search", mail=["contact@search.example"])),
            ],
        ),
        {
            "cidrs": ("74.125.0.0/16",),
            "handle": "NET-74-125-0-0-1",
            "name": "EXSEARCH",
            "country": "CA",
            "org": "Example Search Inc.",
            "abuse": "contact@search.example",
            "registered": "2007-03-13T12:09:54-04:00",
        },
    ),
    Sample(
        "ARIN, IPv6",
        "arin",
        "2600:1f00::17",
        network(
            "2600:1F00::",
            "2600:1FFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF",
            handle="NET6-2600-1F00-1",
            name="EXCLOUD6",
            cidr0_cidrs=cidr0("2600:1f00::/24"),
            events=events("2011-02-10T10:00:00-05:00", "2012-04-02T11:00:00-04:00"),
            entities=[ARIN_OWNER],
        ),
        {
            "cidrs": ("2600:1f00::/24",),
            "handle": "NET6-2600-1F00-1",
            "name": "EXCLOUD6",
            "country": "US",
            "org": "Example Cloud LLC",
            "abuse": "abuse@cloud.example",
            "registered": "2011-02-10T10:00:00-05:00",
            "changed": "2012-04-02T11:00:00-04:00",
        },
    ),
    Sample(
        "RIPE: a maintainer is a registrant too, and its name is its handle",
        "ripe",
        "185.220.101.7",
        network(
            "185.220.101.0",
            "185.220.101.127",
            handle="185.220.101.0 - 185.220.101.127",
            name="EX-RELAYS",
            country="DE",
            type="ASSIGNED PA",
            status=["active"],
            cidr0_cidrs=cidr0("185.220.101.0/25"),
            events=events("2017-08-01T10:00:00Z", "2023-05-17T09:30:11Z"),
            remarks=[remark(None, "Relays", "see https://relays.example/")],
            entities=[
                entity("EX-MNT", ["registrant"], card("EX-MNT", kind="individual")),
                entity(
                    "ORG-EX7-RIPE",
                    ["registrant"],
                    card("Example Verein e.V.", kind="org", label="Musterweg 1\n10115 Berlin\nGERMANY"),
                ),
                entity(
                    "AR1-RIPE",
                    ["abuse"],
                    card("Abuse", mail=["abuse@verein.example"], label="Berlin", type="abuse"),
                    entity("EX-MNT", ["registrant"]),
                ),
            ],
        ),
        {
            "cidrs": ("185.220.101.0/25",),
            "handle": "185.220.101.0 - 185.220.101.127",
            "name": "EX-RELAYS",
            "country": "DE",
            "org": "Example Verein e.V.",
            "abuse": "abuse@verein.example",
            "registered": "2017-08-01T10:00:00Z",
            "changed": "2023-05-17T09:30:11Z",
            "remarks": ("Relays", "see https://relays.example/"),
        },
    ),
    Sample(
        "RIPE, IPv6: no cidr0, lengths behind the addresses, two countries, nobody but a description",
        "ripe",
        "2a00:2381:ffff::1",
        network(
            "2a00:2381:ffff::/128",
            "2a00:2381:ffff::ffff:ffff:ffff:ffff/128",
            handle="2a00:2381:ffff::/64",
            name="EX-SIX-LAUNCH",
            country="GB, IE # and the isles",
            events=events(None, "2012-05-29T09:49:44Z"),
            remarks=[remark(None, "***", "London, United Kingdom", "Example Telecom plc")],
            entities=[entity("EX-MNT", ["registrant"])],
        ),
        {
            "cidrs": ("2a00:2381:ffff::/64",),
            "handle": "2a00:2381:ffff::/64",
            "name": "EX-SIX-LAUNCH",
            "country": "GB",
            "org": "Example Telecom plc",
            "changed": "2012-05-29T09:49:44Z",
            "remarks": ("***", "London, United Kingdom", "Example Telecom plc"),
        },
    ),
    Sample(
        "RIPE: all of Europe is no country",
        "ripe",
        "193.0.22.9",
        network(
            "193.0.22.0",
            "193.0.23.255",
            handle="193.0.22.0 - 193.0.23.255",
            name="EX-EUROPE",
            country="EU # Worldwide",
            cidr0_cidrs=cidr0("193.0.22.0/23"),
        ),
        {"cidrs": ("193.0.22.0/23",), "handle": "193.0.22.0 - 193.0.23.255", "name": "EX-EUROPE"},
    ),
    Sample(
        "APNIC: the owner stands in the remark called description, the mailbox in the IRT",
        "apnic",
        "1.1.1.9",
        network(
            "1.1.1.0",
            "1.1.1.255",
            handle="1.1.1.0 - 1.1.1.255",
            name="EX-LABS",
            country="AU",
            type="ASSIGNED PORTABLE",
            status=["active"],
            cidr0_cidrs=cidr0("1.1.1.0/24"),
            events=events(None, "2020-07-15T13:10:57Z"),
            remarks=[
                remark("description", "Example Labs", "Research prefix"),
                remark("remarks", "---------------", "all complaints to", "resolver@labs.example"),
            ],
            entities=[
                entity("IRT-EX-AU", ["abuse"], card("IRT-EX-AU", mail=["help@labs.example"], pref="1")),
                entity("AR2-AP", ["administrative", "technical"], card("Research", mail=["research@labs.example"])),
            ],
        ),
        {
            "cidrs": ("1.1.1.0/24",),
            "handle": "1.1.1.0 - 1.1.1.255",
            "name": "EX-LABS",
            "country": "AU",
            "org": "Example Labs",
            "abuse": "help@labs.example",
            "changed": "2020-07-15T13:10:57Z",
            "remarks": (
                "Example Labs",
                "Research prefix",
                "---------------",
                "all complaints to",
                "resolver@labs.example",
            ),
        },
    ),
    Sample(
        "APNIC, IPv6, with an organisation",
        "apnic",
        "2400:cb00::1",
        network(
            "2400:cb00::",
            "2400:cb00:ffff:ffff:ffff:ffff:ffff:ffff",
            handle="2400:cb00::/32",
            name="EX-NET6",
            country="SG",
            cidr0_cidrs=cidr0("2400:cb00::/32"),
            events=events("2010-06-11T00:57:49Z", "2023-01-20T02:00:00Z"),
            entities=[
                entity("ORG-EX1-AP", ["registrant"], card("Example Pte. Ltd.", kind="org", label="Singapore")),
                entity("IRT-EX-SG", ["abuse"], card("IRT-EX-SG", mail=["mailto:irt@pte.example"])),
            ],
        ),
        {
            "cidrs": ("2400:cb00::/32",),
            "handle": "2400:cb00::/32",
            "name": "EX-NET6",
            "country": "SG",
            "org": "Example Pte. Ltd.",
            "abuse": "irt@pte.example",
            "registered": "2010-06-11T00:57:49Z",
            "changed": "2023-01-20T02:00:00Z",
        },
    ),
    Sample(
        "JPNIC, below APNIC",
        "jpnic",
        "133.242.1.2",
        network(
            "133.242.0.0",
            "133.242.255.255",
            handle="133.242.0.0/16",
            name="EXNET",
            country="JP",
            cidr0_cidrs=cidr0("133.242.0.0/16"),
            events=events("2011-07-05T00:00:00Z", "2019-02-01T00:00:00Z"),
            remarks=[remark("description", "例示株式会社", "Example K.K.")],
            entities=[entity("EX000JP", ["technical", "abuse"], card("Exemplar", mail=["abuse@kk.example"]))],
        ),
        {
            "cidrs": ("133.242.0.0/16",),
            "handle": "133.242.0.0/16",
            "name": "EXNET",
            "country": "JP",
            "org": "例示株式会社",
            "abuse": "abuse@kk.example",
            "registered": "2011-07-05T00:00:00Z",
            "changed": "2019-02-01T00:00:00Z",
            "remarks": ("例示株式会社", "Example K.K."),
        },
    ),
    Sample(
        "KRNIC, below APNIC: no dates, country in small letters",
        "krnic",
        "210.107.73.73",
        network(
            "210.107.0.0",
            "210.107.127.255",
            handle="210.107.0.0 - 210.107.127.255",
            name="EXNET-KR",
            country="kr",
            remarks=[remark("description", "Example Corp.")],
            entities=[entity("IM1-KR", ["abuse"], card("IP Manager", mail=["security@corp.example"]))],
        ),
        {
            "cidrs": ("210.107.0.0/17",),
            "handle": "210.107.0.0 - 210.107.127.255",
            "name": "EXNET-KR",
            "country": "KR",
            "org": "Example Corp.",
            "abuse": "security@corp.example",
            "remarks": ("Example Corp.",),
        },
    ),
    Sample(
        "LACNIC: the owner is the network's name, countries are codes in the address",
        "lacnic",
        "200.57.141.161",
        network(
            "200.57.128.0",
            "200.57.159.255",
            handle="200.57.128.0/19",
            name="Ejemplo, S.A. de C.V.",
            type="allocated",
            country="MX",
            events=events("2003-02-10T00:00:00Z", "2014-07-16T15:43:45Z"),
            entities=[
                entity(
                    "MX-EJEM-LACNIC",
                    ["registrant"],
                    card(
                        "Ejemplo, S.A. de C.V.", kind="org", address=["", "", "Calle 1", "Apodaca", "", "66600", "MX"]
                    ),
                    entity("EJE2", ["administrative", "abuse"], card("Ana Ejemplo", mail=["redes@ejemplo.example"])),
                )
            ],
        ),
        {
            "cidrs": ("200.57.128.0/19",),
            "handle": "200.57.128.0/19",
            "name": "Ejemplo, S.A. de C.V.",
            "country": "MX",
            "org": "Ejemplo, S.A. de C.V.",
            "abuse": "redes@ejemplo.example",
            "registered": "2003-02-10T00:00:00Z",
            "changed": "2014-07-16T15:43:45Z",
        },
    ),
    Sample(
        "LACNIC, IPv6: no field for the country, a code in the address",
        "lacnic",
        "2801:10:c000::5",
        network(
            "2801:10:c000::",
            "2801:10:c000:ffff:ffff:ffff:ffff:ffff",
            handle="2801:10:c000::/48",
            name="Universidad Ejemplo",
            entities=[
                entity(
                    "CO-UNEJ-LACNIC",
                    ["registrant", "abuse"],
                    card(
                        "Universidad Ejemplo", address=["", "", "", "Rionegro", "", "", "CO"], mail=["red@uni.example"]
                    ),
                )
            ],
        ),
        {
            "cidrs": ("2801:10:c000::/48",),
            "handle": "2801:10:c000::/48",
            "name": "Universidad Ejemplo",
            "country": "CO",
            "org": "Universidad Ejemplo",
            "abuse": "red@uni.example",
        },
    ),
    Sample(
        "NIC.br, below LACNIC: no name",
        "nicbr",
        "177.128.9.9",
        network(
            "177.128.0.0",
            "177.128.15.255",
            handle="177.128.0.0/20",
            country="BR",
            type="ASSIGNED",
            nicbr_autnum=64501,
            cidr0_cidrs=cidr0("177.128.0.0/20"),
            events=events("2012-11-29T12:00:00Z", "2016-06-14T12:00:00Z"),
            entities=[
                entity(
                    "11111111000111",
                    ["registrant"],
                    card("Provedor Exemplo Ltda", kind="org"),
                    entity("PEX12", ["abuse"], card("Segurança", mail=["abuse@provedor.example"])),
                )
            ],
        ),
        {
            "cidrs": ("177.128.0.0/20",),
            "handle": "177.128.0.0/20",
            "country": "BR",
            "org": "Provedor Exemplo Ltda",
            "abuse": "abuse@provedor.example",
            "registered": "2012-11-29T12:00:00Z",
            "changed": "2016-06-14T12:00:00Z",
        },
    ),
    Sample(
        "AFRINIC: four CIDRs between two addresses, entities without a role",
        "afrinic",
        "196.11.240.215",
        network(
            "196.11.239.0",
            "196.11.246.255",
            handle="196.11.239.0 - 196.11.246.255",
            name="EX-BUSINESS",
            country="ZA",
            status=["active"],
            remarks=[remark("Remark", "complaints to abuse@business.example")],
            entities=[entity("ORG-EXB1-AFRINIC", [], card("ORG-EXB1-AFRINIC", kind="org"))],
        ),
        {
            "cidrs": ("196.11.239.0/24", "196.11.240.0/22", "196.11.244.0/23", "196.11.246.0/24"),
            "handle": "196.11.239.0 - 196.11.246.255",
            "name": "EX-BUSINESS",
            "country": "ZA",
            "remarks": ("complaints to abuse@business.example",),
        },
    ),
    Sample(
        "AFRINIC, IPv6: a registrant that is called as its handle; the country by its name in the address",
        "afrinic",
        "2001:43f8:7b0::1",
        network(
            "2001:43f8:7b0::",
            "2001:43f8:7b0:ffff:ffff:ffff:ffff:ffff",
            handle="2001:43f8:07b0::/48",
            name="EX-IX",
            entities=[
                entity(
                    "ORG-EXI1-AFRINIC",
                    ["registrant"],
                    card("ORG-EXI1-AFRINIC", address=["P.O. Box 1", "", "", "Nairobi", "", "", "Kenya"]),
                ),
                entity("EXI2-AFRINIC", ["abuse"], card("IX", mail=["ix@ix.example", "abuse@ix.example"])),
            ],
        ),
        {
            "cidrs": ("2001:43f8:7b0::/48",),
            "handle": "2001:43f8:07b0::/48",
            "name": "EX-IX",
            "country": "KE",
            "abuse": "abuse@ix.example",
        },
    ),
]

PLACEHOLDERS = {
    "RIPE's for what others have": (
        "64.1.2.3",
        network(
            "64.0.0.0",
            "66.255.255.255",
            handle="64.0.0.0 - 66.255.255.255",
            name="NON-RIPE-NCC-MANAGED-ADDRESS-BLOCK",
            country="EU # Country is really world wide",
        ),
    ),
    "all of IPv4": ("190.1.2.3", network("0.0.0.0", "255.255.255.255", name="EX-BLK", country="AU")),
    "IANA's in APNIC's database": ("190.1.2.3", network("190.0.0.0", "190.255.255.255", name="IANA-NETBLOCK-190")),
    "an administrative one": ("41.1.2.3", network("41.0.0.0", "41.255.255.255", status=["administrative"])),
    "too large a part of IPv6": ("2a00::1", network("2a00::", "2a0f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", name="EX")),
}


def sample(registry: str) -> Sample:
    """The first of that registry."""
    return next(one for one in SAMPLES if one.registry == registry)
