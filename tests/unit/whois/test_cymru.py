"""Who announces an address, asked of a DNS server on the loopback that answers in every way a server can."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dns.reversename
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.net.address import canonical_address
from banledger.whois.cymru import Announcement, Cymru, parse, question
from banledger.whois.throttle import Throttle
from tests.support.dns_server import DnsServer, Misbehaviour

ADDRESS = "216.90.108.31"
TEXT = "23028 | 216.90.108.0/24 | US | arin | 1998-09-25"
ORIGIN = Announcement(23028, "216.90.108.0/24", "US", "arin", "1998-09-25")
OTHER = "8.8.8.8"


class Clock:
    """A clock that only waits when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as server:
        server.answer(ADDRESS, TEXT)
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cymru(server: DnsServer, clock: Clock) -> Cymru:
    """With a clock that stands still, and little patience."""
    return Cymru(nameservers=["127.0.0.1"], port=server.port, lifetime_s=0.5, throttle=Throttle(clock, clock.sleep))


# The question


def test_the_question_is_the_reversed_address_below_cymrus_zone() -> None:
    assert question("216.90.108.31") == "31.108.90.216.origin.asn.cymru.com."


def test_an_ipv6_address_is_queried_by_its_nibbles() -> None:
    assert question("2001:4860:b002::68") == (
        "8.6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.b.0.6.8.4.1.0.0.2.origin6.asn.cymru.com."
    )


def test_the_question_for_a_network_is_that_for_its_first_address() -> None:
    assert question("216.90.108.0/24") == question("216.90.108.0")


@given(st.ip_addresses())
def test_the_reversed_name_equals_dnspythons(address: object) -> None:
    canonical = canonical_address(str(address))
    assert canonical is not None
    reversed_name = str(dns.reversename.from_address(canonical))
    assert question(canonical).partition(".origin")[0] == reversed_name.rpartition(".i")[0]


# The answer


def test_an_answer_has_asn_prefix_country_registry_and_date() -> None:
    assert parse([TEXT.encode()], ADDRESS) == ORIGIN


def test_an_ipv6_answer_is_parsed() -> None:
    texts = [b"15169 | 2001:4860::/32 | US | arin | 2005-03-14"]
    assert parse(texts, "2001:4860:b002::68") == Announcement(15169, "2001:4860::/32", "US", "arin", "2005-03-14")


def test_ripencc_is_called_ripe() -> None:
    origin = parse([b"3333 | 193.0.0.0/21 | NL | ripencc | 1993-09-01"], "193.0.6.139")
    assert origin is not None and origin.registry == "ripe"


def test_the_longest_prefix_of_several_answers_counts() -> None:
    texts = [
        b"701 | 216.0.0.0/8 | US | arin | 1998-09-25",
        b"23028 | 216.90.108.0/24 | US | arin | 1998-09-25",
        b"7018 | 216.90.0.0/16 | US | arin | 1998-09-25",
        b"1299 | 216.90.109.0/25 | US | arin | 1998-09-25",
    ]
    assert parse(texts, ADDRESS) == parse(texts[::-1], ADDRESS) == ORIGIN


def test_the_choice_of_several_origins_does_not_depend_on_their_order() -> None:
    texts = [b"701 | 216.90.108.0/24 | | | ", b"23028 | 216.90.108.0/24 | | | ", b"0 | 216.90.108.0/24 | | | "]
    assert parse(texts, ADDRESS) == parse(texts[::-1], ADDRESS) == Announcement(701, "216.90.108.0/24")


def test_the_first_assigned_as_number_of_an_answer_counts() -> None:
    for asns in ("23028 1234", "23456 23028", "0 64512 23028"):
        origin = parse([f"{asns} | 216.90.108.0/24 | US | arin | 1998-09-25".encode()], ADDRESS)
        assert origin == ORIGIN


@pytest.mark.parametrize(
    "prefix",
    ["8.8.8.0/24", "216.90.109.0/24", "216.0.0.0/7", "0.0.0.0/0", "2001:4860::/32", "", "NA", "216.90.108.0/33"],
)
def test_an_answer_with_an_impossible_prefix_is_ignored(prefix: str) -> None:
    assert parse([f"23028 | {prefix} | US | arin | 1998-09-25".encode()], ADDRESS) is None


def test_an_ipv6_prefix_is_at_least_a_16() -> None:
    assert parse([b"15169 | 2000::/3 | US | arin | 2005-03-14"], "2001:4860::1") is None
    assert parse([b"15169 | 2001::/16 | US | arin | 2005-03-14"], "2001:4860::1") is not None


def test_a_prefix_is_written_canonically() -> None:
    for prefix in ("216.90.108.31/24", " 216.90.108.0/24", "216.90.108.0/255.255.255.0"):
        assert parse([f"23028|{prefix}|US|arin|1998-09-25".encode()], ADDRESS) == ORIGIN
    origin = parse([b"15169 | 2001:4860:0::%evil/32 | US | arin | 2005-03-14"], "2001:4860::1")
    assert origin is not None and origin.prefix == "2001:4860::/32"


@pytest.mark.parametrize(
    "text",
    [
        "x | 216.90.108.0/24 | us | iana | yesterday",
        "0 | 216.90.108.0/24 | EU | ARIN | 1998-13-45",
        "-1 | 216.90.108.0/24 | USA | arin' | 19980925",
        "9999999999 | 216.90.108.0/24 | \x1b[ | \x00 | 1998-W05-5",
        "| 216.90.108.0/24",
    ],
)
def test_invalid_fields_are_unknown(text: str) -> None:
    assert parse([text.encode()], ADDRESS) == Announcement(prefix="216.90.108.0/24")


HOSTILE = [b"", b"|", b"||||", b"\xff\xfe|\x80", b"|" * 60_000, b"1" * 60_000, b" " * 60_000, "١ | ٢٠/٨ | ÜS".encode()]


def test_hostile_text_is_ignored_in_bounded_time() -> None:
    began = time.monotonic()
    assert parse(HOSTILE * 2000, ADDRESS) is None
    assert time.monotonic() - began < 1


@given(st.lists(st.binary() | st.text("0123456789./:| ASU\x00é").map(str.encode), max_size=5), st.ip_addresses())
def test_text_of_any_kind_never_raises(texts: list[bytes], address: object) -> None:
    assert parse(texts, str(address)) is None or any(b"|" in text for text in texts)


# Asking


def test_an_address_needs_one_txt_query(server: DnsServer, cymru: Cymru) -> None:
    assert cymru.ask(ADDRESS) == ORIGIN
    (query,) = server.queries
    assert query[:3] == ("31.108.90.216.origin.asn.cymru.com.", "TXT", "udp")


def test_an_ipv6_address_is_queried_in_its_own_zone(server: DnsServer, cymru: Cymru) -> None:
    server.answer("2001:4860:b002::68", "15169 | 2001:4860::/32 | US | arin | 2005-03-14")
    origin = cymru.ask("2001:4860:b002::68")
    assert origin is not None and origin.asn == 15169


def test_a_network_is_queried_by_its_first_address(server: DnsServer, cymru: Cymru) -> None:
    server.answer("216.90.108.0", TEXT)
    assert cymru.ask("216.90.108.0/24") == ORIGIN


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "127.0.0.1", "192.168.0.0/16", "100.64.0.1", "203.0.113.9", "224.0.0.1", "239.1.2.3", "0.0.0.0/0",
     "255.255.255.255", "::1", "fe80::1", "fd00::/8", "2001:db8::1", "ff0e::1", "::", "", "example.org",
     "8.8.8.8.", "2001:4860::1%eth0"],
)  # fmt: skip
def test_special_addresses_never_leave_the_machine(server: DnsServer, cymru: Cymru, address: str) -> None:
    assert cymru.ask(address) is None
    assert server.queries == []


def test_a_name_that_does_not_exist_causes_no_pause(server: DnsServer, cymru: Cymru) -> None:
    server.answer("9.9.9.9")
    assert cymru.ask(OTHER) is None
    assert cymru.ask("9.9.9.9") is None
    assert cymru.ask(ADDRESS) == ORIGIN


def test_hostile_txt_records_are_ignored_and_cause_no_pause(server: DnsServer, cymru: Cymru) -> None:
    server.answer(OTHER, *(text[:6000] for text in HOSTILE))
    assert cymru.ask(OTHER) is None
    assert cymru.ask(ADDRESS) == ORIGIN


def test_an_answer_in_several_strings_is_joined(server: DnsServer, cymru: Cymru) -> None:
    server.answer(OTHER, f"{' '.join(['0'] * 126)} 15169 | 8.8.8.0/24 | US | arin | 2023-12-28")
    assert cymru.ask(OTHER) == Announcement(15169, "8.8.8.0/24", "US", "arin", "2023-12-28")


def test_an_answer_too_long_for_a_datagram_comes_over_tcp(server: DnsServer, cymru: Cymru) -> None:
    server.misbehave("truncated")
    assert cymru.ask(ADDRESS) == ORIGIN
    assert [query.over for query in server.queries] == ["udp", "tcp"]


def test_the_search_list_of_the_machine_is_not_used(server: DnsServer, tmp_path: Path) -> None:
    configuration = tmp_path / "resolv.conf"
    configuration.write_text("nameserver 127.0.0.1\nsearch example.org example.net\noptions ndots:9\n")
    cymru = Cymru(port=server.port, configuration=str(configuration))
    assert cymru.ask(ADDRESS) == ORIGIN
    assert cymru.ask(OTHER) is None
    assert {query.name for query in server.queries} == {question(ADDRESS), question(OTHER)}


# Trouble

TROUBLE: list[Misbehaviour] = ["SERVFAIL", "REFUSED", "silence", "garbage", "wrong id", "wrong question"]


@pytest.mark.parametrize("how", TROUBLE)
def test_a_misbehaving_server_gives_no_answer_within_the_deadline(
    server: DnsServer, cymru: Cymru, how: Misbehaviour
) -> None:
    server.misbehave(how)
    began = time.monotonic()
    assert cymru.ask(ADDRESS) is None
    assert time.monotonic() - began < 0.5 + 0.4


@pytest.mark.parametrize("how", TROUBLE)
def test_a_failure_causes_a_pause_of_a_minute(server: DnsServer, cymru: Cymru, clock: Clock, how: Misbehaviour) -> None:
    server.misbehave(how)
    cymru.ask(ADDRESS)
    asked = len(server.queries)
    server.behave()
    clock.now += 59
    assert cymru.ask(ADDRESS) is None
    assert len(server.queries) == asked
    clock.now += 1
    assert cymru.ask(ADDRESS) == ORIGIN


def test_the_pause_doubles_up_to_a_quarter_of_an_hour_and_ends_with_an_answer(
    server: DnsServer, cymru: Cymru, clock: Clock
) -> None:
    for rest_s in (60, 120, 240, 480, 900, 900):
        server.misbehave("SERVFAIL")
        asked = len(server.queries)
        assert cymru.ask(ADDRESS) is None and len(server.queries) == asked + 1
        clock.now += rest_s - 1
        assert cymru.ask(ADDRESS) is None and len(server.queries) == asked + 1
        clock.now += 1
    server.behave()
    assert cymru.ask(ADDRESS) == ORIGIN
    server.misbehave("SERVFAIL")
    cymru.ask(ADDRESS)
    server.behave()
    clock.now += 60
    assert cymru.ask(ADDRESS) == ORIGIN


def test_a_closed_port_is_a_failure() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    assert Cymru(nameservers=["127.0.0.1"], port=port, lifetime_s=0.3).ask(ADDRESS) is None


def test_another_name_server_answers_if_one_fails(server: DnsServer) -> None:
    cymru = Cymru(nameservers=["127.0.0.2", "127.0.0.1"], port=server.port, lifetime_s=2)
    assert cymru.ask(ADDRESS) == ORIGIN


@pytest.mark.parametrize(
    "text",
    [None, b"", b"nameserver\n", b"nameserver not-an-address\n", b"search " + b"a" * 99 + b"\n", b"\xff\xfe\x00"],
)
def test_without_a_usable_resolv_conf_there_is_no_answer(tmp_path: Path, text: bytes | None) -> None:
    configuration = tmp_path / "resolv.conf"
    if text is not None:
        configuration.write_bytes(text)
    assert Cymru(configuration=str(configuration)).ask(ADDRESS) is None


def test_a_directory_is_not_a_resolv_conf(tmp_path: Path) -> None:
    assert Cymru(configuration=str(tmp_path)).ask(ADDRESS) is None


def test_a_corrected_resolv_conf_is_read_after_the_pause(server: DnsServer, clock: Clock, tmp_path: Path) -> None:
    configuration = tmp_path / "resolv.conf"
    cymru = Cymru(port=server.port, configuration=str(configuration), throttle=Throttle(clock, clock.sleep))
    assert cymru.ask(ADDRESS) is None
    configuration.write_text("nameserver 127.0.0.1\n")
    clock.now += 60
    assert cymru.ask(ADDRESS) == ORIGIN


def test_an_invalid_name_server_address_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dns\.example"):
        Cymru(nameservers=["dns.example"])


# The pace


def test_questions_are_an_interval_apart(server: DnsServer, clock: Clock) -> None:
    cymru = Cymru(nameservers=["127.0.0.1"], port=server.port, interval_s=2, throttle=Throttle(clock, clock.sleep))
    for _ in range(4):
        assert cymru.ask(ADDRESS) == ORIGIN
    assert clock.now == 1006
    clock.now += 60
    cymru.ask(ADDRESS)
    assert clock.now == 1066


def test_questions_of_many_threads_are_an_interval_apart(server: DnsServer) -> None:
    cymru = Cymru(nameservers=["127.0.0.1"], port=server.port, interval_s=0.05)
    cymru.ask(ADDRESS)  # imports are done
    with ThreadPoolExecutor(8) as threads:
        origins = list(threads.map(cymru.ask, [ADDRESS] * 16))
    assert origins == [ORIGIN] * 16
    moments = sorted(query.moment for query in server.queries[1:])
    assert len(moments) == 16
    assert moments[-1] - moments[0] > 0.05 * 15 - 0.04


def test_a_thread_that_would_wait_too_long_takes_no_turn(server: DnsServer) -> None:
    cymru = Cymru(nameservers=["127.0.0.1"], port=server.port, interval_s=0.3, lifetime_s=1)
    cymru.ask(ADDRESS)
    began = time.monotonic()
    with ThreadPoolExecutor(10) as threads:
        origins = list(threads.map(cymru.ask, [ADDRESS] * 10))
    assert time.monotonic() - began < 1
    assert 1 <= origins.count(ORIGIN) <= 2
    assert origins.count(None) == 10 - origins.count(ORIGIN)


def test_questions_that_fail_together_are_one_failure(server: DnsServer) -> None:
    clock = Clock()
    cymru = Cymru(nameservers=["127.0.0.1"], port=server.port, lifetime_s=0.5, interval_s=0, throttle=Throttle(clock))
    cymru.ask(ADDRESS)
    server.misbehave("silence")
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(cymru.ask, [ADDRESS] * 4)) == [None] * 4
    server.behave()
    clock.now += 60
    assert cymru.ask(ADDRESS) == ORIGIN


def test_a_thread_that_waits_during_a_failure_does_not_query(server: DnsServer) -> None:
    cymru = Cymru(nameservers=["127.0.0.1"], port=server.port, lifetime_s=3, interval_s=0.7)
    server.misbehave("SERVFAIL")
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(cymru.ask, [ADDRESS] * 2)) == [None] * 2
    assert len(server.queries) == 1


def test_dns_is_imported_when_something_is_asked() -> None:
    program = "import sys, banledger.whois.cymru; sys.exit('dns' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
