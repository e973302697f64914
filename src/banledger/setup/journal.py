"""The journal of a setup: what each place was before it was changed, so that `setup --undo` can put it back.

Theory of operation. A line of the journal is on the disk before the change that it is about is made. So a setup that is
killed at any moment leaves no change that isn't in the journal; an entry without its change is harmless, as undoing it
changes nothing. The first entry of a place wins: a setup that is run again, or an upgrade, doesn't hide what was there
before the first. The directory belongs to root alone, since old bytes may be secrets.
"""

import fcntl
import os
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from banledger.errors import BanledgerError

_JOURNAL, _LOCK = "journal.jsonl", "lock"

Kind = Literal["absent", "file", "link", "directory", "moved", "user"]


class Before(Struct, frozen=True, omit_defaults=True):
    """What a place was before it was changed.

    path: as on the machine, not below its root. kind: `moved` is a tree that is now at `target`; `user` is a user (the
    name is the path) that did not exist. tree: what is there now is removed with all that is in it. data: it stays
    until the data is purged.
    """

    path: str
    kind: Kind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    content: bytes = b""
    target: str = ""
    tree: bool = False
    data: bool = False


def seen(path: str, place: Path) -> Before:
    """What is at a place now."""
    try:
        status = place.lstat()
    except FileNotFoundError:
        return Before(path, "absent")
    mode, uid, gid = status.st_mode & 0o7777, status.st_uid, status.st_gid
    if place.is_symlink():
        return Before(path, "link", mode, uid, gid, target=os.readlink(place))  # noqa: PTH115  # as it is written
    if place.is_dir():
        return Before(path, "directory", mode, uid, gid)
    if place.is_file():
        return Before(path, "file", mode, uid, gid, place.read_bytes())
    raise BanledgerError(f"{place} is neither a file nor a directory", hint="remove it")


class Journal:
    """The journal in a directory of its own, which is made when something is remembered."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path = directory / _JOURNAL
        self._entries = {entry.path: entry for entry in self._read()}

    @property
    def entries(self) -> list[Before]:
        """All entries, oldest first."""
        return list(self._entries.values())

    def entry(self, path: str) -> Before | None:
        """What a place was before, None: it was not changed."""
        return self._entries.get(path)

    def remember(self, entry: Before) -> None:
        """Write an entry to the disk, unless its place has one."""
        if entry.path in self._entries:
            return
        self._make()
        with self._path.open("ab") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(msgspec.json.encode(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        sync(self.directory)
        self._entries[entry.path] = entry

    def keep(self, entries: list[Before]) -> None:
        """Forget all other entries, and what else is in the directory. Without any entry, nothing of it remains."""
        self._entries = {entry.path: entry for entry in entries}
        if not self.directory.is_dir():
            return
        for path in self.directory.iterdir():
            if not entries or path.name not in (_JOURNAL, _LOCK):
                path.unlink()
        if not entries:
            self.directory.rmdir()
            return
        self._write()

    def forget(self, paths: Set[str]) -> None:
        """Forget these places: they are no longer the setup's."""
        self._entries = {path: entry for path, entry in self._entries.items() if path not in paths}
        self._write()

    def _write(self) -> None:
        new = self._path.with_suffix(".new")
        with new.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.writelines(msgspec.json.encode(entry) + b"\n" for entry in self.entries)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        sync(self.directory)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other setups away. Raises BanledgerError if one runs."""
        self._make()
        with (self.directory / _LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BanledgerError("another banledger setup is running", hint="wait for its end") from None
            yield

    def _make(self) -> None:
        if not self.directory.is_dir():
            self.directory.mkdir(parents=True, mode=0o700)
            sync(self.directory.parent)
        self.directory.chmod(0o700)

    def _read(self) -> Iterator[Before]:
        """The entries; what a killed setup wrote of the last line is dropped, as its change was not made."""
        if not self._path.exists():
            return
        text = self._path.read_bytes()
        if whole := text.rpartition(b"\n")[0]:
            for line in whole.split(b"\n"):
                yield msgspec.json.decode(line, type=Before)
        if not text.endswith(b"\n"):
            os.truncate(self._path, len(whole) + 1 if whole else 0)


def sync(directory: Path) -> None:
    """Write a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
