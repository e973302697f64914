"""`banledger setup`."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from banledger.errors import BanledgerError, LedgerMissing, QuestionError, SettingsError
from banledger.report.formats.escape import visible

if TYPE_CHECKING:
    from banledger.setup.jails import JailWork
    from banledger.setup.machine import Machine
    from banledger.setup.plan import StoreChoice
    from banledger.setup.step import SetupStep


@click.command(name="setup")
@click.option("--dry-run", is_flag=True, help="Only show the plan; change nothing.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--server", metavar="LABEL", help="This server's label in the ledger. [default: its name]")
@click.option("--jail", "jails", metavar="NAME", multiple=True, help="Record only this jail; may be repeated.")
@click.option("--store", metavar="PATH|URL", help="The store of the ledger: the path of an embedded ledger, or a URL.")
@click.option("--password-file", metavar="FILE", help="A file with the password for the store, and nothing else.")
@click.option("--mend", is_flag=True, help="Let jails without a log file read systemd's journal.")
@click.option(
    "--import", "past", is_flag=True, help="Import this machine's past afterwards: fail2ban's logs, database."
)
@click.option(
    "--fail2ban-config", metavar="DIR", default="/etc/fail2ban", show_default=True, help="fail2ban's configuration."
)
@click.option("--undo", is_flag=True, help="Remove banledger: make every file as it was. The ledger stays.")
@click.option("--purge", is_flag=True, help="With --undo: remove the ledger, the spool and the user too.")
@click.option(
    "--keep-mended", is_flag=True, help="With --undo: what --mend did for fail2ban stays, so that it can start."
)
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=Path("/"),
    hidden=True,
    help="A directory that stands for /, for tests.",
)
def setup(root: Path, fail2ban_config: str, undo: bool, purge: bool, **flags: Any) -> None:
    """Put banledger on this machine: shows a plan, asks, then does it.

    Copies the program to /opt/banledger, creates the service's user, the spool and the service, and adds the action to
    every jail of fail2ban, beside the actions that the jail has. fail2ban is restarted; if it doesn't run afterwards,
    its configuration is put back. Needs root.

    What is done already is left alone, so it may be run again: after an upgrade of banledger, after an `action` of
    fail2ban was changed, or to finish a setup that was interrupted.

    --undo makes every file as it was before the first setup.

    \b
    Example:
      banledger setup --dry-run
      banledger setup --server web1 --yes
      banledger setup --undo
    """
    from banledger.setup.command import as_root
    from banledger.setup.machine import Machine

    if os.geteuid() != 0:
        raise BanledgerError("setup needs root", hint=as_root())
    _check(flags, undo=undo, purge=purge)
    os.umask(0o022)
    machine = Machine(root.resolve(), fail2ban_config)
    with _translated():
        if undo:
            _undo(machine, flags, purge=purge)
        else:
            _set_up(machine, flags)


def _check(flags: Mapping[str, Any], *, undo: bool, purge: bool) -> None:
    """Refuse flags that don't fit. Raises UsageError, QuestionError."""
    for flag, given in {"--purge": purge, "--keep-mended": flags["keep_mended"]}.items():
        if given and not undo:
            raise click.UsageError(f"{flag} belongs to --undo", click.get_current_context())
    if flags["password_file"] is not None and flags["store"] is None:
        raise click.UsageError("--password-file belongs to --store", click.get_current_context())
    server = flags["server"]
    if server is not None and not (server and server.isprintable()):
        raise QuestionError("a server label is printable text")


@contextmanager
def _translated() -> Iterator[None]:
    """A file that can't be read or changed is an error that the user can mend."""
    try:
        yield
    except OSError as error:
        what = f"{error.filename or 'a file'}: {error.strerror or error}"
        raise BanledgerError(
            f"can't read or change {what}", hint="run it again: it goes on where it stopped"
        ) from error


def _set_up(machine: "Machine", flags: Mapping[str, Any]) -> None:
    from banledger.setup.jails import JailWork
    from banledger.setup.plan import steps
    from banledger.setup.program import Program

    store = _store(machine, flags["store"], flags["password_file"])
    fail2ban = machine.fail2ban()
    work = JailWork(machine, fail2ban)
    work.decide(flags["server"], flags["jails"], mend=flags["mend"])
    program = Program(machine)
    program.check()
    plan = steps(machine, program, work, store)
    done = [step.done() for step in plan]
    _describe(machine, work, "running" if fail2ban.alive() else "not running")
    for step, is_done in zip(plan, done, strict=True):
        _say(f"{'done ' if is_done else 'to do'}  {step.title}")
    if all(done) or flags["dry_run"]:
        _say("nothing to do" if all(done) else "nothing was changed")
    else:
        _ask(yes=flags["yes"])
        with machine.changes.journal.locked():
            _do(plan)
    if not flags["dry_run"]:
        _conclude(machine, past=flags["past"])


def _ask(*, yes: bool) -> None:
    if not yes:
        click.confirm("Do this?", abort=True, err=True)


def _do(plan: "Sequence[SetupStep]") -> None:
    for step in plan:
        if not step.done():
            step.do()
            _say(f"did    {step.title}")


def _describe(machine: "Machine", work: "JailWork", state: str) -> None:
    _say(f"fail2ban {work.now.version} is {state}; its configuration is {machine.config}")
    _say(f"this server's label: {work.options['server']}")
    before = work.now.options().get("server")
    if before not in (None, work.options["server"]):
        _say(f"warning: the label was {before}; bans stay recorded under it")
    if work.fault:
        _say(f"warning: fail2ban-client -t refuses the configuration, with and without banledger: {work.fault}")
    for name in work.mended:
        _say(f"the jail {name} has no log file, and reads systemd's journal")


def _undo(machine: "Machine", flags: Mapping[str, Any], *, purge: bool) -> None:
    from banledger.setup.undo import Undo

    undo = Undo(machine, _say, purge=purge, keep_mended=flags["keep_mended"])
    if not undo.lines:
        machine.changes.journal.keep(machine.changes.journal.entries)  # a killed undo may have left its directory
        _say("nothing to undo: setup has changed nothing here")
        return
    for line in undo.lines:
        _say(f"to do  {line}")
    for path in undo.kept:
        _say(f"stays  {path}")
    if flags["dry_run"]:
        _say("nothing was changed")
        return
    _ask(yes=flags["yes"])
    with machine.changes.journal.locked():
        undo.run()
    _say("banledger is removed" + ("; banledger's data stays (--undo --purge removes it)" if undo.kept else ""))


def _store(machine: "Machine", store: str | None, password_file: str | None) -> "StoreChoice":
    """The store that is asked for, and its password. It is opened first. Raises SettingsError, StoreError."""
    from msgspec.structs import replace

    from banledger import settings
    from banledger.ledger.opening import open_to_read
    from banledger.setup.plan import SETTINGS, STATE_DIRECTORY, StoreChoice
    from banledger.stores.connect import access, is_server

    if store is None:
        return StoreChoice()
    config = machine.place(SETTINGS)
    chosen = settings.load({"store": store, "config": str(config) if config.exists() else None})
    if not is_server(store):
        path = Path(store.removeprefix("sqlite://"))
        if path.parent != Path(STATE_DIRECTORY):
            raise SettingsError(
                f"the service may write to {STATE_DIRECTORY} only, not to {path.parent}",
                hint="run `systemctl edit banledger` for another place, and name it in the settings",
            )
        return StoreChoice(store)
    if password_file is not None:
        chosen = replace(chosen, password="", password_file=password_file)
    credentials = access(chosen)
    with suppress(LedgerMissing):  # the recorder makes it
        open_to_read(chosen.store, chosen.prefix, credentials).close()
    return StoreChoice(store, credentials.password if password_file is not None else "")


def _conclude(machine: "Machine", *, past: bool) -> None:
    """What comes after a setup: the import, the report, or how to go on without systemd."""
    from banledger.setup.program import COMMAND

    if past:
        _import_past(machine)
    if machine.systemd:
        _run(machine, "report")
        return
    _say("there is no systemd here. Run the recorder by a service manager of your own:")
    _say(f"  runuser -u banledger -- {machine.place(COMMAND)} record")
    if not machine.fail2ban().alive():
        _say("fail2ban doesn't run: start it, and it records")


def _import_past(machine: "Machine") -> None:
    """Import fail2ban's logs and its database."""
    from banledger.setup.jails import SPOOL

    configuration = machine.fail2ban().read()
    paths = sorted(map(str, machine.place("/var/log").glob("fail2ban.log*")))
    if configuration.database and Path(configuration.database).is_file():
        paths.append(configuration.database)
    if not paths:
        _say("there is no log of fail2ban to import")
        return
    label = configuration.options().get("server", machine.label())
    _run(machine, "import", *paths, "--server", label, "--spool", str(machine.place(SPOOL)))


def _run(machine: "Machine", *words: str) -> None:
    """Run banledger as it is installed; its output is ours."""
    import subprocess
    import sys

    from banledger.setup.program import COMMAND

    sys.stdout.flush()
    subprocess.run([str(machine.place(COMMAND)), *words], check=False, cwd="/")


def _say(line: str) -> None:
    click.echo(visible(line))
