"""`banledger setup`."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from banledger.cli.options import machine_options
from banledger.errors import BanledgerError, QuestionError
from banledger.report.formats.escape import visible

if TYPE_CHECKING:
    from banledger.setup.jails import JailWork
    from banledger.setup.machine import Machine
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
    "--import/--no-import",
    "past",
    default=None,
    help="Import this machine's past afterwards: fail2ban's logs, database, journal. [default: where systemd is]",
)
@click.option("--fail2ban-client", metavar="FILE", default="", help="Its fail2ban-client, where it is not in /usr.")
@click.option("--without-fail2ban", is_flag=True, help="Leave fail2ban alone: it runs in a container, for example.")
@click.option("--undo", is_flag=True, help="Remove banledger: make every file as it was. The ledger stays.")
@click.option("--purge", is_flag=True, help="With --undo: remove the ledger, the spool and the user too.")
@click.option(
    "--keep-mended", is_flag=True, help="With --undo: what --mend did for fail2ban stays, so that it can start."
)
@machine_options
def setup(root: Path, fail2ban_config: str, fail2ban_client: str, undo: bool, purge: bool, **flags: Any) -> None:
    """Put banledger on this machine: shows a plan, asks, then does it.

    Copies the program to /opt/banledger, creates the service's user, the spool and the service, and adds the action to
    every jail of fail2ban, beside the actions that the jail has. fail2ban is restarted; if it doesn't run afterwards,
    its configuration is put back. Then it waits until the start of the jails is in the ledger, imports what fail2ban's
    logs and database tell of the past, and shows the report. Needs root.

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
    machine = Machine(root.resolve(), fail2ban_config, fail2ban_client)
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
    from banledger.setup.plan import steps
    from banledger.setup.program import Program
    from banledger.setup.store_choice import choose

    store = choose(machine, flags["store"], flags["password_file"])
    program = Program(machine)
    program.check()
    work = None if flags["without_fail2ban"] else _jail_work(machine, flags)
    plan = [*steps(machine, program, store), *(_jail_steps(machine, work, flags["past"]) if work else ())]
    done = [step.done() for step in plan]
    for step, is_done in zip(plan, done, strict=True):
        _say(f"{'done ' if is_done else 'to do'}  {step.title}")
    if all(done) or flags["dry_run"]:
        _say("nothing to do" if all(done) else "nothing was changed")
    else:
        _ask(yes=flags["yes"])
        with machine.changes.journal.locked():
            _do(plan, done)
    if not flags["dry_run"]:
        _conclude(machine, None if work else flags["server"] or machine.label())


def _jail_work(machine: "Machine", flags: Mapping[str, Any]) -> "JailWork":
    """What is to be done in fail2ban; says what was found."""
    from banledger.setup.jails import JailWork

    work = JailWork(machine, machine.fail2ban())
    work.decide(flags["server"], flags["jails"], mend=flags["mend"])
    _describe(machine, work, flags["store"])
    return work


def _jail_steps(machine: "Machine", work: "JailWork", past: bool | None) -> "list[SetupStep]":
    """past: whether to import it, None: where a service records it."""
    from banledger.setup.past import Past
    from banledger.setup.plan import jail_steps
    from banledger.setup.program import COMMAND

    if not (machine.systemd if past is None else past):
        return jail_steps(machine, work, None)
    return jail_steps(machine, work, Past(machine, work, machine.place(COMMAND)))


def _ask(*, yes: bool) -> None:
    agreed = yes
    with suppress(click.Abort):  # Ctrl-C, or nobody to answer
        agreed = yes or click.confirm("Do this?", err=True)
    if not agreed:
        _say("nothing was changed")
        raise click.Abort


def _do(plan: "Sequence[SetupStep]", done: Sequence[bool]) -> None:
    for step, was_done in zip(plan, done, strict=True):
        if not step.done():
            step.do()
        elif was_done:
            continue
        _say(f"did    {step.title}")


def _describe(machine: "Machine", work: "JailWork", store: str | None) -> None:
    """Say what was found on the machine, and what is strange about it."""
    import platform

    from banledger.settings import without_password
    from banledger.setup.store_choice import installed_settings

    recorded, jails = work.with_ours(), [jail.name for jail in work.now.enabled()]
    _say(f"fail2ban {work.now.version} {work.state()}; its configuration is {machine.config}")
    _say(f"its jails: {', '.join(jails) or 'none is enabled'}; recorded now: {', '.join(recorded) or 'none'}")
    _say(
        f"Python {platform.python_version()}; the store: {without_password(store or installed_settings(machine).store)}"
    )
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
    if warning := undo.warning():
        _say(f"warning: fail2ban could not start again then: {warning} (--undo --keep-mended leaves what --mend did)")
    if flags["dry_run"]:
        _say("nothing was changed")
        return
    _ask(yes=flags["yes"])
    with machine.changes.journal.locked():
        undo.run()
    _say("banledger is removed" + ("; banledger's data stays (--undo --purge removes it)" if undo.kept else ""))


def _conclude(machine: "Machine", label: str | None) -> None:
    """What comes after a setup: the report, or how to go on. label: for a fail2ban that setup doesn't see."""
    from banledger.setup.program import COMMAND

    if label is not None:
        _tell_of_container(machine, label)
    if machine.systemd:
        _run(machine, "report", "--since", "all")
        return
    _say("there is no systemd here. Run the recorder by a service manager of your own:")
    _say(f"  runuser -u banledger -- {machine.place(COMMAND)} record")
    if label is None and not machine.fail2ban().alive():
        _say("fail2ban doesn't run: start it, and it records")


def _tell_of_container(machine: "Machine", label: str) -> None:
    """How to connect a fail2ban that runs elsewhere on this machine, as in a container."""
    from banledger.setup.jails import SPOOL
    from banledger.setup.program import COMMAND

    _say("fail2ban was left alone. To have its bans recorded:")
    _say(f"  give it the directory {SPOOL}, to read and to write (in a container: mount it at the same path)")
    _say(f"  copy the action to the directory action.d of its configuration: {machine.place(COMMAND)} action path")
    _say(f'  add the line   banledger.py[server="{label}"]   to the action of its jails, and restart it')


def _run(machine: "Machine", *words: str) -> None:
    """Run banledger as it is installed; its output is ours."""
    import subprocess
    import sys

    from banledger.setup.program import COMMAND

    sys.stdout.flush()
    subprocess.run([str(machine.place(COMMAND)), *words], check=False, cwd="/")


def _say(line: str) -> None:
    click.echo(visible(line))
