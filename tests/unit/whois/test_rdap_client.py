"""Whole look-ups, of registries on the loopback."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, get_args

import pytest

from banledger.ledger.network import Answer, Network, Outcome
from banledger.whois.cymru import Announcement
from banledger.whois.http.client import Response
from banledger.whois.rdap.bootstrap_refresh import Refreshed
from banledger.whois.rdap.client import Lookup
from tests.support.rdap_answers import PLACEHOLDERS, SAMPLES, Sample, cidr0, network, sample
from tests.support.rdap_server import HOSTS, Fault, Limit, RdapServer

ADDRESS = "185.220.101.7"
REGIONAL = {"jpnic": "apnic", "krnic": "apnic", "nicbr": "lacnic"}
NOW = 1_800_000_000.0
PATIENCE_S = 5.0


def nobody(*_: Any, **__: Any) -> Any:
    """A transport for questions that must not be asked."""
    raise AssertionError


def with_origin(registries: RdapServer, origin: Announcement | None, **options: Any) -> Answer:
    return registries.lookup(origin=lambda _: origin, **options).ask(ADDRESS, NOW)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_every_registry_is_found_and_its_answer_parsed(registries: RdapServer, sample: Sample) -> None:
    answer = registries.lookup().ask(sample.asked, NOW)

    regional = sample.registry not in REGIONAL
    assert answer.outcome is Outcome.FOUND, answer.problem
    assert answer.registry == REGIONAL.get(sample.registry, sample.registry)
    assert answer.address == sample.asked
    assert answer.network
    assert answer.network.registry == (sample.registry if regional else HOSTS[sample.registry])
    assert answer.network.fetched == NOW
    assert answer.network.cidrs == sample.read["cidrs"]


def test_one_question_is_asked_in_the_form_of_the_rfc(registries: RdapServer) -> None:
    registries.lookup().ask("2600:1f00::17", NOW)
    registries.lookup().ask("196.11.240.0/24", NOW)

    assert [request.path for request in registries.requests] == [
        "/registry/ip/2600:1f00::17",
        "/rdap/ip/196.11.240.0/24",
    ]
    assert {request.headers["accept"] for request in registries.requests} == {"application/rdap+json"}


def test_no_link_of_an_answer_is_followed(registries: RdapServer) -> None:
    registries.lookup().ask(ADDRESS, NOW)

    assert [request.path for request in registries.requests] == [f"/ip/{ADDRESS}"]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "x",
        "8.8.8",
        "8.8.8.8/x",
        "8.8.8.8\0",
        "\ud800",
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "100.64.1.1",
        "192.0.2.1",
        "224.0.0.251",
        "240.0.0.1",
        "::1",
        "::ffff:10.0.0.1",
        "fe80::1",
        "fd00::1",
        "2001:db8::1",
        "ff02::1",
        "8.0.0.0/7",
        "0.0.0.0/0",
        "2600::/12",
        "::/0",
        "192.168.0.0/16",
    ],
)
def test_special_addresses_are_not_looked_up(address: str) -> None:
    lookup = Lookup(nobody, Refreshed(), origin=nobody)

    answer = lookup.ask(address, NOW)

    assert answer.outcome is Outcome.FAILED
    assert answer.problem
    assert lookup.registry_of(address) is None


def test_an_address_that_no_registry_has_is_none_without_a_question() -> None:
    answer = Lookup(nobody, Refreshed()).ask("2d00::1", NOW)

    assert (answer.outcome, answer.registry) == (Outcome.NONE, "")


def test_an_address_is_canonical_in_the_answer(registries: RdapServer) -> None:
    assert registries.lookup().ask("2600:1F00:0::0017", NOW).address == "2600:1f00::17"


def test_the_registry_is_known_without_a_query() -> None:
    registry = Lookup(nobody, Refreshed()).registry_of("200.3.14.10")

    assert registry is not None
    assert (registry.name, registry.interval_s) == ("lacnic", 6.0)


# What registries say


def test_status_404_is_none(registries: RdapServer) -> None:
    answer = registries.lookup().ask("193.1.1.1", NOW)

    assert (answer.outcome, answer.registry, answer.network) == (Outcome.NONE, "ripe", None)


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_a_placeholder_is_none(registries: RdapServer, name: str) -> None:
    asked, placeholder = PLACEHOLDERS[name]
    lookup = registries.lookup()
    registry = lookup.registry_of(asked)
    assert registry is not None
    registries.answer(registry.name, placeholder)

    assert lookup.ask(asked, NOW).outcome is Outcome.NONE


@pytest.mark.parametrize(
    ("how", "retry_after", "retry_s"), [("429", "", 0.0), ("429", "90", 90.0), ("503", "5", 5.0), ("notice", "", 60.0)]
)
def test_a_rate_limit_is_returned_with_its_time(
    registries: RdapServer, how: Limit, retry_after: str, retry_s: float
) -> None:
    registries.limit("ripe", most=1, how=how, retry_after=retry_after)
    lookup = registries.lookup()
    assert lookup.ask(ADDRESS, NOW).outcome is Outcome.FOUND

    answer = lookup.ask(ADDRESS, NOW)

    assert (answer.outcome, answer.registry, answer.retry_s) == (Outcome.LIMITED, "ripe", retry_s)


def test_a_national_registrys_limit_counts_for_the_queried_registry(registries: RdapServer) -> None:
    registries.limit("jpnic", retry_after="7")

    answer = registries.lookup().ask("133.242.1.2", NOW)

    assert (answer.outcome, answer.registry, answer.retry_s) == (Outcome.LIMITED, "apnic", 7.0)


@pytest.mark.parametrize("fault", [fault for fault in get_args(Fault) if fault != "gzip"])
def test_misbehaviour_is_a_failure_within_the_deadline(registries: RdapServer, fault: Fault) -> None:
    registries.fault("ripe", fault, "https://elsewhere.example/")
    began = time.monotonic()

    answer = registries.lookup(deadline_s=0.5).ask(ADDRESS, NOW)

    assert answer.outcome is Outcome.FAILED
    assert answer.problem
    assert answer.registry == "ripe"
    assert time.monotonic() - began < PATIENCE_S


# Redirects


@pytest.mark.parametrize(
    "target",
    [
        "",
        "http://rdap.arin.net/registry/ip/185.220.101.7",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://2130706433/",
        "https://localhost/",
        "https://elsewhere.example/ip/185.220.101.7",
        "https://rdap.arin.net.elsewhere.example/",
        "https://rdap.arin.net@elsewhere.example/",
        "https://rdap.arin.net:22/",
        "https://data.iana.org/",
        "//elsewhere.example/",
        "file:///etc/passwd",
        "gopher://rdap.arin.net/",
        "\x00",
        "https://[",
    ],
)
def test_a_redirect_to_another_host_is_not_followed(registries: RdapServer, target: str) -> None:
    registries.fault("ripe", "redirect", target)

    answer = registries.lookup().ask(ADDRESS, NOW)

    assert answer.outcome is Outcome.FAILED
    assert len(registries.requests) == 1


def test_three_redirects_are_followed_and_no_more(registries: RdapServer) -> None:
    path = ["arin", "apnic", "lacnic", "afrinic", "ripe"]
    for one, other in pairwise(path):
        registries.redirect(one, "3.0.0.0/8", other)
    registries.answer("afrinic", network("3.3.3.0", "3.3.3.255"))
    registries.answer("ripe", network("3.3.3.0", "3.3.3.255"))

    answer = registries.lookup().ask("3.3.3.3", NOW)

    assert answer.outcome is Outcome.FAILED
    assert [request.registry for request in registries.requests] == path[:4]


def test_the_third_one_s_answer_is_taken(registries: RdapServer) -> None:
    for one, other in [("arin", "apnic"), ("apnic", "lacnic"), ("lacnic", "afrinic")]:
        registries.redirect(one, "3.0.0.0/8", other)
    registries.answer("afrinic", network("3.3.3.0", "3.3.3.255"))

    answer = registries.lookup().ask("3.3.3.3", NOW)

    assert (answer.outcome, answer.registry) == (Outcome.FOUND, "arin")
    assert answer.network
    assert answer.network.registry == "afrinic"


def test_a_redirect_waits_for_the_turn_of_its_registry(registries: RdapServer) -> None:
    turns: list[tuple[str, float]] = []

    registries.lookup(take=lambda *turn: turns.append(turn)).ask("133.242.1.2", NOW)

    assert turns == [("jpnic.rdap.apnic.net", 1.0)]


def test_the_deadline_is_one_for_all_redirects() -> None:
    now = [0.0]

    def slow(url: str, accept: str, *, deadline_s: float | None = None) -> Response:
        now[0] += 4.0
        deadlines.append(deadline_s)
        return Response(302, url, b"", location=f"{url}x")

    deadlines: list[float | None] = []
    answer = Lookup(slow, Refreshed(), deadline_s=10.0, monotonic=lambda: now[0]).ask(ADDRESS, NOW)

    assert answer.outcome is Outcome.FAILED
    assert deadlines == [10.0, 6.0, 2.0]


# The second source


def test_the_origin_is_returned_with_the_network(registries: RdapServer) -> None:
    answer = with_origin(registries, Announcement(64_500, "185.220.100.0/22", "DE", "ripe"))

    assert answer.network
    assert (answer.network.source, answer.network.asn) == ("rdap", 64_500)
    assert (answer.asn, answer.prefix) == (64_500, "185.220.100.0/22")


def test_the_origin_replaces_an_empty_answer(registries: RdapServer) -> None:
    origin = Announcement(64_500, "193.1.0.0/16", "IE", "ripe")

    answer = registries.lookup(origin=lambda _: origin).ask("193.1.1.1", NOW)

    assert answer.outcome is Outcome.FOUND
    assert answer.network == Network(
        cidrs=("193.1.0.0/16",), source="cymru", registry="ripe", fetched=NOW, country="IE", asn=64_500
    )


@pytest.mark.parametrize(
    "origin",
    [
        None,
        Announcement(64_500, None, "IE", "ripe"),
        Announcement(64_500, "193.1.0.0/16", None, "ripe"),
        Announcement(64_500, "193.1.0.0/16", "EU", "ripe"),
        Announcement(64_500, "193.2.0.0/16", "IE", "ripe"),
        Announcement(64_500, "192.0.0.0/7", "IE", "ripe"),
        Announcement(64_500, "nonsense", "IE", "ripe"),
    ],
)
def test_an_incomplete_or_invalid_origin_replaces_no_answer(registries: RdapServer, origin: Announcement) -> None:
    answer = registries.lookup(origin=lambda _: origin).ask("193.1.1.1", NOW)

    assert (answer.outcome, answer.network) == (Outcome.NONE, None)
    assert answer.asn == (origin.asn if origin else None)


@pytest.mark.parametrize("fault", ["error", "close"])
def test_the_origin_does_not_replace_a_failed_answer(registries: RdapServer, fault: Fault) -> None:
    registries.fault("ripe", fault)

    answer = with_origin(registries, Announcement(64_500, "185.220.100.0/22", "DE", "ripe"))

    assert (answer.outcome, answer.network) == (Outcome.FAILED, None)


def test_the_origin_does_not_replace_a_rate_limited_answer(registries: RdapServer) -> None:
    registries.limit("ripe")

    answer = with_origin(registries, Announcement(64_500, "185.220.100.0/22", "DE", "ripe"))

    assert (answer.outcome, answer.network, answer.asn) == (Outcome.LIMITED, None, None)


# As a whole


def test_several_threads_may_ask(registries: RdapServer) -> None:
    lookup = registries.lookup()
    asked = [sample.asked for sample in SAMPLES] * 3

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lookup.ask, asked))

    assert [answer.address for answer in answers] == asked
    assert {answer.outcome for answer in answers} == {Outcome.FOUND}


def test_a_newer_bootstrap_is_used_with_the_next_question(registries: RdapServer) -> None:
    def file(network: str) -> bytes:
        head = b'{"version":"1.0","publication":"2030-01-01T00:00:00Z","services":'
        return head + f'[[["{network}"],["https://rdap.afrinic.net/rdap/"]]]}}'.encode()

    registries.file("ipv4.json", file("185.0.0.0/8"))
    registries.file("ipv6.json", file("2600::/12"))
    registries.answer("afrinic", sample("ripe").answer)
    get = registries.transport().get

    answer = Lookup(get, Refreshed(get)).ask(ADDRESS, NOW)

    assert (answer.outcome, answer.registry) == (Outcome.FOUND, "afrinic")


def test_the_clock_is_read_if_no_time_is_given(registries: RdapServer) -> None:
    answer = registries.lookup(clock=lambda: 7.0).ask(ADDRESS)

    assert answer.network
    assert answer.network.fetched == 7.0


def test_an_answer_with_distant_cidrs_is_refused(registries: RdapServer) -> None:
    lies = cidr0("185.220.101.0/25", "8.0.0.0/8", "2600::/16")
    registries.answer("ripe", network("185.220.101.0", "185.220.101.127", cidr0_cidrs=lies))

    answer = registries.lookup().ask(ADDRESS, NOW)

    assert answer.network
    assert answer.network.cidrs == ("185.220.101.0/25",)


def test_no_http_library_is_imported_without_a_look_up() -> None:
    program = "import sys, banledger.ledger.network, banledger.whois.worker; sys.exit('urllib3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
