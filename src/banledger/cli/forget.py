"""`banledger forget`."""

import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click

from banledger.cli import options
from banledger.cli.progress import ProgressBars
from banledger.errors import BanledgerError, QuestionError
from banledger.report.formats.escape import many, visible

if TYPE_CHECKING:
    from banledger.cli.waiting import Awaited
    from banledger.ledger.forget_request import ForgetRequest
    from banledger.ledger.reader import LedgerReader
    from banledger.report.concerned import Concerned
    from banledger.settings import Settings

_ELSEWHERE = "not forgotten: what fail2ban itself keeps (its database, its log), backups and copies"
_PARTLY = ("user", "matches")
_REWRITE_S = 1800.0  # the file of a large ledger

_Seen: TypeAlias = "tuple[ForgetRequest | None, int]"
"""Our request, and a number that grows with the work on any request."""


@click.command()
@click.option("--ip", metavar="ADDR|CIDR", help="Bans of this address, or of all in this network.")
@click.option("--user", metavar="NAME", help="This user name and the matched lines of its bans; the bans stay.")
@click.option("--server", metavar="LABEL", help="Bans by this server.")
@click.option("--older-than", metavar="AGE", help="All bans that are older: 2y, 6m, 90d; none that is in force.")
@click.option("--matches-older-than", metavar="AGE", help="The matched lines of older bans; the bans stay.")
@click.option("--dry-run", is_flag=True, help="Only show what would be forgotten.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--no-wait", is_flag=True, help="Don't wait for the recorder.")
@options.spool_option
@options.store_options
def forget(
    ip: str | None,
    user: str | None,
    server: str | None,
    older_than: str | None,
    matches_older_than: str | None,
    dry_run: bool,
    yes: bool,
    no_wait: bool,
    **flags: str | None,
) -> None:
    """Forget bans, a user name, or matched lines, for ever.

    Shows what is concerned, asks, and writes the request to the spool. The recorder carries it out beside its other
    work; the command waits for that, and then looks whether anything is left. It may be interrupted or killed: the
    request stays, and so does what is done of it.

    Of a forgotten ban the ledger keeps its id, which tells nothing, and a count: totals of all time never fall, and the
    ban does not come back when fail2ban restores it or a log is imported again (banledger import --again overrides
    that). What fail2ban itself keeps is not changed, nor are backups and copies. Run this as the user that fail2ban
    runs as (root).

    To forget old bans by themselves every day: retention.bans and retention.matches in the settings.

    \b
    Example:
      banledger forget --ip 192.0.2.7 --dry-run
      banledger forget --ip 192.0.2.0/24
      banledger forget --user alice --yes
      banledger forget --older-than 2y
    """
    from banledger.cli.environment import load

    asked = {
        "ip": ip, "user": user, "server": server, "bans": older_than, "matches": matches_older_than
    }  # fmt: skip
    request = _request({what: value for what, value in asked.items() if value is not None})
    chosen = load(flags)
    with ProgressBars() as progress:
        found = _concerned(chosen, request, progress)
        progress.clear()
        click.echo(_shown(request, found))
        if dry_run:
            return
        if not found.bans and not _mentions(chosen, request):
            click.echo("nothing to forget")
            return
        if not yes:
            _ask()
        name = _write(chosen, request, progress)
        if no_wait:
            click.echo("written to the spool; the recorder carries it out")
            return
        outcome = _wait(chosen, name, found.bans, progress)
        progress.clear()
        _conclude(chosen, request, outcome, progress)


def _request(asked: dict[str, str]) -> "ForgetRequest":
    """Return the request of the flags. Raises click.UsageError, QuestionError."""
    from banledger.ledger.filters import address
    from banledger.ledger.forget_request import ForgetRequest
    from banledger.settings import age_s

    if len(asked) != 1:
        flags = "--ip, --user, --server, --older-than, --matches-older-than"
        raise click.UsageError(f"{'more than' if asked else 'missing'} one of {flags}", click.get_current_context())
    ((what, value),) = asked.items()
    now = time.time()
    if what in ("bans", "matches"):
        try:
            age = age_s(value or "0")
        except ValueError as error:
            raise QuestionError(str(error), hint="for example: banledger forget --older-than 365d --dry-run") from None
        return ForgetRequest(what, now - age, now)  # type: ignore[arg-type]
    if not value:
        raise QuestionError(f"empty --{what}", hint="banledger forget --help has examples")
    return ForgetRequest(what, now, now, address(value) if what == "ip" else value)  # type: ignore[arg-type]


def _concerned(chosen: "Settings", request: "ForgetRequest", progress: ProgressBars) -> "Concerned":
    from banledger.ledger.opening import open_to_read
    from banledger.report.concerned import concerned
    from banledger.stores.connect import access

    with closing(open_to_read(chosen.store, chosen.prefix, access(chosen))) as ledger:
        return concerned(ledger, request, lambda done, total: progress("bans", done, total))


def _shown(request: "ForgetRequest", found: "Concerned") -> str:
    """Say what a request concerns."""
    what = {
        "ip": f"bans of {request.value}",
        "user": f"user name {request.value!r}, and the matched lines of its bans",
        "server": f"bans by server {request.value!r}",
        "bans": f"bans before {_day(request.before)}, except those in force",
        "matches": f"matched lines of bans before {_day(request.before)}, except those in force",
    }[request.what]
    if not found.bans:
        return visible(f"{what}: none is recorded")
    lines = [f"{what}: {many(found.bans, 'ban')}, {found.first} to {found.last}"]
    for title, names in (("jails", found.jails), ("servers", found.servers)):
        shown = ", ".join(f"{name} {bans:,}" for name, bans in names[:5])
        lines.append(f"  {title:<9}{shown}{', …' if len(names) > 5 else ''}")
    return "\n".join(map(visible, lines))


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


def _ask() -> None:
    """Ask on a terminal; refuse without one. Raises BanledgerError, click.Abort."""
    if not sys.stdin.isatty():
        raise BanledgerError("nothing is forgotten without a confirmation", hint="--yes gives it, --dry-run only shows")
    click.echo(_ELSEWHERE)
    click.confirm("Forget them for ever?", abort=True)


def _write(chosen: "Settings", request: "ForgetRequest", progress: ProgressBars) -> str:
    """Write the request to the spool; return its name."""
    from banledger.spool.events import VERSION
    from banledger.spool.writer import SegmentWriter

    fields = {"v": VERSION, "kind": "forget", "seen": request.asked, "server": "-", "jail": "banledger forget"}
    fields |= {"what": request.what, "value": request.value, "before": request.before}
    with SegmentWriter(Path(chosen.spool), lambda: progress.say("the spool is full: waiting for the recorder")) as out:
        out.write(fields)
        return out.writer


def _wait(chosen: "Settings", name: str, bans: int, progress: ProgressBars) -> "Awaited[_Seen]":
    from banledger.cli.waiting import PATIENCE_S, wait
    from banledger.ledger.forget_request import read_requests

    def read(ledger: "LedgerReader") -> "_Seen":
        found = read_requests(ledger.store(), ledger.keys)
        return found.get(name), sum(one.step for one in found.values())

    def show(seen: "_Seen | None") -> None:
        request = seen[0] if seen else None
        done = request.result.bans + request.result.erased if request else 0
        progress("bans forgotten", min(done, bans), bans)

    def patience(seen: "_Seen | None") -> float:
        rewritten = seen is not None and seen[0] is not None and seen[0].done > 0
        return _REWRITE_S if rewritten else PATIENCE_S

    return wait(chosen, read, lambda seen: seen[0] is not None and seen[0].purged, show, patience)


def _conclude(chosen: "Settings", request: "ForgetRequest", outcome: "Awaited[_Seen]", progress: ProgressBars) -> None:
    """Say what was done, and what is left."""
    from banledger.ledger.opening import open_to_read
    from banledger.report.concerned import entries_left
    from banledger.stores.connect import access

    ended = outcome.state[0] if outcome.state else None
    if ended is None:
        click.echo(outcome.why)
        click.echo("the request is in the spool or in the ledger: the recorder goes on with it")
        return
    done = ended.result
    forgotten = [many(done.bans, "ban")] if request.what not in _PARTLY else [f"parts of {many(done.erased, 'ban')}"]
    forgotten += [many(done.others, "other record")] if done.others else []
    click.echo(f"forgotten: {', '.join(forgotten)}")
    left = _concerned(chosen, request, progress)
    progress.clear()
    with closing(open_to_read(chosen.store, chosen.prefix, access(chosen))) as ledger:
        entries = entries_left(ledger, request)
    stay = request.what in ("bans", "matches")
    bans = 0 if stay else left.bans
    lines = _mentions(chosen, request)
    spool = "the spool can't be read here" if lines is None else f"{many(lines, 'line')} in the spool"
    click.echo(f"left: {many(bans, 'ban')}, {many(entries, 'entry')} of sets, rankings and tallies, {spool}")
    if done.in_force:
        click.echo(f"in force, and left as they are: {many(done.in_force, 'ban')}")
    if lines:
        click.echo("these lines are recorded; the recorder removes them within minutes")
    if done.damaged:
        raise BanledgerError(
            f"{many(done.damaged, 'ban')} can't be read, and {'is' if done.damaged == 1 else 'are'} left",
            hint="run banledger store rebuild, and forget again",
        )


def _mentions(chosen: "Settings", request: "ForgetRequest") -> int | None:
    """Return how many lines of the spool name what is to be forgotten; None: unknown."""
    from banledger.ledger.forget_match import Matcher
    from banledger.spool.mentions import mentions

    own = '"kind":"forget"'
    matcher = Matcher(request)
    return mentions(Path(chosen.spool), lambda line: own not in line and matcher.in_text(line))
