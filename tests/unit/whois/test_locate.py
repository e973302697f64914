"""What is known of an address without asking, put together."""

from banledger.geo.mmdb import MmdbPlace
from banledger.geo.place import Place
from banledger.ledger.network import Cell, Network, Outcome
from banledger.net.prefix import block
from banledger.whois.cache import Cache
from banledger.whois.locate import Places, alike, offline_only

NOW = 1_000_000_000.0
DAY_S = 86_400.0
CHINESE = "115.209.121.31"


def places(
    files: MmdbPlace | None = None, *, ask: bool = True, known: bool = True, country: str | None = "JP"
) -> Places:
    """Over a cache that knows 115.209.0.0/16, proven for 115.209.121.0/24."""
    cache = Cache(14 * DAY_S, alike(None))
    if known:
        cache.learn(
            Network(
                cidrs=("115.209.0.0/16",), source="rdap", registry="apnic", fetched=NOW, country=country, org="Alpha"
            )
        )
        cache.prove(Cell(cidr="115.209.121.0/24", asked=NOW, result=Outcome.FOUND, asn=4134))
    made = Places(cache, (lambda _: files) if files else None, lambda: NOW, ask=ask, backfill_s=30 * DAY_S)
    made.ready = True
    return made


def test_whois_gives_country_network_system_and_owner() -> None:
    place = places().locate(CHINESE, NOW)
    assert place == Place("public", "JP", "whois", "115.209.0.0/16", 4134, "Alpha", "proven")


def test_a_record_without_a_country_leaves_the_registered_one() -> None:
    place = places(country=None).locate(CHINESE, NOW)
    assert (place.country, place.country_from, place.network) == ("CN", "iptocc", "115.209.0.0/16")


def test_an_unknown_address_waits_with_the_registered_country() -> None:
    assert places(known=False).locate(CHINESE, NOW) == Place("public", "CN", "iptocc", whois="waiting")


def test_no_ban_waits_if_look_ups_are_disabled_or_the_ban_is_old() -> None:
    plain = Place("public", "CN", "iptocc")
    assert places(known=False, ask=False).locate(CHINESE, NOW) == plain
    assert places(known=False).locate(CHINESE, NOW - 30 * DAY_S) == plain
    assert places(ask=False).locate("115.209.122.1", NOW) == plain
    assert places(ask=False).locate(CHINESE, NOW).whois == "proven"


def test_the_cache_is_not_used_before_it_is_complete() -> None:
    made = places()
    made.ready = False
    assert made.locate(CHINESE, NOW).whois == "waiting"
    assert made.found(CHINESE).standing == "waiting"


def test_private_addresses_and_invalid_text_are_never_looked_up() -> None:
    for address in ("10.0.0.1", "192.168.0.0/16", "fe80::1", "224.0.0.1", None):
        place = places().locate(address, NOW)
        assert place == offline_only(address, NOW) and place.whois is None


def test_networks_that_are_too_wide_are_never_looked_up() -> None:
    assert places().locate("64.0.0.0/7", NOW).whois is None
    assert places().locate("2a00::/15", NOW).whois is None


def test_the_users_databases_give_the_located_country() -> None:
    located = MmdbPlace("SG", 9, "Beta", "GeoLite2-City")
    place = places(located).locate(CHINESE, NOW)
    assert (place.country, place.located, place.located_from) == ("JP", "SG", "GeoLite2-City")
    assert (place.asn, place.org) == (4134, "Alpha")
    place = places(located, known=False).locate(CHINESE, NOW)
    assert (place.country, place.located, place.asn, place.org) == ("CN", "SG", 9, "Beta")


def test_blocks_are_alike_if_country_and_known_systems_are_the_same() -> None:
    chinese, other, german = block("115.209.0.0/24"), block("115.209.7.0/24"), block("5.9.0.0/24")
    assert alike(None)(chinese, other) and not alike(None)(chinese, german)
    assert alike(lambda _: MmdbPlace(asn=1))(chinese, other)
    assert alike(lambda text: MmdbPlace(asn=1 if "115.209.0" in text else None))(chinese, other)
    assert not alike(lambda text: MmdbPlace(asn=1 if "115.209.0" in text else 2))(chinese, other)
