"""fail2ban action: write every ban, unban and prolong of a jail as one line to a spool directory, and periodically a
snapshot of the bans that the jail holds in force.

    /etc/fail2ban/jail.d/banledger.local
        [sshd]
        action = %(known/action)s
                 banledger.py[server=web1]

`banledger record` reads the spool and writes the ledger. The options are those of `Action`; docs/spool-format.md
describes the lines and the life of a file.

Theory of operation
-------------------
This file runs inside fail2ban-server: in its interpreter, with its privileges, in the jail's own thread. So it uses
only the standard library, in Python 3.6 syntax, and keeps three promises: it never raises (an exception out of
`reban` would end the loop over the jail's actions, and the firewall comes after this one), it never waits (a slow
`ban` delays every other ban of the jail), it never fills the disk.

    ban() ──► _record: read the ticket ──► Spool.add   ──► Segment: one fstat, one write
                                                │  no room, no directory
                                                ▼
                                         held in memory ──► counted as lost ──► a "gap" line

Calls come from the jail's thread, the main thread (client) and the observer (prolong). A fourth thread, ours
(`Action._watch`), retries while events are held, closes a segment after a minute, and writes snapshots. One lock
serialises starts and stops; one mutex guards the queue and the segment. Under them there is only work on local files:
log messages are collected there and written afterwards.

Snapshots. fail2ban calls no action when it starts without a ban that it had, when the jail's bantime is set, or when
a ban by hand prolongs another one. So its own list is copied: "as of this moment these, no others". The moment is
taken before the list is read, so the snapshot says nothing about later calls. The list is copied in one step of the
interpreter, without fail2ban's lock, and processed a little at a time.

Times. `seen` is wall clock time, which may be set back or forth. `at` is the same moment on a timeline that begins
with the wall clock and runs with the clock since boot, so lines of one writer always compare.

Trust. The server may be root, and the group that reads the spool may write to it. So the directory is opened step by
step from `/`, following no link, and each step must belong to root or to us; files are created with O_EXCL, and used
only while they have exactly one link. The lock is taken before the group may open the file. Only segments of trusted
owners count towards the limits. Our own thread counts a directory with many files, a little at a time; a call of
fail2ban reads at most `Spool.LOOK_NAMES` names.

Requirements of the server that are not obvious: it reads `_prolongable` and `banEpoch` unguarded (without `banEpoch`
the jail fails to repair its firewall rules); `fail2ban-client reload` drops an action without both `reload` and
`clearAllParams`; `flush` decides whether each live ban gets an `unban` (see there); the ticket is lazy, and some of
its keys query the DNS or the database. fail2ban 1.0 executes this file once for each jail *in the same module*, which
rebinds its globals under living objects: so no state is kept in a global, and errors that cross a function are built-in
exceptions.
"""

import binascii
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import stat
import sys
import threading
import time
from collections import deque

VERSION = 1

_LOG = logging.getLogger("fail2ban.banledger")
_QUOTE = json.encoder.encode_basestring_ascii  # text as JSON; a lone surrogate becomes its escape

_DEFAULTS = {"spool": "/var/spool/banledger", "server": "localhost", "matches": 3, "spool_max": 512 << 20}
_SIZES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

_NUMBER_MAX = 1 << 53
_TIME_END = 3124224000  # 2069: ids of bans have two digits of the year
_NAME_MAX = 4096  # characters of a fid, an address or a jail's name
_SERVER_MAX = 255
_USER_MAX = 256
_USERS_MAX = 10
_MATCH_MAX = 1024
_MATCHES_MAX = 50
_LISTED_MAX = 1 << 16  # characters examined of the text of a list

_ESCAPE = r"\\(?:[\\'nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U00(?:0[0-9a-f]|10)[0-9a-f]{4})"
_LISTED = re.compile(  # one text of a list as `repr` writes it, and what follows
    r"""(?:'([^'\\]*(?:%s[^'\\]*)*)'|"([^"\\]*(?:%s[^"\\]*)*)")(, |\]\Z)""" % (_ESCAPE, _ESCAPE)
)

_SEGMENT = re.compile(r"[0-9]{13}-[0-9a-f]{8}-[0-9]{1,9}\.jsonl\Z")
_NAMES_AT_ONCE = 100
_PAUSE_S = 0.002

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Action(object):
    """The class that fail2ban calls.

    spool      directory for the lines (absolute, no symbolic link in it)
    server     server label in the ledger, fixed at installation
    matches    number of matched log lines to keep with a ban, the last ones (0 to 50)
    spool_max  limit of the spool in bytes, or with k, m, g; lines lose their matches at 90 % of it
    """

    _prolongable = True
    banEpoch = 0

    def __init__(self, jail, *name, **options):
        """`name` is in a tuple so that an option `name`, usual for other actions, does no harm."""
        self._jail = jail
        self._matches = _DEFAULTS["matches"]
        self._labels = ""
        self._spool = Spool()
        self._snapshots = Snapshots(jail, self._spool)
        self._turn = threading.Lock()  # taken to start, to stop, to change the label
        self._began = False
        self._late = bool(getattr(getattr(jail, "actions", None), "active", False))  # the jail is already running
        self._safely(self._configure, options)
        if self._late:
            self._spool.work(self._watch)

    def start(self):
        self._safely(self._begin)

    def stop(self):
        self._safely(self._end)
        self._safely(self._spool.stop)

    def ban(self, aInfo):
        self._safely(self._record, "ban", aInfo)

    def unban(self, aInfo):
        self._safely(self._record, "unban", aInfo)

    def prolong(self, aInfo):
        self._safely(self._record, "prolong", aInfo)

    def reban(self, aInfo):
        """Do nothing: the firewall repairs a rule; this is not a new ban."""

    def consistencyCheck(self, *ignored):
        """Do nothing. fail2ban calls it when a banned offender fails again, in some versions without check."""

    def flush(self):
        """True: call no `unban` for each live ticket, because the server or the action ends and no ban does.

        False is for `unban --all`. fail2ban asks the same question in all three cases.
        """
        return bool(self._safely(self._is_leaving))

    def reload(self, **options):
        self._safely(self._configure, options)

    def clearAllParams(self):
        """Do nothing: `reload` brings all options. fail2ban keeps only actions that have both."""

    def _safely(self, call, *args):
        """Return the result of a call; on an exception log it and return None."""
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
        leaving = not getattr(actions, "active", True) or hasattr(actions, "_reload_actions")
        if leaving:
            self._snapshots.begin()  # a failed reload leaves its mark: the action stays, and the list is empty
        return leaving

    def _begin(self, late=False):
        """Write a start. `late`: only if no other thread did and the action was not stopped."""
        with self._turn:
            if late and not self._late:
                return
            self._late = False
            self._spool.start()
            self._say_start()
            self._snapshots.begin()
            self._began = True
            self._spool.work(self._watch)

    def _say_start(self):
        version = getattr(sys.modules.get("fail2ban.version"), "version", "")
        body = '%s"version":%s,"boot":%s' % (self._labels, _QUOTE(_name(version)[:64]), _QUOTE(_boot_id()))
        process = _process(self._jail)
        if process:
            body += ',"process":"%s"' % process
        self._spool.add("start", body, "")

    def _end(self):
        """Write a stop; the jail may continue without this action."""
        with self._turn:
            self._late = False
            if self._began:
                self._began = False
                left = getattr(self._jail.actions, "active", False)
                self._spool.add("stop", self._labels.rstrip(",") + (',"left":1' if left else ""), "")

    def _watch(self):
        """Do periodic work, in our own thread."""
        if self._is_dropped():
            self.stop()
            return
        if self._late:
            self._begin(late=True)
        self._spool.look_after()
        if self._began and self._snapshots.are_due():
            self._snapshots.take(self._labels)
        elif self._began:
            for info in self._snapshots.prolonged():
                self._record("prolong", info)

    def _is_dropped(self):
        """Whether the action was removed: `fail2ban-client set JAIL delaction` calls nothing."""
        try:
            actions = self._jail.actions
            return all(actions[name] is not self for name in list(actions))
        except Exception:  # an unknown version of fail2ban, or the list changes during the check
            return False

    def _configure(self, options):
        """Apply the options of jail.conf; log each invalid one."""
        wrong = []
        taken = _read_options(options, wrong)
        self._matches = taken["matches"]
        labels = ',"server":%s,"jail":%s,' % (_QUOTE(taken["server"]), _QUOTE(_jail_name(self._jail)))
        with self._turn:
            moved = self._began and labels != self._labels
            if moved:
                self._spool.add("stop", self._labels.rstrip(","), "")
            self._labels = labels
            self._spool.configure(taken["spool"], taken["spool_max"], self._labels)
            if moved:
                self._say_start()
                self._snapshots.begin()
        for line in wrong:
            _LOG.error("banledger: %s", line)

    def _record(self, kind, info):
        who = _who(info)
        if who is None:
            _LOG.error("banledger: a %s without an address or id can't be recorded", kind)
            return
        if self._late:
            self._begin(late=True)
        restored = _number(info, "restored", 0)
        bantime = _bantime(_get(info, "bantime"))
        if restored and kind == "ban":
            self._snapshots.note_restored()
        elif kind == "prolong":
            self._snapshots.note_prolonged(who, bantime)
        body = '%s%s,"time":%r,"failures":%d,"bantime":%d,"bancount":%d%s%s' % (
            self._labels,
            who,
            _number(info, "time", None) or time.time(),
            _number(info, "failures", 0),
            bantime,
            _number(info, "bancount", 0),
            ',"restored":1' if restored else "",
            _users(info, restored) if kind == "ban" else "",
        )
        matches = "" if restored or kind != "ban" else _matches(info, self._matches)
        self._spool.add(kind, body, matches)


class Spool(object):
    """The writer of the spool for one action object: order, memory, limits, and log messages about them.

    Public methods take the mutex; the others require it held. Disk errors are OSError.
    """

    RETRY_S = 5.0
    HELD_EVENTS = 1000
    HELD_BYTES = 1 << 20
    LOOK_S = 1.0
    OPEN_S = 60.0  # a segment of this age is closed, so that the reader can remove recorded lines soon
    MANY = 1000  # unless this many unread segments exist: their number is bounded too
    LOOK_NAMES = 1500  # names that a call of fail2ban reads; if there are more, our thread counts
    COUNT_S = 10.0  # limit of a count by our thread
    REST = 50  # multiple of a look's or count's duration until the next one
    CLOCK_STEP_US = 10 * 1000 * 1000  # a clock set back by less is ignored

    def __init__(self):
        self._labels = ""
        self._mutex = threading.Lock()
        self._path = _DEFAULTS["spool"]
        self._max = _DEFAULTS["spool_max"]
        self._segment = Segment(self._note_vanished)
        self._signature = ',"writer":"%s","seq":' % self._segment.writer
        self._last_us = 0
        self._last_at = 0
        self._epoch_us = None  # wall clock time at which the clock since boot was 0, as of our first event
        self._seq = 0
        self._segments = 0  # in the directory, as of the last count
        self._used = 0  # their bytes, and what we wrote since
        self._written = 0  # bytes written in total
        self._crowded = False  # there are more names than a call of fail2ban may read
        self._count_due = 0.0
        self._said_foreign = False
        self._said_many = False
        self._look_due = 0.0
        self._where = None  # (device, inode) of the directory
        self._room = 0  # bytes to the hard limit, as of the last look
        self._room_thin = 0  # bytes to the limit above which matched lines are dropped
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
        self._working = False
        self._watch = None
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
                self._forget_count()

    def start(self):
        """Check the directory now, so that a mistake shows at the start and not at the first ban."""
        with self._mutex:
            self._stopped = False
            self._wake.clear()
            self._try(self._look)
        self._tell()

    def stop(self):
        """Write held events if possible, and close the segment."""
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
        """Record one event: in the segment, else in memory, else as a count."""
        with self._mutex:
            moment = self._tick()
            if kind == "start":
                body += ',"clock":%.6f' % ((moment[1] - self._epoch_us) / 1e6)
            if self._held or not self._try(self._write, moment, kind, body, matches):
                self._hold(moment, kind, body)
            if self._stopped:
                self._segment.retire()
            elif self._held or self._lost_since is not None:
                self._work_on()
        if self._news:
            self._tell()

    def moment(self):
        """A moment on our timeline, later than every recorded event, earlier than future events."""
        with self._mutex:
            return self._tick()[1]

    def has_room(self, size):
        """Whether this many bytes leave the room that is reserved for bans."""
        with self._mutex:
            try:
                self._look()
            except (OSError, ValueError):
                return False
            return not self._owes() and size < self._room_thin

    def add_if_room(self, kind, body):
        """Write a line that is not an event: now, or not at all. Return whether it was written."""
        with self._mutex:
            if self._stopped or self._owes() or len(body) >= self._room_thin:
                return False
            try:
                self._write(self._tick(), kind, body)
            except (OSError, ValueError):
                return False
            return True

    def look_after(self):
        """Write held events if possible; close an old segment; count the spool if calls can't."""
        with self._mutex:
            if not self._stopped and self._owes():
                self._try(self._catch_up)
            old = _since_boot() - self._segment.made >= self.OPEN_S
            if old and not self._owes() and self._segments <= self.MANY:
                self._segment.retire()
        if self._crowded and time.monotonic() >= self._count_due:
            self._count_slowly()
        self._tell()

    def _tick(self):
        """The current moment in microseconds: by the wall clock, and on our timeline. Unique for each event."""
        us, clock = int(time.time() * 1e6), int(_since_boot() * 1e6)
        if self._epoch_us is None:
            self._epoch_us = us - clock
        straight = self._epoch_us + clock
        if self._last_us - self.CLOCK_STEP_US < us <= self._last_us:
            us = self._last_us + 1
        at = us if abs(us - straight) < self.CLOCK_STEP_US else straight
        self._last_us = us
        self._last_at = at = max(at, self._last_at + 1)
        return us, at

    def _try(self, work, *args):
        """Do work that needs the disk; return whether it succeeded, and log when that changes."""
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

    def _write(self, moment, kind, body, matches=""):
        """Append one line, or raise OSError and leave no part of it."""
        us, at = moment
        if time.monotonic() >= self._look_due:
            self._look()
        if matches and self._room_thin < len(body) + len(matches):
            matches = ""
        line = '{"v":%d,"kind":"%s","seen":%s%s%s%d%s%s}\n' % (
            VERSION,
            kind,
            _seconds(us),
            "" if at == us else ',"at":' + _seconds(at),
            self._signature,
            self._seq + 1,
            body,
            matches,
        )
        data = line.encode("ascii")
        if len(data) > self._room:
            raise OSError(errno.ENOSPC, self._full)
        self._segment.append(self._path, data)
        self._seq += 1
        self._written += len(data)
        self._used += len(data)
        self._room -= len(data)
        self._room_thin -= len(data)

    def _note_vanished(self):
        if not self._vanished:
            self._vanished = True
            what = "segments vanished from spool %r: somebody deletes unread segments"
            self._news.append((logging.ERROR, what, self._path))

    def _hold(self, moment, kind, body):
        """Hold the event in memory without its matches; count it as lost if memory is full."""
        if len(self._held) < self.HELD_EVENTS and self._held_bytes + len(body) <= self.HELD_BYTES:
            self._held.append((moment, kind, body))
            self._held_bytes += len(body)
            return
        if self._lost_since is None:
            self._lost_since = moment[0]
            self._news.append((logging.ERROR, "memory for held bans is full: from now on bans are only counted"))
        self._lost["bans" if kind == "ban" else "others"] += 1

    def _owes(self):
        return bool(self._held) or self._lost_since is not None

    def _count_owed(self):
        return len(self._held) + self._lost["bans"] + self._lost["others"]

    def _catch_up(self):
        """Write held events in order, then the count of lost ones."""
        while self._held:
            moment, kind, body = self._held[0]
            self._write(moment, kind, body)
            self._held.popleft()
            self._held_bytes -= len(body)
        if self._lost_since is not None:
            self._write_gap()

    def _write_gap(self):
        bans, others = self._lost["bans"], self._lost["others"]
        since, reason = self._lost_since, self._trouble or ""
        body = '%s"since":%s,"bans":%d,"others":%d,"reason":%s' % (
            self._labels,
            _seconds(since),
            bans,
            others,
            _QUOTE(reason),
        )
        self._write(self._tick(), "gap", body)
        self._lost = {"bans": 0, "others": 0}
        self._lost_since = None
        self._lost_before = (bans, others)

    def work(self, watch):
        """Call `watch` every few seconds from now on, in our own thread, until `stop`."""
        with self._mutex:
            self._watch = watch
            self._work_on()

    def _work_on(self):
        """Start the thread if none runs, so that recording resumes without another ban."""
        if self._working:
            return
        thread = threading.Thread(target=self._work, name="f2b/banledger")
        thread.daemon = True
        try:
            thread.start()
            self._working = True
        except RuntimeError:  # no thread available: the next event tries again
            if self._owes():
                self._try(self._catch_up)

    def _work(self):
        """The body of the thread."""
        done, said = False, ""
        while not done:
            self._wake.wait(self.RETRY_S)
            if not self._stopped:
                try:
                    (self._watch or self.look_after)()
                except Exception as error:
                    if repr(error) != said:  # once, not every few seconds
                        said = repr(error)
                        self._news.append((logging.ERROR, "%s while checking the spool", said))
            with self._mutex:
                done = self._stopped or not (self._watch or self._owes() or self._crowded)
                self._working = not done
            self._tell()

    def _tell(self):
        """Write pending messages to the server's log, outside the mutex."""
        while self._news:
            try:
                news = self._news.pop(0)
                _LOG.log(news[0], "banledger: " + news[1], *news[2:])
            except Exception:
                pass

    def _look(self):
        """Check that the directory is the verified one and measure its room. At most once a second."""
        began = time.monotonic()
        directory = _open_directory(self._path)
        try:
            info = os.fstat(directory)
            if (info.st_dev, info.st_ino) != self._where:
                self._segment.retire()
                self._where = (info.st_dev, info.st_ino)
                self._forget_count()
            self._measure(directory)
        finally:
            os.close(directory)
        now = time.monotonic()
        self._look_due = now + max(self.LOOK_S, self.REST * (now - began))

    def _measure(self, directory):
        """Compute the free room from the last count of the segments."""
        if not self._crowded:
            self._take_count(_count(directory, self.LOOK_NAMES), 0)
        disk = os.fstatvfs(directory)
        used = self._used
        total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
        if not total:  # a file system that reports no size
            total = free = 1 << 60
        left = free - min(total * 25 // 1000, 5 << 29)
        self._room = min(self._max - used, left)
        self._room_thin = min(self._max * 9 // 10 - used, free - min(total * 5 // 100, 5 << 30))
        self._full = "spool_max is reached" if self._max - used < left else "the disk is nearly full"
        if self._thin != (self._room_thin <= 0):
            self._thin = not self._thin
            what = "little room for spool %r: bans are recorded without their matched lines"
            self._news.append((logging.WARNING, what if self._thin else "spool %r has room again", self._path))

    def _take_count(self, count, written_since):
        """Use a count of the directory; an incomplete one is a lower bound."""
        self._used, self._segments = count["bytes"] + written_since, count["segments"]
        self._crowded = not count["whole"]
        if self._crowded and not self._stopped:
            self._work_on()
        if count["foreign"] and not self._said_foreign:
            self._said_foreign = True
            what = "ignoring files in spool %r that are not ours, such as %.100r"
            self._news.append((logging.WARNING, what, self._path, count["foreign"]))
        if count["names"] - count["segments"] > self.LOOK_NAMES and not self._said_many:
            self._said_many = True
            what = "%d files in spool %r are not segments: remove them"
            self._news.append((logging.WARNING, what, count["names"] - count["segments"], self._path))

    def _forget_count(self):
        self._used = self._segments = 0
        self._crowded = False

    def _count_slowly(self):
        """Count a directory with many names, without the mutex and without delaying fail2ban's threads."""
        with self._mutex:
            path, before = self._path, self._written
        began = time.monotonic()
        try:
            directory = _open_directory(path)
            try:
                count = _count(directory, None, began + self.COUNT_S)
            finally:
                os.close(directory)
        except (OSError, ValueError):
            return  # the next event reports the error
        now = time.monotonic()
        with self._mutex:
            self._count_due = now + self.REST * (now - began)
            if path == self._path:
                self._take_count(count, self._written - before)
                self._crowded = self._crowded or count["names"] > self.LOOK_NAMES
                self._look_due = 0.0


class Segment(object):
    """The file being written, ours while we hold its lock. See docs/spool-format.md."""

    ROTATE_BYTES = 1 << 20
    TRIES = 3

    def __init__(self, on_vanished):
        self._on_vanished = on_vanished
        self.writer = "%08x" % int.from_bytes(os.urandom(4), "big")
        self._count = 0
        self._fd = None
        self.made = 0.0  # by the clock since boot

    def append(self, path, data):
        """Write one event by one write. OSError: the next segment contains no part of it."""
        size = self._usable_size()
        if size is None:
            self.retire()
            self._fd = self._create(path)
            self.made = _since_boot()
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
        """Close the segment and so release its lock to the reader."""
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
        """Its size in bytes, or None if the next line needs a new segment."""
        if self._fd is None:
            return None
        info = os.fstat(self._fd)
        return info.st_size if info.st_nlink == 1 and info.st_size < self.ROTATE_BYTES else None

    def _take_back(self, size):
        """Remove what a short write left, so that no fragment precedes the next line."""
        try:
            os.ftruncate(self._fd, size)
        except OSError:
            self.retire()

    def _create(self, path):
        """Create a segment. The last try uses a number that can't have been guessed and taken."""
        directory = _open_directory(path)
        try:
            for chance in range(self.TRIES, 0, -1):
                self._count += 1 if chance > 1 else 1 + int.from_bytes(os.urandom(2), "big")
                try:
                    return self._create_in(directory)
                except OSError:
                    if chance == 1:
                        raise
        finally:
            os.close(directory)

    def _create_in(self, directory):
        """Try once: create it private, lock it, then open it to the group, which so can't take the lock first."""
        name = "%013d-%s-%d.jsonl" % (int(time.time() * 1000), self.writer, self._count)
        flags = os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=directory)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(fd, 0o640)
        except OSError:
            os.close(fd)
            os.unlink(name, dir_fd=directory)
            raise
        return fd


class Snapshots(object):
    """Write snapshots of the jail's bans in force when they may have changed without a call of the action.

    That is: after the last restored ban of a start; when the jail's bantime changes; otherwise rarely. In between,
    find prolonged bans: fail2ban prolongs one without calling an action when the address fails again while it is
    banned ("already banned"). Used by the watching thread, except `begin` and the notes.
    """

    SETTLED_S = 30.0  # seconds without restored bans
    UNSETTLED_S = 900.0  # after a start: longest wait for the jail to be idle
    EVERY_S = 3600.0
    AGAIN_S = 60.0  # after a snapshot that failed or found no room
    LOOK_S = 30.0  # between searches for prolonged bans
    TOLD_MAX = 10000
    PART_BANS = 2000
    PART_BYTES = 255 << 10
    AT_ONCE = 250
    PAUSE_S = 0.002

    def __init__(self, jail, spool):
        self._jail = jail
        self._spool = spool
        self._started = 0.0  # by the clock since boot
        self._restored = 0.0
        self._taken = None
        self._bantime = None
        self._failed = False
        self._not_before = 0.0
        self._looked = 0.0
        self._terms = {}  # by id() of the ticket: seconds, where they are not the jail's bantime; as last written
        self._told = set()  # (id, seconds) that fail2ban reported since the last search

    def begin(self):
        self._started = _since_boot()
        self._taken = None

    def note_restored(self):
        self._restored = _since_boot()

    def note_prolonged(self, who, bantime):
        if len(self._told) < self.TOLD_MAX:  # a ban missing here is written twice
            self._told.add((who, bantime))

    def prolonged(self):
        """The arguments of `Action.prolong` for bans that were prolonged without a call."""
        now = _since_boot()
        if self._taken is None or self._restored >= self._taken or now - self._looked < self.LOOK_S:
            return []
        self._looked = now
        try:
            return self._look()
        except Exception as error:
            self._fail(error)
            return []

    def _look(self):
        told, self._told = self._told, set()
        bantime = self._jail.actions.getBanTime()
        terms, longer = {}, []
        for ticket in self._gently(list(self._jail.actions.banManager)):
            own = _bantime(ticket.getBanTime(bantime))
            if own != bantime:
                terms[id(ticket)] = own
            if own != self._terms.get(id(ticket), bantime):
                info = _info(ticket, own)
                if (_who(info), own) not in told:
                    longer.append(info)
        self._terms = terms
        return longer

    def _gently(self, tickets):
        """Yield tickets with short pauses, so that bans go first."""
        for number, ticket in enumerate(tickets):
            if number % self.AT_ONCE == self.AT_ONCE - 1:
                time.sleep(self.PAUSE_S)
            yield ticket

    def _fail(self, error):
        """Log once that this fail2ban has no readable list of bans."""
        if not self._failed:
            self._failed = True
            _LOG.error("banledger: no snapshot of what is banned: %r", error)

    def are_due(self):
        now = _since_boot()
        if now < self._not_before:
            return False
        last = max(self._started, self._restored)
        if self._taken is None or self._restored >= self._taken:
            if now - self._started < self.UNSETTLED_S and getattr(self._jail, "hasFailTickets", False):
                return False
            return now - last >= self.SETTLED_S
        if self._bantime != self._jail.actions.getBanTime():
            return True
        return now - self._taken >= self.EVERY_S

    def take(self, labels):
        """Write a snapshot. An incomplete one is repeated later; each part is valid by itself."""
        taken = _since_boot()
        try:
            bantime = self._jail.actions.getBanTime()
            as_of, parts = self._read(bantime)
        except Exception as error:
            self._not_before = taken + self.AGAIN_S
            self._fail(error)
            return
        self._failed = False
        head = '%s"as_of":%s,"parts":%d,"part":' % (labels, _seconds(as_of), len(parts))
        bodies = ['%s%d,"bans":[%s]' % (head, part, text) for part, text in enumerate(parts)]
        room = self._spool.has_room(sum(map(len, bodies)))
        if not room or not all(self._spool.add_if_room("held", body) for body in bodies):
            self._not_before = taken + self.AGAIN_S
        elif parts:
            self._taken, self._bantime = taken, bantime

    def _read(self, bantime):
        """The moment, and the parts: none if the jail has flushed its list or is about to."""
        actions = self._jail.actions
        as_of = self._spool.moment()
        tickets = list(actions.banManager)
        return as_of, self._parts(tickets, bantime) if actions.active else []

    def _parts(self, tickets, bantime):
        """The text of each part: a ticket's part follows from its id's checksum."""
        count = len(tickets) // self.PART_BANS + 1
        while True:
            parts = [[] for _ in range(count)]
            self._terms = {}
            for ticket in self._gently(tickets):
                own = _bantime(ticket.getBanTime(bantime))
                if own != bantime:
                    self._terms[id(ticket)] = own
                name, text = _entry(ticket, own)
                if not text:
                    continue
                parts[binascii.crc32(name.encode("utf-8", "surrogatepass")) % count].append(text)
            texts = [",".join(part) for part in parts]
            if max(map(len, texts)) <= self.PART_BYTES or count > len(tickets):
                return texts
            count *= 2


def _entry(ticket, bantime):
    """A ticket's id, and its text in a snapshot: empty if a line can't hold its id or time."""
    name = _name(ticket.getID())
    second = round(ticket.getTime())
    if not name or not 0 < second < _TIME_END:
        return name, ""
    return name, "[%s,%d,%d,%d]" % (_QUOTE(name), second, bantime, _bancount(ticket))


def _bancount(ticket):
    """The bancount without fail2ban's extra count for restoring."""
    return max(0, ticket.getBanCount() - (1 if ticket.restored else 0))


def _info(ticket, bantime):
    """The fields of a ticket that an action is called with."""
    return {
        "fid": ticket.getID(),
        "ip": ticket.getIP(),
        "time": ticket.getTime(),
        "failures": ticket.getAttempt(),
        "bantime": bantime,
        "bancount": _bancount(ticket),
    }


def _since_boot():
    """Seconds since boot; setting the wall clock does not change them."""
    return time.clock_gettime(_BOOT_CLOCK)


_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _boot_id():
    """The id of this boot of the machine; empty if there is none."""
    try:
        with open(_BOOT_ID) as file:
            return file.read(8)
    except Exception:
        return ""


def _process(jail):
    """The identity of this fail2ban, a dot, its process id; empty if it can't be determined.

    Two that run at once differ in their command line (a socket each), their database or their PID namespace. In two
    roots (containers, chroots) the names may be the same: the files are not.
    """
    try:
        boot, database = _boot_id(), jail.database.filename
        files = [_file(database), _file("/")]
        which = [boot, os.readlink("/proc/self/ns/pid"), database, files] + sys.argv
        return "%s.%d" % (hashlib.sha256(repr(which).encode()).hexdigest()[:16], os.getpid()) if boot else ""
    except Exception:
        return ""


def _file(path):
    """Device and inode of a file; empty if there is none."""
    try:
        found = os.stat(path)
        return found.st_dev, found.st_ino
    except Exception:
        return ()


def _seconds(us):
    return "%d.%06d" % (us // 1000000, us % 1000000)


def _open_directory(path):
    """Open the spool directory, or raise OSError that says what is wrong with its path."""
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
    """Open the next directory; close its parent."""
    try:
        fd = os.open(step, flags, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise OSError(
                error.errno, "%r is not a directory, or is a symbolic link (give its real path)" % shown
            ) from None
        raise OSError(error.errno, "%r: %s" % (shown, os.strerror(error.errno))) from None
    os.close(parent)
    return fd


def _verify(fd, shown, forbidden, last=False):
    """Allow only directories that root or this user controls. Sticky ones protect files of both."""
    info = os.fstat(fd)
    if info.st_uid not in (0, os.geteuid()):
        raise OSError(errno.EPERM, "%r belongs to user %d, neither root nor the server's" % (shown, info.st_uid))
    if info.st_mode & forbidden and (last or not info.st_mode & stat.S_ISVTX):
        raise OSError(errno.EPERM, "%r may be written to by others (mode %o)" % (shown, info.st_mode & 0o7777))


def _count(directory, most, until=0.0):
    """The segments of trusted owners in a directory and their bytes.

    `most`: names to read. None: all, slowly, but no longer than `until` by the monotonic clock.
    A file with several names counts once. `foreign` is the name of a file that is not such a segment; `whole`: whether
    all names were read.
    """
    count = {"bytes": 0, "segments": 0, "names": 0, "foreign": "", "whole": True}
    trusted = (0, os.geteuid(), os.fstat(directory).st_uid)
    linked = set()
    with _scan(directory) as entries:
        for entry in entries:
            if count["names"] == most:
                count["whole"] = False
                break
            count["names"] += 1
            if most is None and count["names"] % _NAMES_AT_ONCE == 0:
                if time.monotonic() > until:
                    count["whole"] = False
                    break
                time.sleep(_PAUSE_S)  # bans go first
            if not _SEGMENT.match(entry.name):
                continue
            try:
                info = os.stat(entry.name, dir_fd=directory, follow_symlinks=False)
            except OSError:  # the reader removed it
                continue
            if info.st_uid not in trusted or not stat.S_ISREG(info.st_mode):
                count["foreign"] = entry.name
            elif info.st_ino not in linked:
                count["bytes"] += info.st_size
                count["segments"] += 1
                if info.st_nlink > 1:
                    linked.add(info.st_ino)
    return count


def _scan(directory):
    """Iterate over the entries of an open directory."""
    if os.scandir in os.supports_fd:
        return os.scandir(directory)
    return os.scandir("/proc/self/fd/%d" % directory)  # Python 3.6


def _why(error):
    return getattr(error, "strerror", None) or str(error)


def _jail_name(jail):
    try:
        return _bounded(str(jail.name))
    except Exception:
        return ""


def _who(info):
    """The ticket's `"fid":...`, and `"ip":...` where it differs. None if it has neither."""
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
    """An id or address as text of bounded length; empty if there is none."""
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
    """fail2ban's number, or the default if it has none that fits JSON."""
    try:
        value = info[key]
        if type(value) is not int:
            value = float(value)
            if value.is_integer():
                value = int(value)
        return value if -_NUMBER_MAX < value < _NUMBER_MAX else default
    except Exception:
        return default


def _bantime(value):
    """Whole seconds, at most as many as a line can hold."""
    try:
        return max(1 - _NUMBER_MAX, min(int(value), _NUMBER_MAX - 1))
    except Exception:
        return 0


def _users(info, restored):
    """The user names that the filter captured; `F-*` gives the ticket's whole data."""
    try:
        data = info["F-*"]
        names = data and (_all_users(data, restored) or data.get("user"))
        if not names:
            return ""
        if isinstance(names, str):
            names = (names,)
        names = sorted(str(name)[:_USER_MAX] for name in list(names))
        return ',"users":[%s]' % ",".join(map(_QUOTE, names[:_USERS_MAX]))
    except Exception:
        return ""


def _all_users(data, restored):
    """The names of one connection, a set. fail2ban's database stores it as a list's text and restores the text."""
    names = data.get("users")
    return _listed(names) if restored and isinstance(names, str) else names


def _listed(text):
    """The names in a list's text; the text itself if it is not a list. Linear in the length."""
    names = []
    head = text[:_LISTED_MAX]
    item = _LISTED.match(head, 1) if head[:1] == "[" else None
    while item:
        quoted = item.group(1) if item.group(2) is None else item.group(2)
        names.append(quoted.encode("latin-1", "backslashreplace").decode("unicode_escape"))
        if item.group(3) == "]":
            return names if head == text else [text]
        item = _LISTED.match(head, item.end())
    return names if names and head != text else [text]


def _matches(info, count):
    """The last matched log lines as the end of a line."""
    try:
        lines = info["matches"].rsplit("\n", count)[-count:] if count else ()
        kept = ",".join([_QUOTE(line[:_MATCH_MAX]) for line in lines if line])
        return ',"matches":[%s]' % kept if kept else ""
    except Exception:
        return ""


def _read_options(options, wrong):
    """Parse all options. Invalid ones get their default and a message in `wrong`."""
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
