"""`banledger record`: the service."""

import gc
import logging
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import ClassVar, TextIO

import click

from banledger import __version__, settings
from banledger.cli import environment, host
from banledger.cli.directory import check_directory
from banledger.cli.options import spool_option, store_options
from banledger.cli.streams import ReaderGone
from banledger.clock import ClockWatch
from banledger.errors import BanledgerError
from banledger.ledger.ban_writer import Recorded
from banledger.ledger.heartbeat import Heartbeat, bounded
from banledger.ledger.labels import NAMELESS, Labels
from banledger.ledger.nonces import Nonces
from banledger.ledger.writer import Ledger, open_to_write
from banledger.service import systemd, wiring
from banledger.service.forgetting import Forgetting
from banledger.service.memory import FILE, Memory
from banledger.service.recorder import Recorder
from banledger.settings import Settings, machine_id
from banledger.spool.lock import SpoolLock
from banledger.spool.reader import SpoolReader
from banledger.stores.connect import access, is_server

_log = logging.getLogger("banledger")


@click.command()
@click.option("--once", is_flag=True, help="Record what the spool holds, and exit.")
@click.option("--adopt", metavar="LABEL", help="Take over a server label that another machine has recorded, and exit.")
@spool_option
@store_options
def record(once: bool, adopt: str | None, **flags: str | None) -> None:
    """Record the bans that the fail2ban action writes to the spool.

    Runs in the foreground until SIGTERM or SIGINT; SIGHUP reads the settings again. Notifies systemd (readiness,
    watchdog) if systemd started it. Needs access to the spool and the ledger, and no other privileges.

    \b
    Example:
      banledger record
      banledger record --once --spool /tmp/spool --store /tmp/ledger.db
    """
    _log_to_stderr()
    _allow_many_files()
    collect_rarely()
    chosen = environment.load(flags)
    if adopt is not None:
        _adopt(chosen, adopt)
    elif once:
        _drain(chosen)
    else:
        _serve(chosen, flags)


def _allow_many_files() -> None:
    """Raise the limit of open files to its maximum: every jail has an open segment."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def collect_rarely() -> None:
    """Collect garbage less often: a batch leaves many objects and no cycles, and a search takes a tenth of the time."""
    gc.freeze()
    gc.set_threshold(50_000)


def _connect(chosen: Settings) -> Ledger:
    check_directory(chosen.store)
    return open_to_write(chosen.store, chosen.prefix, chosen.timezone, access(chosen), chosen.machine)


def _recorder(chosen: Settings, me: Heartbeat | None = None, notifier: systemd.Notifier | None = None) -> Recorder:
    """A recorder. `me`: of the service; without it segments are removed at once."""
    known = wiring.places(chosen)
    watch, name = ClockWatch(), host.recorder_name()
    spool = SpoolReader(Path(chosen.spool))
    alive = (notifier or systemd.Notifier("")).kept_alive
    return Recorder(
        spool,
        lambda: _connect(chosen),
        known.locate,
        whois=wiring.whois(chosen, known),
        forgetting=Forgetting(spool, wiring.retention(chosen), watch, me.id if me else name, alive),
        keep=me is not None,
        me=me,
        patient=is_server(chosen.store),
        watch=watch,
        labels=Labels(name, host.place_of(chosen.spool), chosen.spool, Nonces(host.state("labels")), watch.elapsed),
        lock=SpoolLock(Path(chosen.spool), name),
        memory=_memory(chosen),
    )


def _me(chosen: Settings) -> Heartbeat:
    """What heartbeats of this service say of itself."""
    id_, now = host.recorder_id(chosen.machine or machine_id() or NAMELESS, chosen.spool), max(0.0, time.time())
    return Heartbeat(
        now, now, host.host(), os.getpid(), __version__, id=id_, spool=bounded(os.path.realpath(chosen.spool))
    )


def _memory(chosen: Settings) -> Memory:
    """The recorder's memory of this store. It survives restarts if the service has a state directory."""
    state = systemd.state_directory()
    store = f"{settings.without_password(chosen.store)}#{chosen.prefix}"
    return Memory(state / FILE if state else None, store)


def _drain(chosen: Settings) -> None:
    """Record what is there and print the counts. Raises LabelTaken if lines had to stay in the spool."""
    with closing(_recorder(chosen)) as recorder:
        _say(recorder.drain(time.time()), recorder.skipped)
        if (reason := recorder.held_back) is not None:
            raise reason


def _adopt(chosen: Settings, label: str) -> None:
    with closing(_connect(chosen)) as ledger:
        if ledger.labels is not None:
            ledger.labels.adopt(label, host.place_of(chosen.spool), host.recorder_name())
            click.echo(f"this machine now records server label {label!r}")
        else:
            click.echo("an embedded ledger belongs to one machine: there is no label to take over")


def _say(done: Recorded, skipped: int) -> None:
    more = f", {done.networks} networks" if done.networks else ""
    more += f", {done.aside} lines set aside: their bans' hashes are damaged" if done.aside else ""
    more += f", {skipped} lines of unknown kinds skipped" if skipped else ""
    click.echo(f"{done.new} new bans, {done.amended} amended, {done.known} lines known before, {done.gaps} gaps{more}")


class _Signals:
    """SIGTERM, SIGINT and SIGHUP as state; a signal ends a wait. See outage.Until."""

    def __init__(self) -> None:
        self.stopped = self.reload = self.ending = False
        self._wake, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            self.reload = True
        else:
            self.ending = True
        self.stopped = True

    def wait(self, seconds: float) -> None:
        """See Until.wait."""
        if select.select([self._wake], [], [], seconds)[0]:
            os.read(self._wake, 512)

    def take_reload(self) -> bool:
        """Whether SIGHUP stopped the loop; if so, the loop may start again."""
        if self.ending or not self.reload:
            return False
        self.stopped = self.reload = False
        return True


def _serve(chosen: Settings, flags: Mapping[str, str | None]) -> None:
    signals, notifier = _Signals(), systemd.from_environment()
    while True:
        with closing(_recorder(chosen, _me(chosen), notifier)) as recorder:
            _log.info("recording from %s into %s", chosen.spool, settings.without_password(chosen.store))
            recorder.run(signals, notifier)
        if not signals.take_reload():
            break
        chosen = _reloaded(chosen, flags)
    notifier.stopping()
    _log.info("stopped")


def _reloaded(chosen: Settings, flags: Mapping[str, str | None]) -> Settings:
    try:
        return settings.load(flags)
    except BanledgerError as error:
        _log.error("%s; keeping the previous settings", error)
        return chosen


class _Priority(logging.Formatter):
    """Add the journal's priority prefix, sd-daemon(3)."""

    _PREFIX: ClassVar = {logging.ERROR: "<3>", logging.WARNING: "<4>", logging.INFO: "<6>"}

    def format(self, record: logging.LogRecord) -> str:
        return self._PREFIX.get(record.levelno, "") + super().format(record)


class _Log(logging.StreamHandler[TextIO]):
    """Drop log lines that can't be written; recording continues."""

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler.emit."""
        with suppress(ReaderGone):
            super().emit(record)


def _log_to_stderr() -> None:
    handler = _Log(sys.stderr)
    plain = logging.Formatter("banledger: %(message)s")
    handler.setFormatter(_Priority() if os.environ.get("JOURNAL_STREAM") else plain)
    _log.handlers = [handler]
    _log.setLevel(logging.INFO)
    _log.propagate = False
