"""A stage for a real fail2ban-server: a log to write to, a spool to read."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from banledger.demo.fail2ban import Jails, action_line
from banledger.demo.installation import Installation, locate
from banledger.errors import MissingFail2ban
from tests.support.fail2ban import PrivateServer
from tests.support.servers import StoreServer

Line = dict[str, Any]


@dataclass
class Stage:
    """A directory with a log, a spool, and the servers made on it. `keeper`: of the ledger, if it is not embedded.

    `registries`: how those of whois behave (see `tests.support.whois_recorder`); empty: nobody is asked.
    """

    directory: Path
    installation: Installation
    servers: list[PrivateServer] = field(default_factory=list)
    keeper: StoreServer | None = None
    registries: str = ""

    def __post_init__(self) -> None:
        self.spool.mkdir()
        self.spool.chmod(0o2770)
        self.log.touch()

    @property
    def spool(self) -> Path:
        return self.directory / "spool"

    @property
    def log(self) -> Path:
        return self.directory / "auth.log"

    @property
    def store(self) -> str:
        """Where the ledger lies."""
        return self.keeper.url if self.keeper else str(self.directory / "ledger.db")

    def action(self, **options: str) -> str:
        """The action's line in a jail of this stage."""
        return action_line(spool=self.spool, server="web1", **options)

    def jail(self, **options: str) -> dict[str, str]:
        """A jail on the log with our action."""
        return {"filter": "sshd", "logpath": str(self.log), "action": self.action()} | options

    def start(self, jails: Jails | None = None, **options: Any) -> PrivateServer:
        """A running server; with one jail `sshd` unless told otherwise."""
        options["defaults"] = {"bantime": "1h", "findtime": "10m", "maxretry": "3"} | options.get("defaults", {})
        options.setdefault("installation", self.installation)
        server = PrivateServer(self.directory / "fail2ban", jails or {"sshd": self.jail()}, **options)
        self.servers.append(server)
        server.start()
        return server

    def fail(self, address: str, times: int = 3, user: str = "root", at: float | None = None) -> None:
        """Write failures of an address to the log, as sshd does."""
        moment = datetime.fromtimestamp(time.time() if at is None else at, UTC).isoformat(timespec="microseconds")
        with self.log.open("a") as log:
            for _ in range(times):
                log.write(f"{moment} web1 sshd[77]: Failed password for {user} from {address} port 41 ssh2\n")

    def lines(self, kind: str | None = None) -> list[Line]:
        """What is in the spool, in the order seen: of one kind if given, else of tickets."""
        texts = [path.read_bytes() for path in self.spool.glob("*.jsonl")]
        found = [json.loads(line) for text in texts for line in text.split(b"\n")[:-1]]
        found.sort(key=lambda line: line["seen"])
        wanted = (kind,) if kind else ("ban", "unban", "prolong", "gap")
        return [line for line in found if line["kind"] in wanted]

    def wait_for_lines(self, count: int, kind: str | None = None, seconds: float = 20) -> list[Line]:
        """The lines once there are that many."""
        wait_for(lambda: len(self.lines(kind)) >= count, seconds)
        lines = self.lines(kind)
        assert len(lines) == count
        return lines


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until it is so, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def installation() -> Installation:
    try:
        return locate()
    except MissingFail2ban as error:
        pytest.skip(str(error))


@pytest.fixture
def stage(tmp_path: Path, installation: Installation) -> Iterator[Stage]:
    stage = Stage(tmp_path, installation)
    yield stage
    for server in stage.servers:
        server.stop()
