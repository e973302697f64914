"""Take banledger off a machine: fail2ban first, then the service, then every file as it was before the first setup.

Undoing may be killed and run again: places are put back from the journal, which is given up at the end.
"""

from collections.abc import Callable
from contextlib import suppress

from banledger.errors import BanledgerError, MissingFail2ban
from banledger.setup.changes import ROOT, write_whole
from banledger.setup.command import run, system_command
from banledger.setup.configuration import ACTION, JailConfiguration
from banledger.setup.fail2ban import Fail2ban
from banledger.setup.jails import restart
from banledger.setup.journal import Before
from banledger.setup.machine import SPOOL_GROUP, USER, Machine
from banledger.setup.mirror import mirrored
from banledger.setup.plan import WANTED
from banledger.setup.program import HOME

Tell = Callable[[str], None]
_MENDED = "zz-journal.local"


class Undo:
    """What an undo does. tell: is given a line for each thing done. keep_mended: keep what `--mend` did."""

    def __init__(self, machine: Machine, tell: Tell, *, purge: bool, keep_mended: bool = False) -> None:
        self._machine, self._tell, self._purge, self._keep_mended = machine, tell, purge, keep_mended
        self._journal = machine.changes.journal
        self._jail_file, self._action_file = machine.jail_file, machine.action_file

    @property
    def lines(self) -> list[str]:
        """What it will do, for a person."""
        found = [entry for entry in self._journal.entries if self._ours(entry) and (self._purge or not entry.data)]
        return [_line(entry) for entry in reversed(found)]

    @property
    def kept(self) -> list[str]:
        """The data that stays."""
        kept = [entry for entry in self._journal.entries if entry.data and not self._purge]
        users = [f"the user {entry.path}" for entry in kept if entry.kind == "user"]
        return users + [
            entry.path for entry in kept if entry.kind != "user" and self._machine.place(entry.path).is_dir()
        ]

    def warning(self) -> str:
        """Why fail2ban could not start again afterwards; empty: it could, or nobody can tell."""
        entry = self._journal.entry(self._jail_file)
        if entry is None or self._keep_mended:
            return ""
        try:
            fail2ban = self._machine.fail2ban()
            return "; ".join(_read_with(fail2ban, _text(entry)).broken().values())
        except BanledgerError:
            return ""

    def run(self) -> None:
        """Undo everything. Raises BanledgerError before anything is changed if fail2ban would not start without us."""
        self._leave_fail2ban()
        self._leave_systemd()
        left = [entry for entry in reversed(self._journal.entries) if not self._put_back(entry)]
        if self._machine.systemd:
            self._machine.systemctl("daemon-reload")
        self._journal.keep([entry for entry in reversed(left) if entry.data])

    def _ours(self, entry: Before) -> bool:
        """Whether it is not, by now, the program of a package."""
        return not (entry.path == HOME and self._machine.packaged)

    def _put_back(self, entry: Before) -> bool:
        """Put one thing back; return whether it is as it was."""
        if not self._ours(entry):
            return True
        if entry.kind != "user":
            return self._machine.changes.restore(entry, purge=self._purge)
        if self._purge:
            _remove_accounts(self._machine)
        return self._purge

    # fail2ban

    def _leave_fail2ban(self) -> None:
        """Remove the action from the jails, and check that fail2ban runs without it, before its file is removed."""
        entry = self._journal.entry(self._jail_file)
        if entry is None:
            return
        try:
            fail2ban = self._machine.fail2ban()
        except MissingFail2ban:
            return  # it was removed since: its files are put back as they were
        alive = fail2ban.alive()
        old = _text(entry)
        before = self._check(fail2ban, old)
        self._machine.changes.restore(entry, purge=self._purge)
        broken = before.broken()
        if broken and self._keep_mended:
            self._mend(list(broken))
            broken = {}
        self._restart(fail2ban, before, alive, list(broken.values()))
        self._forget_compiled()

    def _check(self, fail2ban: Fail2ban, old: str | None) -> JailConfiguration:
        """What fail2ban will read. Raises BanledgerError if that names an action that will be gone."""
        before = _read_with(fail2ban, old)
        action = self._journal.entry(self._action_file)
        naming = [jail.name for jail in before.enabled() if ACTION in jail.actions()]
        if naming and action is not None and action.kind == "absent":
            raise BanledgerError(
                f"other files of fail2ban name banledger's action, in {', '.join(naming)}",
                hint=f"remove it there first: grep -r 'banledger\\.py' {fail2ban.config}",
            )
        place = self._machine.place(self._jail_file)
        now = place.read_text(encoding="utf-8", errors="replace") if place.exists() else None
        if not before.broken() and (why := fail2ban.refusal(old)) and not fail2ban.refusal(now):
            raise BanledgerError(f"fail2ban refuses its configuration without banledger: {why}", hint="mend it first")
        return before

    def _mend(self, names: list[str]) -> None:
        """Let jails without a log go on reading the journal, by a file that is the operator's from now on."""
        path = f"{self._machine.config}/jail.d/{_MENDED}"
        text = "".join(f"[{name}]\nbackend = systemd\n" for name in names)
        write_whole(self._machine.place(path), text.encode(), 0o644, ROOT)
        self._tell(f"stays  {path}: without it fail2ban can't start, as before the setup")

    def _restart(self, fail2ban: Fail2ban, before: JailConfiguration, alive: bool, broken: list[str]) -> None:
        """Restart it, and check that it runs without us. One that could not start again is left running."""
        jails = before.running()
        had = {jail.name for jail in before.enabled() if ACTION in jail.actions()}
        if broken and alive:
            for name in jails:
                fail2ban.ask("set", name, "delaction", ACTION)
            self._tell("fail2ban runs without banledger")
        if broken:
            self._tell(
                f"warning: fail2ban can't start again, as before the setup: {'; '.join(broken)}. "
                "Let that jail read the journal (backend = systemd), or install rsyslog"
            )
            return
        if not alive and not self._failed():
            self._tell("fail2ban doesn't run")
            return
        trouble = restart(self._machine, fail2ban, alive=alive) or fail2ban.wait_until_alive(jails)
        if not trouble and (still := [name for name in jails if name not in had and ACTION in fail2ban.actions(name)]):
            trouble = f"these jails still have the action: {', '.join(still)}"
        if trouble:
            raise BanledgerError(f"fail2ban without banledger: {trouble}", hint="mend it, and undo again")
        self._tell("fail2ban runs without banledger")

    def _failed(self) -> bool:
        """Whether systemd runs fail2ban, and it died."""
        return self._machine.manages_fail2ban and self._machine.systemctl("is-failed", "--quiet", "fail2ban").code == 0

    def _forget_compiled(self) -> None:
        """Remove what Python compiled of the action."""
        cache = self._machine.place(f"{self._machine.config}/action.d/__pycache__")
        for path in cache.glob(f"{ACTION}.*") if cache.is_dir() else ():
            path.unlink()

    def _leave_systemd(self) -> None:
        if self._machine.systemd and self._journal.entry(WANTED) is not None:
            self._machine.systemctl("stop", "banledger")
            self._tell("the service is stopped")


def _read_with(fail2ban: Fail2ban, old: str | None) -> JailConfiguration:
    """What fail2ban reads with the old text of our file, None: without it. Raises BanledgerError."""
    with mirrored(fail2ban.config) as mirror:
        mirror.put(old)
        return fail2ban.read(mirror.directory)


def _text(entry: Before) -> str | None:
    """What a file was, None: there was none."""
    return entry.content.decode("utf-8", "replace") if entry.kind == "file" else None


def _line(entry: Before) -> str:
    if entry.kind == "user":
        return f"remove the user {entry.path}"
    words = {"absent": "remove", "file": "put back", "link": "put back", "directory": "put back", "moved": "put back"}
    return f"{words[entry.kind]} {entry.path}"


def _remove_accounts(machine: Machine) -> None:
    """Remove the user and both groups. A group that others have as theirs stays."""
    prefix = [] if machine.whole else ["--prefix", str(machine.root)]
    for command, name, number in (
        ("userdel", USER, machine.user),
        ("groupdel", USER, machine.group),
        ("groupdel", SPOOL_GROUP, machine.group),
    ):
        if number(name) is not None and (path := system_command(command)):
            with suppress(BanledgerError):
                run([path, *prefix, name])
