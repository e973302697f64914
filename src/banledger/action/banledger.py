"""fail2ban action: every ban, unban and prolong of a jail becomes one line in a spool directory.

    /etc/fail2ban/jail.d/banledger.local
        [sshd]
        action = %(known/action)s
                 banledger.py[server=web1]

`banledger record` reads the spool and keeps the ledger. The options are those of `Action`; the lines and the
life of a file are described in docs/spool-format.md.

Theory of operation
-------------------
This file runs inside fail2ban-server: its interpreter, its privileges, the jail's own thread. So it uses
the standard library alone, in words that Python 3.6 reads, and keeps three promises: it never raises (an
exception out of `reban` would end the loop over the jail's actions, and the firewall comes after us), it
never waits (a slow `ban` delays every other ban of the jail), it never fills the disk.

    ban() ──► _record: read the ticket ──► Spool.add   ──► Segment: one fstat, one write
                                                │  no room, no directory
                                                ▼
                                         held in memory ──► counted as lost ──► a "gap" line

Calls come from the jail's thread, the main thread (client) and the observer (prolong); a fourth thread of
our own tries again while something is held. One mutex guards the queue and the segment. Under it there is
only work on local files: what there is to say in the log is noted there and said after.

Trust. The server may be root, and the group that reads the spool may write to it. So the directory is
opened step by step from `/`, no link followed, each step owned by root or by us; files are made with
O_EXCL, and used only while they have exactly one link. The reader deletes a file only when it gets the lock
that we hold on it.

What the server asks for, that is not obvious: `_prolongable` and `banEpoch` are read unguarded (without
`banEpoch` the jail fails to repair its firewall rules); an action without both `reload` and
`clearAllParams` is dropped by `fail2ban-client reload`; `flush` decides whether each live ban gets an
`unban` (see there); the ticket is lazy, and some of its keys ask the DNS or the database. fail2ban 1.0
executes this file once for each jail *in the same module*, which rebinds its globals under living objects:
nothing here keeps state in a global, and errors that cross a function are the language's own.
"""

import errno
import fcntl
import hashlib
import json
import logging
import os
import stat
import threading
import time
from collections import deque

VERSION = 1

_LOG = logging.getLogger("fail2ban.banledger")
_QUOTE = json.encoder.encode_basestring_ascii  # text as JSON; a lone surrogate becomes its escape

_DEFAULTS = {"spool": "/var/spool/banledger", "server": "localhost", "matches": 3, "spool_max": 512 << 20}
_SIZES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

_NUMBER_MAX = 1 << 53
_NAME_MAX = 4096  # characters of a fid, an address or a jail's name
_SERVER_MAX = 255
_USER_MAX = 256
_USERS_MAX = 10
_MATCH_MAX = 1024
_MATCHES_MAX = 50


class Action(object):
    """What fail2ban calls.

    spool      directory for the lines (absolute, no symbolic link in it)
    server     name of this server in the ledger, fixed at installation
    matches    how many of the last matched log lines to keep with a ban (0 to 50)
    spool_max  bytes the spool may take, or with k, m, g; lines lose their matches at 90 % of it
    """

    _prolongable = True
    banEpoch = 0

    def __init__(self, jail, *name, **options):
        """`name` is in a tuple so that an option of that name, usual for other actions, does no harm."""
        self._jail = jail
        self._matches = _DEFAULTS["matches"]
        self._labels = ""
        self._spool = Spool()
        self._safely(self._configure, options)

    def start(self):
        self._safely(self._spool.start)

    def stop(self):
        self._safely(self._spool.stop)

    def ban(self, aInfo):
        self._safely(self._record, "ban", aInfo)

    def unban(self, aInfo):
        self._safely(self._record, "unban", aInfo)

    def prolong(self, aInfo):
        self._safely(self._record, "prolong", aInfo)

    def reban(self, aInfo):
        """Nothing: the firewall repairs a rule, nobody is banned anew."""

    def flush(self):
        """True: spare us an `unban` for each live ticket; nobody is unbanned, the server or the action goes.

        False is for `unban --all`. fail2ban asks the same question in all three cases.
        """
        return bool(self._safely(self._is_leaving))

    def reload(self, **options):
        self._safely(self._configure, options)

    def clearAllParams(self):
        """Nothing: `reload` brings all options. fail2ban keeps only actions that have both."""

    def _safely(self, call, *args):
        """The result of a call, or None and a line in the log: fail2ban must go on."""
        try:
            return call(*args)
        except Exception as error:
            try:
                _LOG.error("banledger: %r in %s%.500r", error, call.__name__, args[:1])
            except Exception:
                pass
            return None

    def _is_leaving(self):
        actions = self._jail.actions
        return not getattr(actions, "active", True) or hasattr(actions, "_reload_actions")

    def _configure(self, options):
        """Take the options of jail.conf; one log line for each that makes no sense."""
        wrong = []
        taken = _read_options(options, wrong)
        self._matches = taken["matches"]
        self._labels = ',"server":%s,"jail":%s,' % (_QUOTE(taken["server"]), _QUOTE(_jail_name(self._jail)))
        self._spool.configure(taken["spool"], taken["spool_max"], self._labels)
        for line in wrong:
            _LOG.error("banledger: %s", line)

    def _record(self, kind, info):
        who = _who(info)
        if who is None:
            _LOG.error("banledger: a %s without an address or id can't be recorded", kind)
            return
        restored = _number(info, "restored", 0)
        body = '%s%s,"time":%r,"failures":%d,"bantime":%d,"bancount":%d%s%s' % (
            self._labels,
            who,
            _number(info, "time", None) or time.time(),
            _number(info, "failures", 0),
            _number(info, "bantime", 0),
            _number(info, "bancount", 0),
            ',"restored":1' if restored else "",
            _users(info) if kind == "ban" else "",
        )
        matches = "" if restored or kind != "ban" else _matches(info, self._matches)
        self._spool.add(kind, body, matches)


class Spool(object):
    """The writing end of the spool for one action object: order, memory, limits, and the news about them.

    The public methods take the mutex, the others want it taken. Errors of the disk are OSError.
    """

    RETRY_S = 5.0
    HELD_EVENTS = 1000
    HELD_BYTES = 1 << 20
    LOOK_S = 1.0
    CLOCK_STEP_US = 10 * 1000 * 1000  # a clock put back by less is not believed

    def __init__(self):
        self._labels = ""
        self._mutex = threading.Lock()
        self._path = _DEFAULTS["spool"]
        self._max = _DEFAULTS["spool_max"]
        self._segment = Segment(self._note_vanished)
        self._last_us = 0
        self._seq = 0
        self._look_due = 0.0
        self._where = None  # (device, inode) of the directory
        self._room = 0  # bytes to the hard limit, as of the last look
        self._room_thin = 0  # bytes to the limit where the matched lines go
        self._full = ""
        self._held = deque()
        self._held_bytes = 0
        self._lost = {"bans": 0, "others": 0}
        self._lost_since = None
        self._lost_before = None  # of the last gap line, until the log has it
        self._trouble = None
        self._thin = False
        self._vanished = False
        self._stopped = False
        self._retrying = False
        self._wake = threading.Event()
        self._news = []

    def configure(self, path, limit, labels):
        with self._mutex:
            self._labels = labels
            self._look_due = 0.0
            self._max = limit
            if path != self._path:
                self._segment.retire()
                self._path = path
                self._where = None

    def start(self):
        """Look at the directory now, so that a mistake shows at the start and not at the first ban."""
        with self._mutex:
            self._stopped = False
            self._wake.clear()
            self._try(self._look)
        self._tell()

    def stop(self):
        """Write what is held if that is possible, and give the segment to the reader."""
        with self._mutex:
            self._stopped = True
            self._wake.set()
            if self._owes():
                self._try(self._catch_up)
            if self._owes():
                self._news.append((logging.ERROR, "stopped with %d unrecorded events", self._count_owed()))
            self._segment.retire()
        self._tell()

    def add(self, kind, body, matches):
        """Record one event: in the segment, else in memory, else as a number."""
        with self._mutex:
            us = self._tick()
            if self._held or not self._try(self._write, us, kind, body, matches):
                self._hold(us, kind, body)
            if self._stopped:
                self._segment.retire()
            elif self._held or self._lost_since is not None:
                self._retry_later()
        if self._news:
            self._tell()

    def _tick(self):
        """The moment seen in microseconds; two events never share one."""
        us = int(time.time() * 1e6)
        if self._last_us - self.CLOCK_STEP_US < us <= self._last_us:
            us = self._last_us + 1
        self._last_us = us
        return us

    def _try(self, work, *args):
        """Whether work that needs the disk was done; notes when that changes."""
        try:
            work(*args)
        except (OSError, ValueError) as error:
            if self._trouble is None:
                self._news.append(
                    (
                        logging.ERROR,
                        "can't write to spool %r: %s; holding bans in memory",
                        self._path,
                        _why(error),
                    )
                )
            self._trouble = _why(error)
            return False
        if self._trouble is not None and not self._owes():
            self._trouble = None
            bans, others = self._lost_before or (0, 0)
            self._lost_before = None
            what = "spool %r works again; %d bans and %d other events were lost"
            self._news.append((logging.WARNING, what, self._path, bans, others))
        return True

    def _write(self, us, kind, body, matches=""):
        """Append one line, or raise OSError and leave no part of it."""
        if time.monotonic() >= self._look_due:
            self._look()
        if matches and self._room_thin < len(body) + len(matches):
            matches = ""
        line = '{"v":%d,"kind":"%s","seen":%d.%06d,"seq":%d%s%s}\n' % (
            VERSION,
            kind,
            us // 1000000,
            us % 1000000,
            self._seq + 1,
            body,
            matches,
        )
        data = line.encode("ascii")
        if len(data) > self._room:
            raise OSError(errno.ENOSPC, self._full)
        self._segment.append(self._path, data)
        self._seq += 1
        self._room -= len(data)
        self._room_thin -= len(data)

    def _note_vanished(self):
        if not self._vanished:
            self._vanished = True
            what = "segments vanished from spool %r: somebody deletes what was not read yet"
            self._news.append((logging.ERROR, what, self._path))

    def _hold(self, us, kind, body):
        """Keep the event for later, without its matches; count it when memory is full."""
        if len(self._held) < self.HELD_EVENTS and self._held_bytes + len(body) <= self.HELD_BYTES:
            self._held.append((us, kind, body))
            self._held_bytes += len(body)
            return
        if self._lost_since is None:
            self._lost_since = us
            self._news.append((logging.ERROR, "memory for held bans is full: from now on they are only counted"))
        self._lost["bans" if kind == "ban" else "others"] += 1

    def _owes(self):
        return bool(self._held) or self._lost_since is not None

    def _count_owed(self):
        return len(self._held) + self._lost["bans"] + self._lost["others"]

    def _catch_up(self):
        """Write what is held in the order it came, then what was lost."""
        while self._held:
            us, kind, body = self._held[0]
            self._write(us, kind, body)
            self._held.popleft()
            self._held_bytes -= len(body)
        if self._lost_since is not None:
            self._write_gap()

    def _write_gap(self):
        bans, others = self._lost["bans"], self._lost["others"]
        since, reason = self._lost_since, self._trouble or ""
        body = '%s"since":%d.%06d,"bans":%d,"others":%d,"reason":%s' % (
            self._labels,
            since // 1000000,
            since % 1000000,
            bans,
            others,
            _QUOTE(reason),
        )
        self._write(self._tick(), "gap", body)
        self._lost = {"bans": 0, "others": 0}
        self._lost_since = None
        self._lost_before = (bans, others)

    def _retry_later(self):
        """Have a thread try again, so that recording resumes without another ban."""
        if self._retrying:
            return
        thread = threading.Thread(target=self._retry, name="f2b/banledger")
        thread.daemon = True
        try:
            thread.start()
            self._retrying = True
        except RuntimeError:  # no thread to be had: the next event tries again
            self._try(self._catch_up)

    def _retry(self):
        while True:
            self._wake.wait(self.RETRY_S)
            with self._mutex:
                if not self._stopped:
                    self._try(self._catch_up)
                done = self._stopped or not self._owes()
                self._retrying = not done
            self._tell()
            if done:
                return

    def _tell(self):
        """Say the news in the server's log, outside the mutex."""
        while self._news:
            try:
                news = self._news.pop(0)
                _LOG.log(news[0], "banledger: " + news[1], *news[2:])
            except Exception:
                pass

    def _look(self):
        """Is the directory still the one we verified, and how much room is there? At most once a second."""
        began = time.monotonic()
        directory = _open_directory(self._path)
        try:
            info = os.fstat(directory)
            if (info.st_dev, info.st_ino) != self._where:
                self._segment.retire()
                self._where = (info.st_dev, info.st_ino)
            self._measure(directory)
        finally:
            os.close(directory)
        now = time.monotonic()
        self._look_due = now + max(self.LOOK_S, 50 * (now - began))

    def _measure(self, directory):
        disk = os.fstatvfs(directory)
        used = sum(_sizes(directory))
        total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
        if not total:  # a file system that doesn't say
            total = free = 1 << 60
        left = free - min(total * 25 // 1000, 5 << 29)
        self._room = min(self._max - used, left)
        self._room_thin = min(self._max * 9 // 10 - used, free - min(total * 5 // 100, 5 << 30))
        self._full = "spool_max is reached" if self._max - used < left else "the disk is nearly full"
        if self._thin != (self._room_thin <= 0):
            self._thin = not self._thin
            what = "little room for spool %r: bans are recorded without their matched lines"
            self._news.append((logging.WARNING, what if self._thin else "spool %r has room again", self._path))


class Segment(object):
    """The file being written, ours as long as we hold its lock. See docs/spool-format.md."""

    ROTATE_BYTES = 1 << 20
    TRIES = 3

    def __init__(self, on_vanished):
        self._on_vanished = on_vanished
        self._writer = "%08x" % int.from_bytes(os.urandom(4), "big")
        self._count = 0
        self._fd = None

    def append(self, path, data):
        """One event, one write. OSError: nothing of it is in the segment that is written next."""
        size = self._usable_size()
        if size is None:
            self.retire()
            self._fd = self._create(path)
            size = 0
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                self.retire()
            raise
        if written != len(data):
            self._take_back(size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def retire(self):
        """Close it: the lock is free, the reader may have it."""
        fd, self._fd = self._fd, None
        if fd is not None:
            try:
                info = os.fstat(fd)
                if info.st_nlink == 0 and info.st_size:
                    self._on_vanished()
                os.close(fd)
            except OSError:
                pass

    def _usable_size(self):
        """Bytes in it, or None when the next line needs a new one."""
        if self._fd is None:
            return None
        info = os.fstat(self._fd)
        return info.st_size if info.st_nlink == 1 and info.st_size < self.ROTATE_BYTES else None

    def _take_back(self, size):
        """After a short write: no fragment may stand before the next line."""
        try:
            os.ftruncate(self._fd, size)
        except OSError:
            self.retire()

    def _create(self, path):
        directory = _open_directory(path)
        try:
            for chance in range(self.TRIES, 0, -1):
                try:
                    return self._create_in(directory)
                except OSError:
                    if chance == 1:
                        raise
        finally:
            os.close(directory)

    def _create_in(self, directory):
        self._count += 1
        name = "%013d-%s-%d.jsonl" % (int(time.time() * 1000), self._writer, self._count)
        flags = os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=directory)
        try:
            os.fchmod(fd, 0o640)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            os.unlink(name, dir_fd=directory)
            raise
        return fd


def _open_directory(path):
    """A descriptor of the spool directory, or OSError that says what is wrong with the way to it."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open("/", flags)
    try:
        _verify(fd, "/", stat.S_IWGRP | stat.S_IWOTH)
        steps = path.strip("/").split("/")
        for at, step in enumerate(steps, 1):
            fd = _enter(fd, step, flags, "/" + "/".join(steps[:at]))
            last = at == len(steps)
            _verify(fd, "/" + "/".join(steps[:at]), stat.S_IWOTH if last else stat.S_IWGRP | stat.S_IWOTH, last)
    except Exception:
        os.close(fd)
        raise
    return fd


def _enter(parent, step, flags, shown):
    """The descriptor of the next directory; the parent's is closed."""
    try:
        fd = os.open(step, flags, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise OSError(error.errno, "%r is no directory or a symbolic link (give its real path)" % shown) from None
        raise OSError(error.errno, "%r: %s" % (shown, os.strerror(error.errno))) from None
    os.close(parent)
    return fd


def _verify(fd, shown, forbidden, last=False):
    """Nobody but root and us may decide what stands there. Sticky directories keep what is root's or ours."""
    info = os.fstat(fd)
    if info.st_uid not in (0, os.geteuid()):
        raise OSError(errno.EPERM, "%r belongs to user %d, neither root nor the server's" % (shown, info.st_uid))
    if info.st_mode & forbidden and (last or not info.st_mode & stat.S_ISVTX):
        raise OSError(errno.EPERM, "%r may be written to by others (mode %o)" % (shown, info.st_mode & 0o7777))


def _sizes(directory):
    """Bytes of each segment in the directory, whoever writes it."""
    for name in os.listdir(directory):
        if name.endswith(".jsonl"):
            try:
                yield os.stat(name, dir_fd=directory, follow_symlinks=False).st_size
            except OSError:  # the reader was done with it
                pass


def _why(error):
    return getattr(error, "strerror", None) or str(error)


def _jail_name(jail):
    try:
        return _bounded(str(jail.name))
    except Exception:
        return ""


def _who(info):
    """Whom the ticket is about: `"fid":...`, and `"ip":...` where it differs. None if it names nobody."""
    fid, ip = _get(info, "fid"), _get(info, "ip")
    name = _name(fid)
    address = name if ip is fid else _name(ip)
    if not name and not address:
        return None
    if not address or address == name or not name:
        return '"fid":' + _QUOTE(name or address)
    return '"fid":%s,"ip":%s' % (_QUOTE(name), _QUOTE(address))


def _get(info, key):
    try:
        return info[key]
    except Exception:
        return None


def _name(value):
    """An id or address as text of bounded length, empty if there is none."""
    try:
        return "" if value is None else _bounded(str(value))
    except Exception:
        return ""


def _bounded(text):
    if len(text) <= _NAME_MAX:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return text[:_NAME_MAX] + "...sha256:" + digest


def _number(info, key, default):
    """A number as fail2ban has it, or the default where it has none that JSON could bear."""
    try:
        value = info[key]
        if type(value) is not int:
            value = float(value)
            if value.is_integer():
                value = int(value)
        return value if -_NUMBER_MAX < value < _NUMBER_MAX else default
    except Exception:
        return default


def _users(info):
    """The user names that the filter captured; `F-*` gives the ticket's whole data."""
    try:
        data = info["F-*"]
        names = data and (data.get("users") or data.get("user"))
        if not names:
            return ""
        if isinstance(names, str):
            names = (names,)
        names = sorted(str(name)[:_USER_MAX] for name in list(names))
        return ',"users":[%s]' % ",".join(map(_QUOTE, names[:_USERS_MAX]))
    except Exception:
        return ""


def _matches(info, count):
    """The last matched log lines as the end of a line."""
    try:
        lines = info["matches"].rsplit("\n", count)[-count:] if count else ()
        kept = ",".join([_QUOTE(line[:_MATCH_MAX]) for line in lines if line])
        return ',"matches":[%s]' % kept if kept else ""
    except Exception:
        return ""


def _read_options(options, wrong):
    """All options as values; what makes no sense is told in `wrong` and replaced by its default."""
    taken = dict(_DEFAULTS)
    for key in sorted(options):
        if key not in _READERS:
            wrong.append("unknown option %.100r is ignored" % (key,))
            continue
        try:
            taken[key] = _READERS[key](options[key])
        except Exception:
            wrong.append("option %s can't be %.100r; %r is used instead" % (key, options[key], _DEFAULTS[key]))
    return taken


def _read_spool(value):
    text = os.path.normpath(value)
    if not text.startswith("/") or text.strip("/") == "" or "\0" in text:
        raise ValueError(value)
    return text


def _read_server(value):
    if not 0 < len(value.strip()) <= _SERVER_MAX:
        raise ValueError(value)
    return value.strip()


def _read_matches(value):
    number = int(value)
    if not 0 <= number <= _MATCHES_MAX:
        raise ValueError(value)
    return number


def _read_size(value):
    text = str(value).strip().lower()
    unit = _SIZES.get(text[-1:], 1)
    size = int(text[:-1] if unit > 1 else text) * unit
    if size < 1:
        raise ValueError(value)
    return size


_READERS = {"spool": _read_spool, "server": _read_server, "matches": _read_matches, "spool_max": _read_size}
