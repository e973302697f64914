"""The bootstrap in use, when IANA has a newer one, an older one, a broken one or none."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from banledger.whois.rdap.bootstrap import packaged
from banledger.whois.rdap.bootstrap_refresh import INTERVAL_S, Refreshed
from tests.support.rdap_server import RdapServer

NOW = 1_800_000_000.0


def file(published: str, network: str, host: str = "new.example.net") -> bytes:
    services = [[[network], [f"https://{host}/"]]]
    return json.dumps({"version": "1.0", "publication": published, "services": services}).encode()


@pytest.fixture
def iana(registries: RdapServer) -> RdapServer:
    """With files of tomorrow."""
    registries.file("ipv4.json", file("2030-01-01T00:00:00Z", "8.0.0.0/8"))
    registries.file("ipv6.json", file("2030-01-01T00:00:00Z", "2600::/12"))
    return registries


def made(server: RdapServer, **options: Any) -> Refreshed:
    return Refreshed(server.transport().get, **options)


def name(refreshed: Refreshed) -> str:
    registry = refreshed.current.registry_of("8.8.8.8")
    return registry.name if registry else ""


def test_a_newer_bootstrap_is_fetched_at_most_daily(iana: RdapServer) -> None:
    refreshed = made(iana)
    assert name(refreshed) == "arin"

    for now in (NOW, NOW + 1, NOW + INTERVAL_S - 1):
        refreshed.refresh(now)
        assert name(refreshed) == "new.example.net"
        assert len(iana.requests) == 2
    refreshed.refresh(NOW + INTERVAL_S)

    assert len(iana.requests) == 4


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"{}", file("2001-01-01T00:00:00Z", "8.0.0.0/8"), file("2030-01-01T00:00:00Z", "2600::/12")],
)
def test_a_broken_or_older_bootstrap_is_ignored(iana: RdapServer, content: bytes) -> None:
    iana.file("ipv4.json", content)
    refreshed = made(iana)

    refreshed.refresh(NOW)

    assert refreshed.current.published == packaged().published


@pytest.mark.parametrize("fault", ["close", "error", "endless body", "redirect loop"])
def test_a_failure_keeps_the_current_bootstrap_until_tomorrow(iana: RdapServer, fault: Any) -> None:
    iana.fault("iana", fault)
    refreshed = made(iana)

    refreshed.refresh(NOW)
    asked = len(iana.requests)
    iana.behave()
    refreshed.refresh(NOW + 1)

    assert name(refreshed) == "arin"
    assert len(iana.requests) == asked
    refreshed.refresh(NOW + INTERVAL_S)
    assert name(refreshed) == "new.example.net"


def test_a_stored_bootstrap_is_used_after_a_restart(iana: RdapServer, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    made(iana, cache=place).refresh(NOW)

    again = made(iana, cache=place)
    written = (place / "ipv4.json").stat().st_mtime
    again.refresh(written + INTERVAL_S - 1)

    assert name(again) == "new.example.net"
    assert len(iana.requests) == 2
    assert sorted(path.name for path in place.iterdir()) == ["ipv4.json", "ipv6.json"]


def test_a_directory_with_broken_files_is_ignored(iana: RdapServer, tmp_path: Path) -> None:
    for broken in ("ipv4.json", "ipv6.json"):
        (tmp_path / broken).write_bytes(b"\xff")

    refreshed = made(iana, cache=tmp_path)

    assert name(refreshed) == "arin"
    refreshed.refresh(NOW)
    assert name(refreshed) == "new.example.net"


def test_a_directory_that_cannot_be_created_is_not_an_error(iana: RdapServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refreshed = made(iana, cache=tmp_path / "file" / "cache")

    refreshed.refresh(NOW)

    assert name(refreshed) == "new.example.net"


def test_without_transport_the_packaged_bootstrap_stays() -> None:
    refreshed = Refreshed()

    refreshed.refresh(NOW)

    assert name(refreshed) == "arin"


@pytest.mark.parametrize("ahead", [10 * 365 * INTERVAL_S, 5 * INTERVAL_S, -5 * INTERVAL_S, -10 * 365 * INTERVAL_S])
def test_a_briefly_wrong_clock_delays_no_refresh(iana: RdapServer, tmp_path: Path, ahead: float) -> None:
    refreshed = made(iana, cache=tmp_path)
    refreshed.refresh(NOW + ahead)
    for name_ in ("ipv4.json", "ipv6.json"):
        os.utime(tmp_path / name_, (NOW + ahead, NOW + ahead))

    refreshed.refresh(NOW)
    assert len(iana.requests) == 4
    refreshed.refresh(NOW + 1)
    assert len(iana.requests) == 4

    for name_ in ("ipv4.json", "ipv6.json"):
        os.utime(tmp_path / name_, (NOW + ahead, NOW + ahead))
    made(iana, cache=tmp_path).refresh(NOW)
    assert len(iana.requests) == 6
