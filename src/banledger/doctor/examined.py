"""What the checks look at: a machine, its settings, its fail2ban. Each is read once, within a time limit, and never
changed.
"""

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from banledger import settings
from banledger.errors import BanledgerError
from banledger.ledger.opening import open_to_read
from banledger.ledger.reader import LedgerReader
from banledger.settings import Settings
from banledger.setup.command import Said, run, system_command
from banledger.setup.configuration import JailConfiguration
from banledger.setup.fail2ban import Fail2ban
from banledger.setup.machine import FAIL2BAN, Machine
from banledger.setup.program import HOME
from banledger.setup.running import RunningServer
from banledger.setup.store_choice import SETTINGS
from banledger.stores.connect import access, is_server

PATIENCE_S = 20.0
"""How long a command may take."""

STORE_S = 3
"""How long a server may take to answer, unless the store's URL says otherwise."""

SERVICE = "banledger"
"""The service's unit."""

JOURNAL, RESTART = f"journalctl -u {SERVICE} -n 20 --no-pager", f"systemctl restart {SERVICE}"

_Read = TypeVar("_Read", Settings, Fail2ban, JailConfiguration)
_Got = TypeVar("_Got")


class Examined:
    """A machine as the checks see it. flags: of the settings. now: UTC epoch seconds.

    root: whether we may see everything. ours: the words that run this banledger, for remedies.
    """

    def __init__(self, machine: Machine, flags: Mapping[str, str | None], now: float) -> None:
        self.machine = machine
        self.now = now
        self.root = os.geteuid() == 0
        self._flags = dict(flags)
        here = Path(sys.prefix).resolve() == Path(HOME)
        self.ours = "banledger" if here else shlex.join([sys.executable, "-m", "banledger"])

    @cached_property
    def is_set_up(self) -> bool:
        """Whether anything is here that a setup makes, or somebody by hand. A package alone makes less."""
        machine, places = self.machine, [self.machine.action_file, self.machine.jail_file, SETTINGS]
        if machine.packaged:
            running = self.unit.get("UnitFileState") == "enabled" or self.unit.get("ActiveState") == "active"
        else:
            running = self.unit.get("LoadState") == "loaded"
            places.append(HOME)
        return running or any(machine.place(one).exists() for one in places)

    @property
    def broken(self) -> str:
        """Why fail2ban can't start with its configuration, if setup can mend that; empty: nothing is known."""
        found = self.configuration
        return "" if isinstance(found, BanledgerError) else "; ".join(found.broken().values())

    def setup(self, *words: str) -> str:
        """The command that sets up this machine again; one that works where fail2ban can't start."""
        if self.broken and "--mend" not in words:
            words = (*words, "--mend")
        root = [] if self.machine.whole else ["--root", str(self.machine.root)]
        config = [] if self.machine.config == FAIL2BAN else ["--fail2ban-config", self.machine.config]
        return f"{self.ours} {shlex.join(['setup', '--yes', *words, *root, *config])}"

    def make_program(self) -> str:
        """The command that makes the service's program again, by the package if that made it."""
        return f"/usr/lib/banledger/make-program && {RESTART}" if self.machine.packaged else self.setup()

    @property
    def settings_file(self) -> Path:
        """The settings file that the flags or the environment name, or the machine's."""
        named = self._flags.get("config") or os.environ.get(settings.CONFIG_VARIABLE)
        return Path(named) if named else self.machine.place(SETTINGS)

    @cached_property
    def settings(self) -> Settings | BanledgerError:
        """The settings in force, or what is wrong with them."""
        flags = self._flags
        if not flags.get("config") and not self.machine.whole and self.settings_file.exists():
            flags = flags | {"config": str(self.settings_file)}
        try:
            chosen = settings.load(flags)
        except BanledgerError as error:
            return error
        if self.machine.whole:
            return chosen
        default = Settings()
        return replace(
            chosen,
            store=str(self.machine.place(chosen.store)) if chosen.store == default.store else chosen.store,
            spool=str(self.machine.place(chosen.spool)) if chosen.spool == default.spool else chosen.spool,
        )

    @property
    def chosen(self) -> Settings:
        """The settings in force. Raises BanledgerError."""
        return _or_raise(self.settings)

    @property
    def spool(self) -> Path:
        """The spool. Raises BanledgerError."""
        return Path(self.chosen.spool)

    @cached_property
    def fail2ban(self) -> Fail2ban | BanledgerError:
        """Its fail2ban, or why there is none."""
        try:
            return self.machine.fail2ban(PATIENCE_S)
        except BanledgerError as error:
            return error

    @cached_property
    def configuration(self) -> JailConfiguration | BanledgerError:
        """What its fail2ban reads, or why it can't."""
        try:
            return _or_raise(self.fail2ban).read()
        except BanledgerError as error:
            return error

    @property
    def jails(self) -> JailConfiguration:
        """What its fail2ban reads. Raises BanledgerError."""
        return _or_raise(self.configuration)

    @cached_property
    def server(self) -> RunningServer:
        """The running fail2ban."""
        return self.ask_server()

    def ask_server(self) -> RunningServer:
        """Ask the running fail2ban again."""
        if isinstance(self.fail2ban, BanledgerError):
            return RunningServer(why=str(self.fail2ban))
        return self.fail2ban.server()

    @contextmanager
    def ledger(self) -> Iterator[LedgerReader]:
        """The ledger, to read. Raises BanledgerError."""
        with closing(open_to_read(self.timed_store, self.chosen.prefix, access(self.chosen))) as reader:
            yield reader

    @property
    def timed_store(self) -> str:
        """The store, whose server must answer soon. Raises BanledgerError."""
        store = self.chosen.store
        if not is_server(store) or "timeout=" in store:
            return store
        return f"{store}{'&' if '?' in store else '?'}timeout={STORE_S}"

    @cached_property
    def unit(self) -> Mapping[str, str]:
        """What systemd says of the service; empty without systemd."""
        return self.unit_of(SERVICE)

    def unit_of(self, name: str) -> Mapping[str, str]:
        """What systemd says of a unit; empty without systemd."""
        if not self.machine.systemd:
            return {}
        said = self.machine.systemctl("show", name, longest_s=PATIENCE_S)
        return dict(line.partition("=")[::2] for line in said.out.splitlines() if "=" in line)

    def started(self, unit: str) -> float:
        """When a unit's main process started, UTC epoch seconds; 0: it doesn't run, or there is no systemd."""
        facts = self.unit_of(unit)
        since_boot = facts.get("ExecMainStartTimestampMonotonic", "")
        if facts.get("ActiveState") != "active" or not since_boot.isdecimal():
            return 0.0
        return time.time() - (time.monotonic() - int(since_boot) / 1e6)

    def journal(self, unit: str, lines: int) -> list[str]:
        """The last messages of a unit in systemd's journal."""
        return self.run("journalctl", "--no-pager", "-q", "-o", "cat", "-n", str(lines), "-u", unit).out.splitlines()

    def run_file(self, path: Path, *words: str) -> Said:
        """Run a program at a place; one that can't be run fails."""
        try:
            return run([str(path), *words], longest_s=PATIENCE_S)
        except BanledgerError as error:
            return Said(126, "", str(error))

    def run(self, name: str, *words: str) -> Said:
        """Run a command of the system; one that isn't there says nothing."""
        path = system_command(name)
        return run([path, *words], longest_s=PATIENCE_S) if path else Said(127, "", f"there is no {name}")


def _or_raise(found: _Read | BanledgerError) -> _Read:
    if isinstance(found, BanledgerError):
        raise found
    return found


def tried(look: Callable[[], _Got], instead: _Got) -> _Got:
    """What is found by looking, or something instead where it can't be read."""
    try:
        return look()
    except (BanledgerError, OSError, ValueError):
        return instead
