"""`banledger store`: copy, check and rebuild a whole ledger."""

import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from banledger.cli import session
from banledger.cli.options import store_options
from banledger.cli.progress import ProgressBars
from banledger.cli.store_backup import backup
from banledger.cli.store_ends import engine_of, existing, settings_of, source_end, target_end
from banledger.cli.store_rename import rename_server
from banledger.cli.store_restore import restore
from banledger.cli.usage import Group
from banledger.errors import LedgerFaulty
from banledger.report.formats.escape import many, visible

if TYPE_CHECKING:
    from banledger.ledger.copy import Copied
    from banledger.ledger.rebuild import Rebuilt

_STOP = "stop the recorder, and run"
_NAME_IT = "name one with --store and --prefix, or in the settings"
_NAME_FROM = "name one as FROM, and its prefix with --prefix"


@click.group(name="store", cls=Group)
def store() -> None:
    """Copy a ledger to another store, check it, rebuild it, back it up, rename a server.

    \b
    Example:
      banledger store check
      banledger store copy /var/lib/banledger/ledger.db redis://localhost/0
      banledger store rebuild
      banledger store backup /var/backups/ledger.zst
    """


store.add_command(backup)
store.add_command(restore)
store.add_command(rename_server)


@store.command(name="check", short_help="Check whether the ledger is whole.")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
@store_options
def check(as_json: bool, **flags: str | None) -> None:
    """Check whether the ledger is whole: derive all entries from the bans again and compare.

    Prints the faults, one per line; exit code 9 if there are any. Reads the whole ledger, and of an embedded one every
    page of the file and every index (SQLite's integrity_check). A ban that is recorded during the check may look like a
    fault: to be sure, stop the recorder (bans wait in the spool).

    \b
    Example:
      banledger store check
      banledger store check --json | jq -r '.faults[].key'
    """
    with existing(_NAME_IT), session.ledger(flags) as reader, ProgressBars() as progress:
        from banledger.ledger.check import check as faults

        found = list(faults(reader.store(), reader.keys, time.time(), progress=progress))
    if as_json:
        import json

        listed = [{"key": fault.key, "what": fault.what} for fault in found]
        click.echo(json.dumps({"whole": not found, "faults": listed}, indent=2))
    else:
        _print(f"{fault.key} {fault.what}" for fault in found)
        if not found:
            click.echo("the ledger is whole")
    if found:
        raise LedgerFaulty(
            f"the ledger has {many(len(found), 'fault')}",
            hint=f"{_STOP} it again; if faults remain, run banledger store rebuild",
        )


@store.command(name="copy", short_help="Copy a ledger to another store, and verify the copy.")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--prefix", metavar="TEXT", help="Prefix of every key of the ledger.")
@click.option("--to-prefix", metavar="TEXT", help="Prefix of every key of the copy. [default: the same]")
@click.option("--to-password-file", metavar="FILE", help="Password for TO. [default: password_file, for both]")
@click.option("--prune", is_flag=True, help="Remove bans from TO that FROM no longer has.")
@click.option("--config", metavar="FILE", help="Settings file instead of /etc/banledger/banledger.toml.")
def copy(
    source: str,
    target: str,
    prefix: str | None,
    to_prefix: str | None,
    to_password_file: str | None,
    prune: bool,
    config: str | None,
) -> None:
    """Copy the ledger FROM to TO, on any two stores (paths or URLs), and verify the copy.

    FROM may have an older layout than this banledger works with: a copy is the way to upgrade a ledger.

    TO must be empty, or an earlier copy of the same ledger that no recorder has written to. Copying again copies the
    changes since; what FROM no longer has stays in TO unless --prune is given. It may be interrupted and run again.
    Exit code 9 if TO differs from FROM in the end.

    To move: copy while the recorder runs, stop it, copy again, change `store` in the settings, start it.

    \b
    Example:
      banledger store copy /var/lib/banledger/ledger.db redis://localhost/0
      banledger store copy redis://localhost/0 /backup/ledger.db
    """
    from banledger.ledger import copy as copying
    from banledger.ledger.keys import OLDEST

    common = {"prefix": prefix, "config": config}
    if source == target and (to_prefix or prefix) == prefix:
        raise click.UsageError("FROM and TO are the same", click.get_current_context())
    with (
        existing(_NAME_FROM),
        source_end(settings_of({**common, "store": source}), OLDEST) as one,
        target_end(settings_of({**common, "store": target, "prefix": to_prefix or prefix}, to_password_file)) as other,
        ProgressBars() as progress,
    ):
        done = copying.copy(one, other, prune=prune, progress=progress)
        wrong = list(copying.verify(one, other, progress))
    _conclude(done, wrong)


def _conclude(done: "Copied", wrong: list[str]) -> None:
    """Print what was copied, and where the copy differs. Raises LedgerFaulty if it does."""
    click.echo(_copied(done))
    _print(wrong)
    if wrong:
        raise LedgerFaulty(
            "the copy differs from its source",
            hint=f"{_STOP} the copy again; --prune removes what the source no longer has",
        )
    click.echo("verified: the copy equals its source")


@store.command(name="rebuild")
@store_options
def rebuild(**flags: str | None) -> None:
    """Derive all sets, tallies and rankings from the bans again.

    Repairs one thing in the bans: user names that earlier versions recorded as one name, "['root', 'pi']".

    An embedded ledger refuses while its recorder runs: stop the recorder first (bans wait in the spool). On a server
    recorders wait by themselves, and a second rebuild is refused. Reports keep working. It may be interrupted and run
    again. Ends with a check; exit code 9 if faults are left.

    \b
    Example:
      systemctl stop banledger
      banledger store rebuild
      systemctl start banledger
    """
    settings = settings_of(flags)
    with existing(_NAME_IT), source_end(settings):
        pass  # raises if there is no ledger, or one of another layout
    with target_end(settings) as ledger, ProgressBars() as progress:
        from banledger.ledger.check import check as faults
        from banledger.ledger.rebuild import rebuild as rebuilding
        from banledger.ledger.rebuild_lease import alone

        with alone(ledger.engine, lambda: engine_of(settings), ledger.keys, progress) as watched:
            done = rebuilding(ledger.engine, ledger.keys, time.time(), watched)
            left = [f"{fault.key} {fault.what}" for fault in faults(ledger.engine, ledger.keys, time.time(), watched)]
    click.echo(_rebuilt(done))
    _print(left)
    if left:
        raise LedgerFaulty(f"the ledger still has {many(len(left), 'fault')}", hint=f"{_STOP} the rebuild again")


def _copied(done: "Copied") -> str:
    parts = [f"{done.new:,} new", f"{done.changed:,} changed", f"{done.same:,} the same"]
    parts += [f"{done.removed:,} removed"] if done.removed else []
    parts += [f"{done.unreadable:,} unreadable"] if done.unreadable else []
    return "copied: " + ", ".join(parts)


def _rebuilt(done: "Rebuilt") -> str:
    unreadable = f"; {many(done.unreadable, 'damaged key')} put into quarantine" if done.unreadable else ""
    unreadable += f"; {many(done.repaired, 'damaged hash')} repaired" if done.repaired else ""
    unreadable += f"; {many(done.removed, 'key')} of invalid data removed" if done.removed else ""
    users = f"; user names of {many(done.users, 'restored ban')} repaired" if done.users else ""
    return f"rebuilt from {many(done.bans, 'ban')} and {many(done.gaps, 'gap')}{unreadable}{users}"


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(visible(line) + "\n")
