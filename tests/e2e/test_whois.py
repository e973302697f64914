"""From a real fail2ban to registries (on the loopback, over TLS) and back into the ledger."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from banledger.errors import LedgerMissing
from banledger.ledger.opening import open_to_read
from tests.support.rdap_answers import card, entity, network
from tests.support.rdap_server import RdapServer

from .conftest import Stage, wait_for

pytestmark = pytest.mark.e2e

ADDRESS = "5.9.12.34"
EVIL = "\x1b]0;owned\x07"


def environment(server: RdapServer) -> dict[str, str]:
    """Of a banledger whose way to registries leads to that server; nobody asks DNS."""
    return {**os.environ, **server.environment, "BANLEDGER_WHOIS_ENABLED": "true", "BANLEDGER_WHOIS_ASN": "false"}


def test_a_ban_gets_its_network_from_its_registry(stage: Stage, tmp_path: Path) -> None:
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    with RdapServer(certificates) as server:
        owner = entity("ORG-1", ["registrant"], card(f"Example Hosting {EVIL}"),
                       entity("AB-1", ["abuse"], card("Abuse", mail=["abuse@example.org"])))  # fmt: skip
        server.answer(
            "ripe", network("5.9.0.0", "5.9.255.255", country="DE", name="EXAMPLE", handle="X", entities=[owner])
        )
        words = [sys.executable, "-m", "banledger"]
        there = ["--store", stage.store, "--spool", str(stage.spool)]
        fail2ban = stage.start()
        with (tmp_path / "said").open("wb") as said:
            service = subprocess.Popen([*words, "record", *there], env=environment(server), stderr=said)
        try:
            stage.fail(ADDRESS)
            wait_for(lambda: waits(stage) == (1, 0))
            stage.fail("5.9.12.99")
            stage.fail("192.0.2.1")
            wait_for(lambda: waits(stage) == (3, 0))
        finally:
            service.send_signal(signal.SIGTERM)
            assert service.wait(timeout=15) == 0
        fail2ban.stop()
        asked = [request.path for request in server.requests if request.registry != "iana"]
        assert asked == [f"/ip/{ADDRESS}"]
        assert server.requests[-1].headers["user-agent"].startswith("banledger/")

        def say(*command: str) -> str:
            done = subprocess.run([*words, *command], env=environment(server), capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return done.stdout

        (first, second) = [
            json.loads(line) for line in say("bans", "--ip", "5.0.0.0/8", "--json", *there[:2]).split("\n")[:2]
        ]
        for one in (first, second):
            assert (one["country"], one["country_from"], one["network"]) == ("DE", "whois", "5.9.0.0/16")
        assert "abuse@example.org" in say("show", ADDRESS, *there[:2])
        assert "5.9.0.0/16" in say("report", *there[:2])
        assert "5.9.0.0/16 Example Hosting" in say("top", "network", *there[:2])
        for page in (
            say("whois", ADDRESS, *there),
            say("top", "org", *there[:2]),
            say("whois", ADDRESS, "--refresh", *there),
        ):
            assert "Example Hosting" in page and "\x1b" not in page
        assert len([request for request in server.requests if request.registry == "ripe"]) == 2


def waits(stage: Stage) -> tuple[int, int]:
    """Bans in the ledger, and those of them that wait."""
    try:
        reader = open_to_read(stage.store, "bans")
    except LedgerMissing:
        return 0, 0
    try:
        return sum(reader.days().values()), reader.waiting()
    finally:
        reader.close()
