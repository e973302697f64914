"""A writer of the spool for tests, and what a reader finds there."""

import fcntl
import json
import os
from pathlib import Path

from banledger.spool.events import BanLine, Event, GapLine
from banledger.spool.reader import SpoolReader
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


def step(spool: SpoolReader, limit: int = 100, now: float = NOW) -> list[str]:
    """Read and commit."""
    read = fids(spool.read(now, limit))
    spool.commit()
    return read


def drain(spool: SpoolReader, limit: int = 100, first: float = NOW, *, least: int = 1) -> tuple[list[str], int]:
    """What is read until nothing is left: the bans, and how many lines are reported as missing."""
    bans, missing, step = [], 0, 0
    while step < least or spool.doubtful:
        events = spool.read(first + step, limit)
        bans += fids(events)
        missing += sum(event.bans for event in events if isinstance(event, GapLine))
        spool.commit()
        step += 1
        assert step < 500
    return bans, missing


def lines(writer: Writer, *labels: str, origin: str = "") -> None:
    """A ban each, of servers of these labels."""
    for label in labels:
        writer.seq += 1
        writer.raw(
            encode(ban(f"{label}-{writer.seq}", seq=writer.seq, seen=T0 + writer.seq, server=label, origin=origin))
        )
