"""The step that adds our action to fail2ban's jails, and proves that fail2ban lives with it."""

import time
from collections.abc import Sequence
from importlib.resources import files

from banledger.errors import BanledgerError
from banledger.setup.configuration import ACTION, JailConfiguration
from banledger.setup.fail2ban import Fail2ban, JailPlan
from banledger.setup.jail_file import Wish
from banledger.setup.journal import seen
from banledger.setup.machine import Machine
from banledger.setup.restart import PendingRestart, Restart

SPOOL = "/var/spool/banledger"
_MEND = "banledger setup --mend"


class JailWork:
    """The files in fail2ban's configuration, and the restart that they need. `decide` comes first.

    After it: options: of the action. mended: jails that are to read systemd's journal. fault: what fail2ban-client -t
    says of a configuration that the server lives with nevertheless. restarted: when `do` restarted it, UTC epoch.
    """

    def __init__(self, machine: Machine, fail2ban: Fail2ban) -> None:
        self._machine, self._fail2ban = machine, fail2ban
        self._changes = machine.changes
        self._restart = PendingRestart(machine.changes, "fail2ban")
        self.jail_file, self.action_file = machine.jail_file, machine.action_file
        self._action = (files("banledger.action") / f"{ACTION}.py").read_bytes()
        self._now = fail2ban.read()
        self._plan: JailPlan | None = None
        self._jails: tuple[str, ...] = ()
        self.options: dict[str, str] = {}
        self.mended: tuple[str, ...] = ()
        self.fault = ""
        self.restarted = 0.0

    @property
    def now(self) -> JailConfiguration:
        """The configuration as it is now."""
        return self._now

    def decide(self, server: str | None, jails: tuple[str, ...], *, mend: bool) -> None:
        """Work out our file. Raises BanledgerError if fail2ban would refuse it, or can't start anyway."""
        self.options = options = self._options(server)
        self._jails = jails
        strangers = set(jails) - {jail.name for jail in self._now.jails}
        if strangers:
            raise BanledgerError(f"fail2ban has no jail {', '.join(sorted(strangers))}", hint="fail2ban-client status")
        plan = self._fail2ban.plan(Wish(options, jails))
        broken = plan.before.broken()
        mended = {jail.name for jail in self._now.enabled() if not jail.missing_log and jail.name in broken}
        if set(broken) - mended and not mend:
            raise BanledgerError(f"fail2ban can't start: {'; '.join(broken.values())}", hint=_hint(broken))
        blind = [jail.name for jail in plan.before.enabled() if jail.reads_journal() or jail.missing_log]
        if blind and not plan.before.journal and (broken or not self._fail2ban.alive()):
            what = f"{', '.join(blind)} can't read systemd's journal: fail2ban's Python has no module for it"
            raise BanledgerError(what, hint="apt-get install python3-systemd, or install rsyslog instead")
        self.mended = tuple(broken)
        self._plan = self._fail2ban.plan(Wish(options, jails, self.mended)) if broken else plan
        if refusal := self._fail2ban.refusal(self._plan.text):
            if not (self._fail2ban.alive() and self._fail2ban.refusal(None)):
                raise BanledgerError(f"fail2ban refuses its configuration: {refusal}", hint="fail2ban-client -t")
            self.fault = refusal

    def state(self) -> str:
        """How the server runs, in words."""
        if not self._fail2ban.alive():
            return "does not run"
        return "runs as a service of systemd" if self._machine.manages_fail2ban else "runs"

    def log_target(self) -> str:
        """Where fail2ban logs to; empty: nobody can tell."""
        return self._fail2ban.server().log

    def with_ours(self) -> list[str]:
        """The enabled jails that have our action in the configuration."""
        return [jail.name for jail in self._now.enabled() if ACTION in jail.actions()]

    def recorded(self) -> list[str]:
        """The jails that run and are to have our action."""
        return [name for name in self._decided.before.running() if not self._jails or name in self._jails]

    def done(self) -> bool:
        """Whether the files are there, and the running server has read them."""
        if self._restart.known() or not self._has_files():
            return False
        if not self._fail2ban.alive():
            return not self._machine.manages_fail2ban
        return not self._without_ours()

    def do(self) -> None:
        """Write the files, restart, look; go back if fail2ban doesn't live. Raises BanledgerError."""
        paths = (self.action_file, self.jail_file)
        known = [seen(path, self._machine.place(path)) for path in paths]
        restart = self._restart.begin(Restart(self._fail2ban.alive(), known))
        self._machine.remember_fail2ban()
        cache = f"{self._machine.config}/action.d/__pycache__"
        for path in (cache, *paths):
            self._changes.remember(path)
        self._changes.write(self.action_file, self._action)
        self._changes.write(self.jail_file, self._decided.text.encode())
        if trouble := self.restart_and_look(restart.alive):
            after = self._go_back(restart)
            dead = "" if restart.alive else " (it did not run before, either)"
            raise BanledgerError(
                "fail2ban does not run with banledger's action, and has its old configuration again"
                f"{dead}: {trouble}{after}",
                hint="see fail2ban's log; banledger setup --undo removes the rest",
            )
        self._restart.end()

    def restart_and_look(self, alive: bool) -> str:
        """Restart fail2ban; return what is wrong then, or nothing."""
        self.restarted = time.time()
        if trouble := restart(self._machine, self._fail2ban, alive=alive):
            return trouble
        if not alive and not self._machine.manages_fail2ban:
            return ""
        if trouble := self._fail2ban.wait_until_alive(self._decided.before.running()):
            return trouble
        missing = self._without_ours()
        return f"these jails don't have the action: {', '.join(missing)}" if missing else ""

    @property
    def _decided(self) -> JailPlan:
        assert self._plan is not None, "decide comes first"  # noqa: S101
        return self._plan

    def _options(self, server: str | None) -> dict[str, str]:
        """The action's options: those it has, with another label or spool if need be."""
        known = self._now.options()
        options = {"server": server or known.get("server") or self._machine.label()} | {
            name: value for name, value in known.items() if name != "server"
        }
        if not self._machine.whole:
            options["spool"] = str(self._machine.place(SPOOL))
        return options

    def _has_files(self) -> bool:
        return self._changes.has_file(self.action_file, self._action) and self._changes.has_file(
            self.jail_file, self._decided.text.encode()
        )

    def _without_ours(self) -> list[str]:
        return [name for name in self.recorded() if ACTION not in self._fail2ban.actions(name)]

    def _go_back(self, restarted: Restart) -> str:
        """Put the files back as they were, and restart; return what is wrong even then."""
        for entry in reversed(restarted.before):
            self._changes.restore(entry, purge=False)
        trouble = ""
        if restarted.alive:
            trouble = restart(self._machine, self._fail2ban, alive=True) or self._fail2ban.wait_until_alive(())
        self._restart.end()
        return f"; and then: {trouble}" if trouble else ""


def restart(machine: Machine, fail2ban: Fail2ban, *, alive: bool) -> str:
    """Restart the server, or its jails where no systemd runs it; return why that failed, or nothing.

    A reload alone would not do: fail2ban gives no new action to a running jail. alive: whether it ran before setup
    changed anything. One that didn't is started by systemd only: elsewhere nobody knows how.
    """
    if machine.manages_fail2ban:
        said = machine.systemctl("restart", "fail2ban")
    elif not alive:
        return ""
    else:
        said = fail2ban.ask("reload", "--restart") if fail2ban.alive() else fail2ban.ask("-x", "start")
    return "" if said.code == 0 else said.reason()


def _hint(broken: Sequence[str] | dict[str, str]) -> str:
    names = ", ".join(broken)
    return f"run {_MEND}: then {names} reads systemd's journal (backend = systemd); or install rsyslog"
