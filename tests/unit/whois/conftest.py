"""Registries on the loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rdap_answers import SAMPLES
from tests.support.rdap_server import RdapServer


@pytest.fixture(scope="session")
def rdap_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where their certificates are."""
    return tmp_path_factory.mktemp("rdap")


@pytest.fixture
def registries(rdap_directory: Path) -> Iterator[RdapServer]:
    """All registries, with all samples; national ones are where the regional ones send us."""
    with RdapServer(rdap_directory) as server:
        for sample in SAMPLES:
            server.answer(sample.registry, sample.answer)
        server.redirect("apnic", "133.242.0.0/16", "jpnic")
        server.redirect("apnic", "210.107.0.0/17", "krnic")
        server.redirect("lacnic", "177.128.0.0/20", "nicbr")
        yield server
