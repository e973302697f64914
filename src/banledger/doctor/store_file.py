"""Checks of the file of an embedded ledger: owner, mode, format, size and space. Cheap looks only."""

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote

from banledger.doctor.diagnosis import Diagnosis, caution, together, unseen, well, wrong
from banledger.doctor.examined import Examined
from banledger.report.formats.size import shown_bytes
from banledger.setup.machine import USER
from banledger.stores.connect import embedded
from banledger.stores.sqlite.file import FORMAT
from banledger.stores.sqlite.held import beside

_WAL_LARGE = 128 << 20  # SQLite copies it into the ledger at 16 MB, and cuts it to 64 MB
_THIN, _FULL = 1 << 30, 100 << 20


def file(examined: Examined) -> Diagnosis | None:
    """See the table of checks."""
    path = embedded(examined.chosen.store)
    if path is None:
        return None
    try:
        files = {one: one.stat() for end in ("", "-wal", "-shm") if (one := beside(path, end)).exists()}
        folder = path.parent.stat()
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        return unseen(f"can't look at {path}: {error.strerror}")
    if path not in files:
        return unseen(f"there is no {path}")
    found = [*_owners(examined, path, files, folder.st_uid), *_inside(examined, path)]
    if (wal := beside(path, "-wal")) in files and files[wal].st_size > _WAL_LARGE:
        size = shown_bytes(files[wal].st_size)
        found.append(caution(f"{wal.name} has grown to {size}: a reader has been keeping it from shrinking", "lslocks"))
    if free < _FULL:
        found.append(wrong(f"only {shown_bytes(free)} are free in {path.parent}", f"df -h {_q(path.parent)}"))
    elif free < _THIN:
        found.append(caution(f"only {shown_bytes(free)} are free in {path.parent}", f"df -h {_q(path.parent)}"))
    return together(found, well(f"{path}, {shown_bytes(files[path].st_size)}, {shown_bytes(free)} are free"))


def _q(path: Path) -> str:
    return quote(str(path))


def _owners(examined: Examined, path: Path, files: Mapping[Path, os.stat_result], folder: int) -> Iterator[Diagnosis]:
    """Files that the service's user can't write to, or that others can read."""
    user = examined.machine.user(USER)
    if user is not None and folder != user:
        what = f"{path.parent} belongs to another user than the service"
        yield wrong(what, f"chown {USER}:{USER} {_q(path.parent)}")
    if user is not None and (others := [one for one, status in files.items() if status.st_uid != user]):
        what = f"{_names(others)} can't be written to by the service: another user owns it"
        yield wrong(what, f"chown {USER}:{USER} {' '.join(map(_q, others))}")
    if free := [one for one, status in files.items() if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP)]:
        yield caution(f"others may read or write {_names(free)}", f"chmod 640 {' '.join(map(_q, free))}")


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths)


def _inside(examined: Examined, path: Path) -> Iterator[Diagnosis]:
    """The format that the file's header says (PRAGMA user_version)."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return
    number = int.from_bytes(head[60:64], "big")
    if head and 0 < number < FORMAT:
        what = f"its file format is {number}, and this banledger writes to format {FORMAT} only"
        yield wrong(what, f"{examined.ours} store copy {_q(path)} {_q(path.with_name('new.db'))}")
