"""Checks of the spool: the directory, what waits in it, what should not be there, its lock and its space."""

import os
import shutil
import stat
from pathlib import Path
from shlex import quote

from banledger.doctor import segments
from banledger.doctor.diagnosis import Diagnosis, caution, together, unseen, well, wrong
from banledger.doctor.examined import JOURNAL, RESTART, Examined
from banledger.errors import BanledgerError
from banledger.report.formats.escape import many
from banledger.report.formats.moment import rough
from banledger.report.formats.size import shown_bytes
from banledger.report.status import AgeLimits
from banledger.setup.jails import SPOOL
from banledger.setup.machine import SPOOL_GROUP, SPOOL_MODE, USER
from banledger.setup.plan import TMPFILES
from banledger.spool.lock import NAME
from banledger.spool.quarantine import REJECTED

_CREATE = "systemd-tmpfiles --create banledger.conf"
_SHOWN = 3
_SPOOL_MAX = 512 << 20
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_THIN, _FULL = 0.05, 0.025  # of the file system: below it lines lose their matches, are held in memory
_THIN_BYTES, _FULL_BYTES = 5 << 30, 5 << 29
_ENOUGH = 0.9


def directory(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    spool, there = examined.spool, quote(str(examined.spool))
    try:
        status = spool.stat()
    except FileNotFoundError:
        machine = examined.machine
        made = machine.systemd and (machine.packaged or machine.place(TMPFILES).exists())
        return wrong(f"there is no {spool}", _CREATE if made else examined.setup())
    except OSError as error:
        return unseen(f"can't look at {spool}: {error.strerror}")
    owner = examined.machine.owner("root", SPOOL_GROUP)
    found = []
    if (status.st_uid, status.st_gid) != owner:
        found.append(wrong(f"{spool} doesn't belong to root:{SPOOL_GROUP}", f"chown root:{SPOOL_GROUP} {there}"))
    if (mode := stat.S_IMODE(status.st_mode)) != SPOOL_MODE:
        found.append(wrong(f"the mode of {spool} is {mode:o}, not {SPOOL_MODE:o}", f"chmod {SPOOL_MODE:o} {there}"))
    return together([*found, *_other_spools(examined)], well(f"{spool}, root:{SPOOL_GROUP} {SPOOL_MODE:o}"))


def _other_spools(examined: Examined) -> list[Diagnosis]:
    """Jails whose action writes to another spool than the service reads."""
    if isinstance(examined.configuration, BanledgerError):
        return []
    theirs = {
        jail.name: options for jail in examined.configuration.enabled() if (options := jail.options()) is not None
    }
    ours = os.path.realpath(examined.spool)
    others = [name for name, told in theirs.items() if os.path.realpath(told.get("spool", SPOOL)) != ours]
    search = f"grep -rn spool= {quote(str(examined.machine.place(examined.machine.config)))}"
    return [wrong(f"the action of {', '.join(others)} writes to another directory", search)] if others else []


def backlog(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    try:
        found = _listed(examined)
    except OSError as error:
        return unseen(f"can't list {examined.spool}: {error.strerror}")
    if found.oldest is None:
        return well("nothing waits")
    age = examined.now - found.oldest
    what = f"{shown_bytes(found.bytes)} in {many(len(found.segments), 'segment')}, the oldest begun {rough(age)} ago"
    newer = segments.lines(examined.spool, found.segments).newer
    if newer:
        return wrong(f"a newer banledger is needed for {many(len(newer), 'segment')}", examined.setup())
    if age > AgeLimits().warning_s:
        return wrong(what, JOURNAL if examined.machine.systemd else f"{examined.ours} record --once")
    return well(what)


def foreign(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    try:
        found = _listed(examined).foreign
    except OSError as error:
        return unseen(f"can't list {examined.spool}: {error.strerror}")
    if not found:
        return well("there are none")
    names = [f"{name} ({fault})" for name, fault in list(found.items())[:_SHOWN]]
    more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    paths = " ".join(quote(str(examined.spool / name)) for name in list(found)[:_SHOWN])
    return caution(f"{', '.join(names)}{more}", f"rm -r {paths}")


def rejected(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    try:
        found = segments.rejected(examined.spool)
    except FileNotFoundError:
        return well("there are none")
    except OSError as error:
        return unseen(f"can't list them: {error.strerror}")
    if not found.count:
        return well("there are none")
    there = quote(str(examined.spool / REJECTED))
    return caution(f"{found.count:,}, last: {found.last}", f"mv {there} ~/banledger-rejected")


def lock(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    place = examined.spool / NAME
    try:
        inode = place.lstat().st_ino
    except OSError:
        inode = 0
    try:
        text = Path("/proc/locks").read_text(encoding="ascii")
    except OSError as error:
        return unseen(f"can't read /proc/locks: {error.strerror}")
    held = [line.split() for line in text.splitlines() if "FLOCK" in line and "->" not in line]
    if inode and any(words[5].rpartition(":")[2] == str(inode) for words in held):
        return well("a recorder reads the spool")
    by_hand = f"runuser -u {USER} -- {examined.ours} record"
    return wrong("no recorder reads the spool", RESTART if examined.machine.systemd else by_hand)


def space(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    spool = examined.spool
    try:
        disk = shutil.disk_usage(spool)
        used = _listed(examined).bytes
    except OSError as error:
        return unseen(f"can't look at {spool}: {error.strerror}")
    most, left, where = spool_max(examined), shown_bytes(disk.free), quote(str(spool))
    found = []
    if disk.free < min(disk.total * _FULL, _FULL_BYTES):
        found.append(wrong(f"only {left} are free: the action holds events in memory", f"df -h {where}"))
    elif disk.free < min(disk.total * _THIN, _THIN_BYTES):
        found.append(caution(f"only {left} are free: bans lose their matched lines", f"df -h {where}"))
    if used >= most * _ENOUGH:
        found.append(wrong(f"the spool has {shown_bytes(used)} of at most {shown_bytes(most)}", f"du -sh {where}"))
    return together(found, well(f"{shown_bytes(disk.free)} are free, the spool may take {shown_bytes(most)}"))


def spool_max(examined: Examined) -> int:
    """The limit of the spool that the action has, in bytes."""
    options = {} if isinstance(examined.configuration, BanledgerError) else examined.configuration.options()
    text = options.get("spool_max", "").strip().lower()
    number = text.rstrip("kmg")
    return int(number) * _UNITS.get(text[len(number):], 1) if number.isdecimal() else _SPOOL_MAX  # fmt: skip


def _listed(examined: Examined) -> segments.SpoolListing:
    return segments.listed(examined.spool, examined.machine.user(USER))
