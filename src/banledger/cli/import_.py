"""`banledger import`."""

import os
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from banledger.cli import completion, options
from banledger.cli.progress import ProgressBars
from banledger.report.formats.escape import many, visible

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

    from banledger.cli.waiting import Awaited
    from banledger.importer.edges import Edges
    from banledger.importer.predecessor import Summary
    from banledger.importer.survey import Survey
    from banledger.ledger.import_count import ImportCount
    from banledger.settings import Settings
    from banledger.spool.writer import SegmentWriter

_URL_VARIABLE = "BANLEDGER_IMPORT_URL"
_FULL = "the spool is full: waiting for the recorder (banledger record)"
_INTERRUPTED = "interrupted: run it again; what it wrote is recorded, and is then known"
_INTERRUPTED_LATE = "interrupted; nothing is lost: all is in the spool, and the recorder adds it"
_SOURCES_HINT = "the reason is given for each file; banledger import --help lists what can be read"


class _Job(Struct, frozen=True):
    """What to do: with which settings, for which label, and how the flags want it.

    `waits`: for the recorder. `again`: record also what was forgotten.
    """

    chosen: "Settings"
    server: str
    progress: ProgressBars
    dry_run: bool = False
    as_json: bool = False
    waits: bool = True
    confirmed: bool = False
    again: bool = False


@click.command(name="import")
@click.argument("sources", shell_complete=completion.path, metavar="PATH|URL...", nargs=-1)
@click.option(
    "--server",
    metavar="LABEL",
    help='Server label for the bans: that of the action on their server (server="..." in fail2ban\'s jail.d).',
)
@click.option(
    "--timezone", "zone", metavar="ZONE", help="Time zone of the logs (IANA name) if it is not this machine's."
)
@click.option("--dry-run", is_flag=True, help="Only count; write nothing.")
@click.option("--no-wait", is_flag=True, help="Don't wait for the recorder.")
@click.option("--yes", is_flag=True, help="Import also what is recorded under another label.")
@click.option("--again", is_flag=True, help="Record also bans that were forgotten (see banledger forget).")
@click.option("--json", "as_json", is_flag=True, help="JSON, for logs and databases.")
@options.spool_option
@options.store_options
def import_(
    sources: tuple[str, ...],
    server: str | None,
    zone: str | None,
    dry_run: bool,
    no_wait: bool,
    yes: bool,
    again: bool,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Import the past: logs and databases of fail2ban, the journal, or a predecessor's Redis.

    Files may be given in any order and mixture, also directories and - for standard input. They are recognised by
    their content: logs of fail2ban 0.8 to 1.1 with their rotations (also .gz .bz2 .xz .zst), syslog, the output of
    journalctl -u fail2ban -o export (or json, short-iso), fail2ban.sqlite3. Other files are listed with the reason.

    A redis:// URL names the store of a predecessor of this program (keys f2b:*), and its whois data (cidr:*). A URL
    with a password may come from BANLEDGER_IMPORT_URL instead.

    Bans keep their time and go to the spool like new ones. The command waits until the recorder has recorded them, and
    says how many were new. Importing them twice, in parts, again after an interruption, or beside what the action
    recorded, records them once. Sources are not changed, and don't say which server made the bans: --server does. Run
    this as the user that fail2ban runs as (root).

    \b
    Example:
      banledger import /var/log/fail2ban.log* --server web1 --dry-run
      banledger import /var/lib/fail2ban /var/log/fail2ban.log* --server web1
      banledger import old-logs/ --server web1 --timezone Europe/Berlin
      banledger import redis://localhost/0 --server web1
    """
    from banledger.cli.environment import load

    urls, paths = _urls_and_paths(sources)
    _check_label(server, needed=bool(urls) or not dry_run)
    with ProgressBars() as progress:
        job = _Job(load(flags), server or "", progress, dry_run, as_json, not no_wait, yes, again)
        if paths:
            _import_files(paths, zone, job)
        for url in urls:
            _import_predecessor(url, job)


def _urls_and_paths(sources: Sequence[str]) -> tuple[list[str], list[str]]:
    """The URLs and the paths among the sources. Refuses a password in an argument: everybody can read it."""
    from banledger.settings import without_password

    urls = [source for source in sources if "://" in source]
    if any(without_password(url) != url for url in urls):
        raise click.BadParameter(f"a password here can be read by everybody: use {_URL_VARIABLE}")
    if not sources and (secret := os.environ.get(_URL_VARIABLE)):
        return [secret], []
    if not sources:
        raise click.UsageError("missing argument 'PATH|URL...'", click.get_current_context())
    return urls, [source for source in sources if "://" not in source]


def _check_label(server: str | None, *, needed: bool) -> None:
    if server is None:
        if needed:
            raise click.UsageError("missing option '--server'", click.get_current_context())
    elif not server.strip() or len(server) > 255 or not server.isprintable():
        raise click.BadParameter("up to 255 printable characters", param_hint="'--server'")


class _Lines:
    """Writes the lines of one import to the spool; a dry run writes nothing.

    bans   how many were written
    ended  whether all lines are
    """

    def __init__(self, segment: "SegmentWriter | None", job: _Job) -> None:
        self._segment = segment
        self._server = job.server
        self._more = {"revive": 1} if job.again else {}
        self.bans = 0
        self.ended = False

    def write(self, fields: dict[str, Any]) -> None:
        """Write one line."""
        self.bans += fields["kind"] == "ban" and not fields.get("again")
        if self._segment is not None:
            self._segment.write(fields | self._more if fields["kind"] == "ban" else fields)

    def end(self, *, read: int, networks: int = 0) -> None:
        """Write the last line, if there were others. `read`: lines of logs and rows of databases."""
        from banledger.importer.past_lines import line_of_import

        if self.bans or networks:
            self.write(line_of_import(self._server, time.time(), bans=self.bans, lines=read, networks=networks))
        if self._segment is not None:
            self._segment.close()
        self.ended = True

    def outcome(self, job: _Job) -> "Awaited[ImportCount] | None":
        """Wait for the recorder; return what is known in the end. None: nothing was written, or nobody waits."""
        from banledger.cli.waiting import wait
        from banledger.ledger.import_counts import stored_counts

        if self._segment is None or not self.bans or not job.waits:
            return None
        writer = self._segment.writer
        try:
            return wait(
                job.chosen,
                lambda ledger: stored_counts(ledger.store(), ledger.keys, job.server).get(writer),
                lambda count: count.bans is not None,
                lambda count: job.progress("bans recorded", count.lines.total if count else 0, self.bans),
            )
        finally:
            job.progress.clear()


@contextmanager
def _spooled(job: _Job) -> Iterator[_Lines]:
    """The lines of one import. After an interruption, says that nothing is lost."""
    from banledger.spool.writer import SegmentWriter

    if job.dry_run:
        yield _Lines(None, job)
        return
    with SegmentWriter(Path(job.chosen.spool), lambda: job.progress.say(_FULL)) as segment:
        lines = _Lines(segment, job)
        try:
            yield lines
        except KeyboardInterrupt:
            job.progress.clear()
            click.echo(_INTERRUPTED_LATE if lines.ended else _INTERRUPTED, err=True)
            raise


def _say_recorded(job: _Job, bans: int, outcome: "Awaited[ImportCount] | None") -> None:
    """Say what the import did, or who records what was written."""
    from banledger.report.imports import counts_text

    label = visible(shlex.quote(job.server))
    if outcome is not None and outcome.state is not None:
        click.echo(f"recorded {counts_text(bans, outcome.state)}")
        click.echo(f"shown by: banledger report --since all --server {label}")
        return
    if outcome is not None:
        click.echo(outcome.why)
    click.echo(f"written to the spool; the recorder adds the new ones: banledger report --since all --server {label}")


# Logs and databases.


def _import_files(paths: Sequence[str], zone: str | None, job: _Job) -> None:
    """Read logs and databases, and write their bans."""
    from banledger.cli import import_label, import_summary
    from banledger.errors import BanledgerError
    from banledger.importer.content import STDIN
    from banledger.ledger.reader import zone_of
    from banledger.settings import machine_zone

    local = zone_of(zone or machine_zone() or "UTC")
    label = import_label.LabelCheck(job.chosen, job.server, job.progress, ask=not (job.dry_run or job.confirmed))
    with _spooled(job) as lines:
        found = _surveyed(paths, local, lines, label.check, job)
        job.progress.clear()
        if not job.as_json:
            click.echo("\n".join(import_summary.lines(found, local)))
        outcome = lines.outcome(job)
    if job.as_json:
        click.echo(import_summary.as_json(found, label.other, outcome.state if outcome else None))
        if outcome is not None and outcome.why:
            click.echo(outcome.why, err=True)
    elif lines.bans and not job.dry_run:
        _say_recorded(job, lines.bans, outcome)
    if not found.sources:
        raise BanledgerError("no log or database of fail2ban to import", hint=_SOURCES_HINT)
    if absent := [path for path in paths if path != STDIN and not os.access(path, os.R_OK)]:
        raise BanledgerError(f"{many(len(absent), 'path')} can't be read: see above", hint="all others were read")


def _surveyed(
    paths: Sequence[str], zone: "ZoneInfo", lines: _Lines, begin: "Callable[[Edges], None]", job: _Job
) -> "Survey":
    """Read the sources, and write all lines of the import."""
    from banledger.errors import BanledgerError
    from banledger.importer.past_lines import line_of_ban
    from banledger.importer.survey import ImportedBan, survey

    def take(ban: ImportedBan) -> None:
        lines.write(line_of_ban(ban, job.server))

    try:
        found = survey(paths, zone, time.time(), take, job.progress, begin)
    except OSError as error:
        hint = "sorting needs temporary room: TMPDIR names another directory"
        raise BanledgerError(f"can't sort what was read: {error.strerror}", hint=hint) from error
    lines.end(read=sum(source.lines for source in found.sources))
    return found


# The predecessor's Redis.


def _import_predecessor(url: str, job: _Job) -> None:
    from banledger.importer import predecessor

    summary, now = predecessor.Summary(), time.time()
    with _spooled(job) as lines:
        with predecessor.connect(url) as source:
            predecessor.import_bans(source, job.server, lines.write, summary, job.progress, now)
            predecessor.import_networks(source, job.server, lines.write, summary, job.progress, now)
        lines.end(read=summary.found, networks=summary.networks)
        job.progress.clear()
        _report(summary, dry_run=job.dry_run)
        outcome = lines.outcome(job)
    if not job.dry_run and (lines.bans or summary.networks):
        _say_recorded(job, lines.bans, outcome)


def _report(summary: "Summary", *, dry_run: bool) -> None:
    click.echo(f"{many(summary.found, 'ban')} found")
    done = "could be imported" if dry_run else "written to the spool"
    click.echo(f"{summary.written:,} {done}")
    if summary.without_country:
        click.echo(f"{summary.without_country:,} of them have no country: it is looked up as for any ban")
    for reason, count in summary.skipped.most_common(20):
        click.echo(f"{count:,} skipped: {visible(reason)}")
    if summary.networks or summary.refused:
        click.echo(f"{many(summary.networks, 'network')} of whois {done}")
    for reason, count in summary.refused.most_common(20):
        click.echo(f"{many(count, 'network')} refused: {visible(reason)}")
