"""The plan of a setup: its steps in their order. fail2ban comes when all that it leads to is there."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import as_file, files
from pathlib import Path

from banledger.errors import BanledgerError
from banledger.report.formats.escape import many
from banledger.setup.changes import Owner
from banledger.setup.command import run, system_command
from banledger.setup.jails import SPOOL, JailWork
from banledger.setup.journal import Before
from banledger.setup.machine import SPOOL_GROUP, SPOOL_MODE, STATE_DIRECTORY, UNIT, USER, Machine
from banledger.setup.package import handed_over
from banledger.setup.past import Past
from banledger.setup.program import COMMAND, HOME, Program
from banledger.setup.proof import Proof
from banledger.setup.restart import PendingRestart, Restart
from banledger.setup.step import SetupStep, StepWork
from banledger.setup.store_choice import SETTINGS, StoreChoice, installed_settings

PASSWORD = "/etc/banledger/password"  # noqa: S105
LINK = "/usr/local/bin/banledger"
WANTED = "/etc/systemd/system/multi-user.target.wants/banledger.service"
_SYSUSERS, TMPFILES = "/etc/sysusers.d/banledger.conf", "/etc/tmpfiles.d/banledger.conf"
_SHARE = "/usr/local/share"
_ACCOUNTS_LOCK = "/etc/.pwd.lock"


def steps(machine: Machine, program: Program, choice: StoreChoice) -> list[SetupStep]:
    """The steps up to the running service, in order."""
    service = Service(machine)
    return [
        SetupStep(f"copy banledger to {HOME}", program.made, service.renewing(program.make)),
        *(handed_over(machine, _placed()) if machine.packaged else _files(machine, service)),
        *_accounts(machine),
        *_directories(machine),
        *_settings(machine, choice, service),
        *([SetupStep("start the service, now and at boot", service.runs, service.start)] if machine.systemd else []),
    ]


def jail_steps(machine: Machine, jails: JailWork, past: Past | None) -> list[SetupStep]:
    """The steps that make fail2ban's bans arrive in the ledger, and those of the past."""
    proof = Proof(
        lambda: installed_settings(machine), jails.options["server"], jails.recorded(), lambda: jails.restarted
    )
    proven = [SetupStep("see in the ledger that these jails are recorded", proof.given, proof.wait)]
    return [
        SetupStep(f"add the action to {_listed(jails)}, and restart fail2ban", jails.done, jails.do),
        *(proven if machine.manages_fail2ban else []),
        *([SetupStep(past.title, past.imported, lambda: past.do(machine.place(SPOOL)))] if past is not None else []),
    ]


class Service:
    """The recorder as a unit of systemd."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._restart = PendingRestart(machine.changes, "service")
        self._unit = machine.unit

    def renewing(self, do: StepWork) -> StepWork:
        """The work of a step after which the service must start again."""

        def renew() -> None:
            self._restart.begin(Restart(alive=True))
            do()

        return renew

    def runs(self) -> bool:
        """Whether it runs what is installed, and will at boot."""
        enabled = self._machine.changes.has_link(WANTED, self._unit)
        active = self._machine.systemctl("is-active", "--quiet", "banledger").code == 0
        return enabled and active and self._restart.known() is None

    def start(self) -> None:
        """Enable it, and start it again. Raises BanledgerError."""
        self._machine.changes.link(WANTED, self._unit)
        self._machine.tell_systemd("daemon-reload")
        self._machine.tell_systemd("restart", "banledger")
        self._restart.end()


def _listed(jails: JailWork) -> str:
    names = jails.recorded()
    return f"{many(len(names), 'jail')} ({', '.join(names)})" if names else "fail2ban's jails (none is enabled now)"


def _files(machine: Machine, service: Service) -> Iterator[SetupStep]:
    changes = machine.changes
    target = str(machine.place(COMMAND))
    yield SetupStep(f"link {LINK} to it", lambda: changes.has_link(LINK, target), lambda: changes.link(LINK, target))
    for path in (UNIT, _SYSUSERS, TMPFILES):
        content = (files("banledger") / "packaging/root" / path.lstrip("/")).read_bytes()
        yield _file(machine, service, path, content)
    yield SetupStep(
        f"write the man pages and completions to {_SHARE}",
        lambda: all(changes.has_file(*page) for page in _pages()),
        lambda: _write_pages(machine),
    )


def _pages() -> Iterator[tuple[str, bytes]]:
    """The man pages and the completions: each place, and what is there."""
    with as_file(files("banledger") / "packaging/share") as share:
        for path in sorted(filter(Path.is_file, share.rglob("*"))):
            yield f"{_SHARE}/{path.relative_to(share)}", path.read_bytes()


def _write_pages(machine: Machine) -> None:
    for page in _pages():
        if not machine.changes.has_file(*page):
            machine.changes.write(*page)


def _placed() -> list[str]:
    """Every place of `_files`."""
    return [LINK, UNIT, _SYSUSERS, TMPFILES, *(path for path, _ in _pages())]


def _file(machine: Machine, service: Service, path: str, content: bytes) -> SetupStep:
    return SetupStep(
        f"write {path}",
        lambda: machine.changes.has_file(path, content),
        service.renewing(lambda: machine.changes.write(path, content)),
    )


def _accounts(machine: Machine) -> Iterator[SetupStep]:
    def there() -> bool:
        return None not in (machine.user(USER), machine.group(USER), machine.group(SPOOL_GROUP))

    def make() -> None:
        if machine.user(USER) is None:
            if not machine.place(_ACCOUNTS_LOCK).exists():
                machine.changes.journal.remember(Before(_ACCOUNTS_LOCK, "absent", data=True))
            machine.changes.journal.remember(Before(USER, "user", data=True))
        _make_accounts(machine)
        if not there():
            raise BanledgerError(f"the user {USER} could not be created", hint="systemd-sysusers banledger.conf")

    yield SetupStep(f"create the user {USER} and the group {SPOOL_GROUP}", there, make)


def _make_accounts(machine: Machine) -> None:
    """By systemd-sysusers, or by useradd where there is none."""
    root = [] if machine.whole else [f"--root={machine.root}"]
    if command := system_command("systemd-sysusers"):
        run([command, *root, "banledger.conf"])
        return
    prefix = [] if machine.whole else ["--prefix", str(machine.root)]
    shell = ["--home-dir", STATE_DIRECTORY, "--no-create-home", "--shell", "/usr/sbin/nologin"]
    run([system_command("useradd"), *prefix, "--system", "--user-group", *shell, USER])
    run([system_command("groupadd"), *prefix, "--system", SPOOL_GROUP])
    run([system_command("usermod"), *prefix, "--append", "--groups", SPOOL_GROUP, USER])


def _directories(machine: Machine) -> Iterator[SetupStep]:
    for path, mode, user, group in ((SPOOL, SPOOL_MODE, "root", SPOOL_GROUP), (STATE_DIRECTORY, 0o750, USER, USER)):
        yield _directory(machine, path, mode, user, group)


def _directory(machine: Machine, path: str, mode: int, user: str, group: str) -> SetupStep:
    return SetupStep(
        f"create {path}",
        lambda: machine.changes.has_directory(path, mode, machine.owner(user, group)),
        lambda: machine.changes.directory(path, mode, machine.owner(user, group), data=True),
    )


def _settings(machine: Machine, choice: StoreChoice, service: Service) -> Iterator[SetupStep]:
    if not choice.store:
        return
    changes = machine.changes
    wanted = {"store": choice.store} | ({"password_file": PASSWORD} if choice.password else {})
    secret = choice.password.encode() + b"\n"

    def owner() -> Owner:
        return machine.owner("root", USER)

    def so() -> bool:
        text = _text(machine)
        known = tomllib.loads(text)
        same = all(known.get(name) == value for name, value in wanted.items()) and with_settings(text, wanted) == text
        return same and (not choice.password or changes.has_file(PASSWORD, secret, 0o640, owner()))

    def write() -> None:
        if not machine.place("/etc/banledger").exists():
            changes.directory("/etc/banledger", 0o750, owner())
        if choice.password:
            changes.write(PASSWORD, secret, 0o640, owner())
        changes.write(SETTINGS, with_settings(_text(machine), wanted).encode(), 0o640, owner())

    yield SetupStep(f"write the store to {SETTINGS}", so, service.renewing(write))


def _text(machine: Machine) -> str:
    place = machine.place(SETTINGS)
    return place.read_text(encoding="utf-8") if place.exists() else ""


def with_settings(text: str, values: Mapping[str, str]) -> str:
    """A settings file that begins with these values; other lines are as they were. A new password replaces the old."""
    replaced = {*values, *(("password",) if "password_file" in values else ())}
    lines = [line for line in text.splitlines(keepends=True) if line.partition("=")[0].strip() not in replaced]
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()) + "".join(lines)
