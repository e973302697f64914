"""`banledger store rename-server`."""

import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import click

from banledger.cli.options import store_options
from banledger.cli.progress import ProgressBars
from banledger.cli.store_ends import engine_of, existing, settings_of, source_end, target_end
from banledger.errors import BanledgerError, LedgerFaulty, QuestionError
from banledger.report.formats.escape import many, visible

if TYPE_CHECKING:
    from banledger.ledger.rename import Renamed
    from banledger.report.concerned import Concerned
    from banledger.settings import Settings

_NAME_IT = "name one with --store and --prefix, or in the settings"
_LONGEST = 255


@click.command(name="rename-server", short_help="Give a server another label.")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option("--dry-run", is_flag=True, help="Only show what would be renamed.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@store_options
def rename_server(old: str, new: str, *, dry_run: bool, yes: bool, **flags: str | None) -> None:
    """Give every ban of the server label OLD the label NEW.

    A ban that NEW has already, live or by an import, is joined with it and counts once: so a log that was imported
    under a wrong label is put right. Gaps, and the counts of forgotten bans, stay with OLD.

    First let fail2ban's action use NEW (banledger setup --server NEW): new bans that come with OLD begin it again.

    An embedded ledger refuses while its recorder runs: stop the recorder first (bans wait in the spool). On a server
    recorders wait by themselves. It may be interrupted and run again.

    \b
    Example:
      systemctl stop banledger
      banledger store rename-server old-name web1 --dry-run
      banledger store rename-server old-name web1
      systemctl start banledger
    """
    if old == new or not new.strip() or len(new) > _LONGEST or not new.isprintable():
        raise QuestionError("NEW is another label of up to 255 printable characters")
    chosen = settings_of(flags)
    with ProgressBars() as progress:
        found = _found(chosen, old)
        progress.clear()
        click.echo(_offer(found, old))
        if dry_run:
            return
        if not yes:
            _ask(old, new)
        done = _rename(chosen, old, new, progress)
        progress.clear()
        click.echo(_shown(done, old, new))
        _verify(chosen, old, new, done)


def _found(chosen: "Settings", old: str) -> "Concerned":
    """Return what the old label has; no ban if only an interrupted run is to be finished. Raises QuestionError."""
    from banledger.ledger.forget_request import ForgetRequest
    from banledger.ledger.opening import open_to_read
    from banledger.ledger.rename import sources_of
    from banledger.ledger.tokens import text_of
    from banledger.report.concerned import concerned
    from banledger.report.nearest import nearest
    from banledger.stores.connect import access

    with existing(_NAME_IT), closing(open_to_read(chosen.store, chosen.prefix, access(chosen))) as ledger:
        found = concerned(ledger, ForgetRequest("server", time.time() + 1e9, time.time(), old))
        if not found.bans and not sources_of(ledger.store(), ledger.keys, old):
            known = [text_of(tok) for tok, _ in ledger.values("server")]
            raise QuestionError(f"no ban by a server {old!r} is recorded{nearest(old, known)}")
    return found


def _offer(found: "Concerned", old: str) -> str:
    if not found.bans:
        return f"{visible(old)!r} has no ban; its jails are still listed"
    return f"{visible(old)!r} has {many(found.bans, 'ban')}, {found.first} to {found.last}; in {_jails(found)}"


def _jails(found: "Concerned") -> str:
    shown = ", ".join(f"{visible(name)} {bans:,}" for name, bans in found.jails[:5])
    return shown + (", …" if len(found.jails) > 5 else "")


def _ask(old: str, new: str) -> None:
    """Ask on a terminal; refuse without one. Raises BanledgerError, click.Abort."""
    if not sys.stdin.isatty():
        raise BanledgerError("nothing is renamed without a confirmation", hint="--yes gives it, --dry-run only shows")
    click.confirm(f"Make them bans of {visible(new)!r}?", abort=True)


def _rename(chosen: "Settings", old: str, new: str, progress: ProgressBars) -> "Renamed":
    from banledger.ledger.rebuild_lease import alone
    from banledger.ledger.rename import Renaming

    with existing(_NAME_IT), source_end(chosen):
        pass  # raises if there is no ledger, or one of another layout
    with (
        target_end(chosen) as ledger,
        alone(ledger.engine, lambda: engine_of(chosen), ledger.keys, progress) as watched,
    ):
        return Renaming(ledger.engine, ledger.keys, old, new).run(watched)


def _shown(done: "Renamed", old: str, new: str) -> str:
    joined = f" ({done.joined:,} joined with bans that it had)" if done.joined else ""
    return f"{many(done.bans, 'ban')} of {visible(old)!r} are now of {visible(new)!r}{joined}"


def _verify(chosen: "Settings", old: str, new: str, done: "Renamed") -> None:
    """Look whether anything of the old label is left. Raises LedgerFaulty."""
    from banledger.ledger.forget_request import ForgetRequest
    from banledger.ledger.opening import open_to_read
    from banledger.ledger.tokens import token
    from banledger.report.concerned import entries_left
    from banledger.stores.connect import access

    with closing(open_to_read(chosen.store, chosen.prefix, access(chosen))) as ledger:
        left = entries_left(ledger, ForgetRequest("server", time.time(), time.time(), old))
        (bans,) = ledger.sizes("server", [token(new)])
    if done.left:
        raise LedgerFaulty(
            f"{many(done.left, 'ban')} can't be read, and stay as they are",
            hint="run banledger store rebuild, and rename again",
        )
    if left:
        raise LedgerFaulty(f"{many(left, 'entry')} of the old label are left", hint="run it again")
    click.echo(f"{visible(new)!r} has {many(bans, 'ban')}; nothing of {visible(old)!r} is left in sets and tallies")
