"""Whether the service's user may read a file, by owner, group and mode."""

import os
from pathlib import Path

from banledger.setup.machine import USER, Machine


def may_read(machine: Machine, path: Path) -> bool:
    """Whether it may: the file, and all directories above it. True if there is no such user."""
    uid, gid = machine.user(USER), machine.group(USER)
    if uid is None:
        return True
    try:
        real = path.resolve()
        above = [one for one in real.parents if machine.root in (one, *one.parents)]
        return _allows(real.stat(), uid, gid, 4) and all(_allows(one.stat(), uid, gid, 1) for one in above)
    except OSError:
        return False


def _allows(status: os.stat_result, uid: int, gid: int | None, right: int) -> bool:
    if status.st_uid == uid:
        return bool(status.st_mode >> 6 & right)
    if status.st_gid == gid:
        return bool(status.st_mode >> 3 & right)
    return bool(status.st_mode & right)
