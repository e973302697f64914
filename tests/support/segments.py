"""A writer of the spool for tests, and what a reader finds there."""

import fcntl
import json
import os
from pathlib import Path

from banledger.spool.events import BanLine, Event
from tests.support.lines import T0, ban, encode

NOW = 4_000_000_000.0
"""A moment, for wall clocks and elapsed time alike."""


class Writer:
    """Writes segments as the action does."""

    def __init__(self, folder: Path, name: str = "abcdef01") -> None:
        self.folder, self.name = folder, name
        self.number = self.seq = 0
        self.fd = -1
        self.rotate()

    def rotate(self) -> None:
        """Close the segment and begin another."""
        self.close()
        self.number += 1
        self.path = self.folder / f"{1_700_000_000_000 + self.number}-{self.name}-{self.number}.jsonl"
        self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
        fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, *fids: str) -> None:
        """One ban each."""
        for fid in fids:
            self.seq += 1
            self.raw(encode(ban(fid, seq=self.seq, seen=T0 + self.seq)))

    def write_kind(self, *kinds: str) -> None:
        """One line each of a kind that a later action writes."""
        for kind in kinds:
            self.seq += 1
            common = {"v": 1, "kind": kind, "seen": T0 + self.seq, "seq": self.seq, "server": "web1", "jail": "sshd"}
            self.raw(json.dumps(common).encode() + b"\n")

    def raw(self, text: bytes) -> None:
        """Anything."""
        os.write(self.fd, text)

    def close(self) -> None:
        """Let go: the lock is free."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


def fids(events: list[Event]) -> list[str]:
    """What was banned, in order."""
    return [event.fid for event in events if isinstance(event, BanLine)]
