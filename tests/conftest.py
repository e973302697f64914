"""Servers for every test that wants one (see `tests/support/servers.py`), and a small disk."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import settings

from tests.support.servers import NAMES, Certificates, Flavour, StoreServer, flavour_named, make_certificates

# No test reaches beyond this machine: who wants registries sets some up, and says so.
os.environ["BANLEDGER_WHOIS_ENABLED"] = "false"

# A busy machine is no fault: how long an example takes is not tested.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# A job in the background or under nohup ignores signals, and its children would too: tests send them some.
for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before Python 3.12, measure coverage where it is cheap: tracing doubles the CPU time of what it measures.

    Left out are end-to-end tests, property tests, and contract tests on a second kind of server.
    """
    if sys.version_info >= (3, 12):
        return
    for item in items:
        is_property = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        if is_property or "tests/e2e/" in item.nodeid or "valkey" in item.nodeid:
            item.add_marker(pytest.mark.no_cover)


MakeServer: TypeAlias = Callable[..., StoreServer]


@pytest.fixture(autouse=True)
def _logger_as_before() -> Iterator[None]:
    """Put the logger back as it was: `banledger record`, run in the test's process, makes it its own."""
    log = logging.getLogger("banledger")
    before = log.handlers, log.level, log.propagate
    yield
    log.handlers, log.level, log.propagate = before


@pytest.fixture(scope="session", params=NAMES)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """Each kind of server in turn."""
    return flavour_named(request.param)


@pytest.fixture(scope="session")
def _shared_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Flavour], StoreServer]]:
    with ExitStack() as servers:

        @cache
        def shared(flavour: Flavour) -> StoreServer:
            directory = tmp_path_factory.mktemp(flavour.name)
            return servers.enter_context(StoreServer(flavour, directory, appendonly=False))

        yield shared


@pytest.fixture
def redis_server(flavour: Flavour, _shared_servers: Callable[[Flavour], StoreServer]) -> StoreServer:
    """An empty server of each kind, without AOF or password; the session's, so leave its configuration alone."""
    server = _shared_servers(flavour)
    server.flush()
    return server


@pytest.fixture
def private_server(tmp_path: Path) -> Iterator[MakeServer]:
    """Makes servers for this test alone: `private_server(flavour, password="s3cret")`, running; see StoreServer."""
    numbers = count()
    with ExitStack() as servers:

        def make(flavour: Flavour, **options: Any) -> StoreServer:
            return servers.enter_context(StoreServer(flavour, tmp_path / f"store{next(numbers)}", **options))

        yield make


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, its server's, its client's and a server's with a wrong name."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def _no_handlers_left() -> Iterator[None]:
    """A command that ran in this process logs to its own stderr; take that handler away again."""
    logger = logging.getLogger("banledger")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logger.propagate = propagate


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "banledger-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs a root that may mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
