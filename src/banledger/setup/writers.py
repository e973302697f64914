"""Refuse to copy files, as root, that users other than root and the user behind sudo may change."""

import grp
import os
import pwd
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def open_to_others(files: Iterable[Path]) -> Path | None:
    """A file, or a directory above one, that others may change; None: there is none."""
    paths = [path.resolve() for path in files]
    user = os.environ.get("SUDO_UID", "")
    owners = {0, int(user)} if user.isdecimal() else {0}
    above = {directory for path in paths for directory in path.parents}
    return next((path for path in (*sorted(above), *paths) if _open(path, owners)), None)


def _open(path: Path, owners: set[int]) -> bool:
    status = path.stat()
    mode = status.st_mode
    if stat.S_ISDIR(mode) and mode & stat.S_ISVTX and status.st_uid in owners:
        return False  # as /tmp: what is in it can't be replaced by others
    if mode & stat.S_IWGRP and not _is_private(status.st_gid, owners):
        return True
    return status.st_uid not in owners or bool(mode & stat.S_IWOTH)


def _is_private(group: int, owners: set[int]) -> bool:
    """Whether a group is the one that a user has alone, under the user's name."""
    with suppress(KeyError):
        found = grp.getgrgid(group)
        names = {pwd.getpwuid(user).pw_name for user in owners}
        return found.gr_name in names and set(found.gr_mem) <= {found.gr_name}
    return False
