"""The folder inside the spool for lines that can't be understood. It can't grow for ever.

The folder is opened relative to the spool's descriptor, never through a link, and used only where it is this user's
(root takes any) and neither its group nor others may write to it.
"""

import errno
import hashlib
import logging
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

REJECTED = "rejected"
"""The folder's name."""

_FILES = 1000
_SAID = 5
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_log = logging.getLogger("banledger")


class Rejected(NamedTuple):
    """A line, or its beginning, and why it is none. `segment`: the name of the segment it stands in."""

    line: bytes
    reason: str
    segment: str


def set_aside(spool: int, rejected: Sequence[Rejected]) -> None:
    """Keep lines, each once, as far as there is room. `spool`: a descriptor of the directory. Raises OSError."""
    for one in rejected[:_SAID]:
        _log.warning("set aside from %r: %.300r (see %s in the spool)", one.segment, one.reason, REJECTED)
    if len(rejected) > _SAID:
        _log.warning("set aside: %d lines more", len(rejected) - _SAID)
    folder = _open_folder(spool)
    try:
        room = _FILES - len(os.listdir(folder))  # noqa: PTH208  # by descriptor
        for one in rejected:
            room -= room > 0 and _write_once(folder, one)
    finally:
        os.close(folder)


def _open_folder(spool: int) -> int:
    with suppress(FileExistsError):
        os.mkdir(REJECTED, 0o750, dir_fd=spool)
    folder = os.open(REJECTED, _DIRECTORY, dir_fd=spool)
    status = os.fstat(folder)
    if status.st_uid != os.geteuid() != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        os.close(folder)
        raise OSError(errno.EPERM, "it belongs to another user, or others may write to it")
    return folder


def _write_once(folder: int, rejected: Rejected) -> bool:
    """Keep a line under its hash, whole or not at all. False if it is there already; raises OSError."""
    name = hashlib.sha256(rejected.line).hexdigest()[:32]
    try:
        fd = os.open(name, _FILE, 0o640, dir_fd=folder)
    except FileExistsError:
        return False
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(b"reason: " + rejected.reason.encode("utf-8", "replace") + b"\n\n" + rejected.line)
    except OSError:
        os.unlink(name, dir_fd=folder)
        raise
    return True
