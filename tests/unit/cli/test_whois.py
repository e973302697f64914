"""`banledger whois`: from the ledger, or from the registry; hostile text is only shown."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from banledger.ledger.network import Answer, Cell, Network, Outcome, Pause
from banledger.ledger.writer import open_to_write
from banledger.service import wiring as lookups
from banledger.whois.rdap.bootstrap import Registry
from tests.unit.cli.conftest import Run

ADDRESS, CIDR = "115.209.121.31", "115.209.0.0/16"
EVIL = "\x1b]0;owned\x07=1\u202e"
NETWORK = Network(
    cidrs=(CIDR,), source="rdap", registry="apnic", fetched=time.time() - 3 * 86_400, handle="115.209.0.0/16",
    name="EXAMPLE-NET", country="CN", org=f"Example {EVIL}", abuse="abuse@example.org", asn=4134,
    registered="2008-07-01T00:00:00Z", remarks=("first line", EVIL),
    raw=b'{"name": "EXAMPLE-NET", "odd": "\\u001b[31m"}',
)  # fmt: skip


class Registries:
    """Stands for enrich.lookup.Lookup."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = Answer(address=ADDRESS, registry="apnic", outcome=Outcome.FOUND, network=NETWORK, asn=4134)

    def registry_of(self, _address: str) -> Registry:
        """Everything is APNIC's."""
        return Registry("apnic")

    def ask(self, address: str) -> Answer:
        self.asked.append(address)
        return replace(self.answer, address=address)


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registries]:
    """Registries that may be asked, and a spool."""
    made = Registries()

    monkeypatch.setattr(lookups, "lookup", lambda *_: made)
    monkeypatch.setenv("BANLEDGER_WHOIS_ENABLED", "true")
    (tmp_path / "spool").mkdir(mode=0o770)
    (tmp_path / "spool").chmod(0o770)
    monkeypatch.setenv("BANLEDGER_SPOOL", str(tmp_path / "spool"))
    yield made


def know(store: Path, cell: str | None = "115.209.121.0/24", asked: float | None = None) -> None:
    """Put the network into the ledger."""
    ledger = open_to_write(str(store), "bans", "UTC")
    moment = time.time() - 3 * 86_400 if asked is None else asked
    cells = [Cell(cidr=cell, asked=moment, result=Outcome.FOUND, network=CIDR, asn=4134)] if cell else []
    ledger.networks.put([NETWORK], cells, time.time())
    ledger.close()


def test_a_known_network_is_shown_with_source_age_and_proof(
    banledger: Run, registries: Registries, store: Path
) -> None:
    know(store)
    code, out, err = banledger("whois", ADDRESS)
    assert (code, err, registries.asked) == (0, "", [])
    for part in (CIDR, "EXAMPLE-NET", "CN China", "AS4134", "abuse@example.org", "first line"):
        assert part in out
    assert re.search(r"by apnic \(rdap\), 3d( \ds)? ago, proven for 115\.209\.121\.0/24", out)  # on a busy machine
    assert "\x1b" not in out and "\u202e" not in out and "\\x1b]0;owned" in out


def test_json_and_the_whole_answer_are_plain_ascii(banledger: Run, registries: Registries, store: Path) -> None:
    know(store)
    _, out, _ = banledger("whois", ADDRESS, "--json")
    found = json.loads(out)
    assert (found["standing"], found["cell"], found["network"]["org"]) == ("proven", "115.209.121.0/24", NETWORK.org)
    assert found["age_s"] // 86_400 in (2, 3) and out.isascii() and "\x1b" not in out
    _, out, _ = banledger("whois", ADDRESS, "--raw")
    assert json.loads(out) == json.loads(NETWORK.raw) and "\x1b" not in out


def test_an_unknown_address_is_looked_up_and_written_to_the_spool(
    banledger: Run, registries: Registries, store: Path
) -> None:
    code, out, err = banledger("whois", "::ffff:" + ADDRESS)
    assert code == 0 and "EXAMPLE-NET" in out and "asking about 115.209.121.31" in err
    assert registries.asked == [ADDRESS]
    code, out, _ = banledger("record", "--once", "--store", str(store))
    assert code == 0 and "1 network" in out
    code, out, err = banledger("whois", ADDRESS)
    assert (code, err) == (0, "") and "proven for 115.209.121.0/24" in out
    assert registries.asked == [ADDRESS]


def test_an_address_elsewhere_in_a_known_network_is_looked_up(
    banledger: Run, registries: Registries, store: Path
) -> None:
    know(store, None)
    registries.answer = replace(registries.answer, outcome=Outcome.FAILED, network=None, problem="too slow")
    code, out, _ = banledger("whois", ADDRESS)
    assert code == 0 and "this part of the network was not looked up" in out and registries.asked == [ADDRESS]


def test_an_address_near_a_proven_one_inherits_its_network(banledger: Run, registries: Registries, store: Path) -> None:
    know(store)
    code, out, _ = banledger("whois", "115.209.125.1")
    assert code == 0 and "inherited for 115.209.125.0/24" in out and registries.asked == []


def test_refresh_looks_up_again_and_reports_a_failure(banledger: Run, registries: Registries, store: Path) -> None:
    know(store)
    assert "0s ago, proven" in banledger("whois", ADDRESS, "--refresh")[1]
    for outcome, said in (
        (Outcome.NONE, "no registry has a network around"),
        (Outcome.LIMITED, "apnic: rate limited"),
        (Outcome.FAILED, "apnic: too \\x1bslow"),
    ):
        registries.answer = Answer(address=ADDRESS, registry="apnic", outcome=outcome, problem="too \x1bslow")
        code, out, err = banledger("whois", ADDRESS, "--refresh")
        assert (code, out) == (10, "") and f"error: {said}" in err.replace("asking about 115.209.121.31 ...\n", "")


@pytest.mark.parametrize(("network", "least"), [("0.0.0.0/0", 8), ("::/0", 16), ("8.0.0.0/7", 8), ("2400::/12", 16)])
def test_a_network_too_large_for_a_registry_is_refused_with_a_hint(
    banledger: Run, registries: Registries, network: str, least: int
) -> None:
    code, out, err = banledger("whois", network)
    assert (code, out, registries.asked) == (2, "", [])
    assert err == (
        f"error: {network} is too large: no registry has a network of that size\n"
        f"hint: give an address, or a network from /{least} on\n"
    )


@pytest.mark.parametrize("address", ["10.0.0.1", "192.0.2.1", "fe80::1", "127.0.0.1", "224.0.0.1", "nonsense"])
def test_private_addresses_are_never_looked_up(banledger: Run, registries: Registries, address: str) -> None:
    code, _, err = banledger("whois", address)
    assert code == 2 and err.startswith("error: ") and registries.asked == []


def test_the_kind_of_a_special_address_and_its_embedded_address_are_shown(
    banledger: Run, registries: Registries
) -> None:
    assert banledger("whois", "fe80::1")[2] == (
        "error: no registry has fe80::1: link-local address\nhint: registries have public addresses only\n"
    )
    assert banledger("whois", "64:ff9b::73d1:791f")[2] == (
        "error: no registry has 64:ff9b::73d1:791f: NAT64 address of 115.209.121.31\n"
        "hint: banledger whois 115.209.121.31\n"
    )
    assert registries.asked == []


def test_no_registry_is_asked_if_whois_is_disabled(
    banledger: Run, registries: Registries, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANLEDGER_WHOIS_ENABLED", "false")
    code, _, err = banledger("whois", ADDRESS)
    assert code == 10 and "whois.enabled is false" in err and registries.asked == []
    know(store)
    assert banledger("whois", ADDRESS)[0] == 0


def test_the_answer_is_shown_without_a_ledger_or_a_spool(
    banledger: Run, registries: Registries, tmp_path: Path
) -> None:
    code, out, err = banledger("whois", ADDRESS, "--store", str(tmp_path / "no.db"), "--spool", str(tmp_path / "no"))
    assert (code, err) == (0, "asking about 115.209.121.31 ...\n") and "EXAMPLE-NET" in out


def test_a_user_without_rights_writes_nothing_to_the_spool(
    banledger: Run, registries: Registries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 4244)
    code, out, _ = banledger("whois", ADDRESS)
    assert code == 0 and "EXAMPLE-NET" in out and list((tmp_path / "spool").iterdir()) == []


def test_a_paused_registry_is_not_asked(banledger: Run, registries: Registries, store: Path) -> None:
    ledger = open_to_write(str(store), "bans", "UTC")
    ledger.networks.pause("apnic", Pause(time.time() + 60))
    ledger.close()
    code, _, err = banledger("whois", ADDRESS)
    assert code == 10 and "apnic: rate limited" in err and registries.asked == []


@pytest.mark.parametrize("years", [10, -10])
def test_a_pause_from_a_wrong_clock_is_ignored(banledger: Run, registries: Registries, store: Path, years: int) -> None:
    wrong = time.time() + years * 365 * 86_400
    ledger = open_to_write(str(store), "bans", "UTC")
    ledger.networks.pause("apnic", Pause(wrong + 60, 60.0))
    nothing = Cell(cidr="115.209.121.0/24", asked=wrong, result=Outcome.NONE, until=wrong + 60)
    ledger.networks.put([], [nothing], wrong)
    ledger.close()
    code, out, _ = banledger("whois", ADDRESS)
    assert code == 0 and "EXAMPLE-NET" in out and registries.asked


def test_an_answer_without_network_is_remembered(banledger: Run, registries: Registries, store: Path) -> None:
    ledger = open_to_write(str(store), "bans", "UTC")
    nothing = Cell(cidr="115.209.121.0/24", asked=time.time(), result=Outcome.NONE, until=time.time() + 60)
    ledger.networks.put([], [nothing], time.time())
    ledger.close()
    code, out, _ = banledger("whois", ADDRESS)
    assert code == 0 and "No registry has a network around" in out and registries.asked == []


@pytest.mark.parametrize("raw", [b'{"name": "\xe9"}', b"no JSON \x1b[31m", b"[" * 5000])
def test_a_raw_answer_that_is_not_json_is_shown_as_text(banledger: Run, registries: Registries, raw: bytes) -> None:
    assert registries.answer.network is not None
    registries.answer = replace(registries.answer, network=replace(registries.answer.network, raw=raw))
    code, out, _ = banledger("whois", ADDRESS, "--raw")
    assert code == 0 and out.isascii() and "\x1b" not in out


def test_show_prints_the_networks_owner(banledger: Run, registries: Registries, store: Path) -> None:
    know(store)
    code, out, _ = banledger("show", ADDRESS)
    assert code == 0 and "EXAMPLE-NET" in out and "abuse@example.org" in out and "\x1b" not in out
    _, out, _ = banledger("show", ADDRESS, "--json")
    assert json.loads(out)["networks"][0]["abuse"] == "abuse@example.org"
