"""A real `banledger record` between a spool that a test writes and a server that it mistreats."""

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

from banledger.errors import StoreError
from banledger.ledger.check import check
from banledger.ledger.opening import open_to_read
from banledger.stores.connect import Access
from tests.support.lines import T0, ban, encode
from tests.support.segments import Writer
from tests.support.servers import StoreServer

from .conftest import wait_for

TIMEOUT_S = 1


class Recording:
    """A spool with its writer, a settings file, the services started with it, and what they said.

    `reach`: the address to record into; the server's own unless told otherwise.
    """

    def __init__(self, folder: Path, server: StoreServer, reach: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.server = server
        self.reach = reach or f"redis://127.0.0.1:{server.port}/0?timeout={TIMEOUT_S}"
        self.spool = folder / "spool"
        self.spool.mkdir()
        self.state = folder / "state"
        self.state.mkdir()
        self.writer = Writer(self.spool)
        self.config = folder / "banledger.toml"
        self.said = folder / "said"
        self.said.touch()
        self.secrets = {server.password} if server.password else set()
        self.label = "web1"
        self.program = ["-m", "banledger"]
        self.written: list[str] = []
        self.services: list[subprocess.Popen[bytes]] = []
        self.configure()

    # What is done

    def configure(self, mode: int = 0o600, **values: object) -> None:
        """Write the settings file."""
        chosen = {"store": self.reach, "spool": self.spool, "timezone": "UTC"} | values
        self.config.touch()
        self.config.chmod(mode)
        self.config.write_text("".join(f"{name} = '{value}'\n" for name, value in chosen.items()))

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
        """The service, with the settings file."""
        with self.said.open("ab") as said:
            command = [sys.executable, *self.program, "record", "--config", str(self.config), *arguments]
            known = {name: value for name, value in os.environ.items() if not name.startswith("BANLEDGER_")}
            known |= {"BANLEDGER_WHOIS_ENABLED": "false", "STATE_DIRECTORY": str(self.state)}
            service = subprocess.Popen(command, stdout=said, stderr=said, env=known | environment)
        self.services.append(service)
        return service

    def run(self, *arguments: str, **environment: str) -> int:
        """A `record` that ends by itself; its exit code."""
        return self.start(*arguments, **environment).wait(timeout=30)

    def reload(self) -> None:
        """SIGHUP."""
        self.services[-1].send_signal(signal.SIGHUP)

    def write(self, count: int) -> None:
        """So many bans, each of an address of its own."""
        start = len(self.written)
        fids = [f"10.0.{number >> 8}.{number & 255}" for number in range(start, start + count)]
        self.ban(*fids)
        self.written += fids

    def ban(self, *fids: str) -> None:
        """A ban each, all in the same second, by the server of our label."""
        for fid in fids:
            self.writer.seq += 1
            self.writer.raw(encode(ban(fid, seq=self.writer.seq, seen=T0 + self.writer.seq, server=self.label)))

    def close(self) -> None:
        """End everything; nobody ever told a secret, or showed a traceback."""
        self.writer.close()
        for service in self.services:
            service.kill()
            service.wait()
        assert "Traceback" not in self.text
        self.assert_no_secret(self.text)

    # What came of it

    @property
    def text(self) -> str:
        """What the services have said so far."""
        return self.said.read_text()

    @property
    def lines(self) -> list[str]:
        """The same line by line, without the start, the end, and that all is well after the server restarted."""
        said = [line.removeprefix("banledger: ") for line in self.text.splitlines()]
        return [line for line in said if not line.startswith(("recording from", "stopped", "the server restarted: "))]

    def wait_for(self, words: str, times: int = 1, seconds: float = 20) -> None:
        """Until it was said so often."""
        wait_for(lambda: self.text.count(words) >= times, seconds)

    def recorded(self) -> list[str]:
        """What was banned, one for each ban in the ledger."""
        try:
            ledger = open_to_read(self.server.url, "bans", Access(self.server.password or ""))
        except StoreError:
            return []
        try:
            ids = [id_ for day in ledger.days() for id_ in ledger.ids_of_day(day)]
            return sorted(ban.fid for ban in ledger.bans(ids) if ban is not None)
        finally:
            ledger.close()

    def wait_until_recorded(self, seconds: float = 40) -> None:
        """Until the ledger has all that was written."""
        wait_for(lambda: len(self.recorded()) >= len(self.written), seconds)

    def assert_whole(self, seconds: float = 40) -> None:
        """Every ban that was written is recorded, once, and every set and ranking is what the bans say."""
        self.wait_until_recorded(seconds)
        assert Counter(self.recorded()) == Counter(self.written)
        ledger = open_to_read(self.server.url, "bans", Access(self.server.password or ""))
        with suppress(AssertionError):  # what is replayed is written once more, in steps
            wait_for(lambda: not any(check(ledger.store(), ledger.keys)))
        assert list(check(ledger.store(), ledger.keys)) == []
        ledger.close()

    def assert_said(self, *beginnings: str) -> None:
        """Exactly these lines were said, each known by words that stand in it."""
        lines = self.lines
        assert len(lines) == len(beginnings), "\n".join(lines)
        for line, words in zip(lines, beginnings, strict=True):
            assert words in line, "\n".join(lines)

    def assert_no_secret(self, text: str) -> None:
        """Not in this text, nor in what /proc shows to everybody."""
        shown = b"".join(
            Path(f"/proc/{service.pid}/cmdline").read_bytes() for service in self.services if service.poll() is None
        )
        for secret in self.secrets:
            assert secret not in text
            assert secret.encode() not in shown
