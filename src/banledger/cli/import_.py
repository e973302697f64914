"""`banledger import`."""

import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from banledger.cli import completion, options
from banledger.cli.progress import ProgressBars
from banledger.report.formats.escape import many, visible

if TYPE_CHECKING:
    from banledger.importer.predecessor import Summary

_URL_VARIABLE = "BANLEDGER_IMPORT_URL"
_SOURCES_HINT = "the reason is given for each file; banledger import --help lists what can be read"


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
@click.option("--json", "as_json", is_flag=True, help="JSON, for logs and databases.")
@options.spool_option
@click.option("--config", metavar="FILE", help="Settings file instead of /etc/banledger/banledger.toml.")
def import_(
    sources: tuple[str, ...],
    server: str | None,
    zone: str | None,
    dry_run: bool,
    as_json: bool,
    spool: str | None,
    config: str | None,
) -> None:
    """Import the past: logs and databases of fail2ban, the journal, or a predecessor's Redis.

    Files may be given in any order and mixture, also directories and - for standard input. They are recognised by
    their content: logs of fail2ban 0.8 to 1.1 with their rotations (also .gz .bz2 .xz .zst), syslog, the output of
    journalctl -u fail2ban -o export (or json, short-iso), fail2ban.sqlite3. Other files are listed as refused.

    A redis:// URL names the store of a predecessor of this program (keys f2b:*), and its whois data (cidr:*). A URL
    with a password may come from BANLEDGER_IMPORT_URL instead.

    Bans keep their time and go to the spool like new ones. Importing them twice, in parts, again after an interruption,
    or beside what the action recorded, records them once. Sources are not changed, and don't say which server made the
    bans: --server does. Run this as the user that fail2ban runs as (root).

    \b
    Example:
      banledger import /var/log/fail2ban.log* --server web1 --dry-run
      banledger import /var/lib/fail2ban /var/log/fail2ban.log* --server web1
      banledger import old-logs/ --server web1 --timezone Europe/Berlin
      banledger import redis://localhost/0 --server web1
    """
    urls, paths = _urls_and_paths(sources)
    _check_label(server, needed=bool(urls) or not dry_run)
    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(_interruption_explained())
        progress = stack.enter_context(ProgressBars())
        write = None if dry_run else _writer(stack, spool, config, progress)
        if paths:
            _import_files(paths, zone, write, server or "", progress, as_json=as_json)
        for url in urls:
            _import_predecessor(url, write, server or "", progress)


@contextmanager
def _interruption_explained() -> Iterator[None]:
    """Say after an interruption that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("interrupted: run it again; what it wrote is recorded, and is then known", err=True)
        raise


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


# Logs and databases.


def _import_files(
    paths: Sequence[str],
    zone: str | None,
    write: Callable[[dict[str, Any]], None] | None,
    server: str,
    progress: ProgressBars,
    *,
    as_json: bool,
) -> None:
    """Read logs and databases, and write their bans; `write` None: only count them."""
    from banledger.cli import import_summary
    from banledger.errors import BanledgerError
    from banledger.importer.content import STDIN
    from banledger.importer.past_lines import line_of_ban, line_of_import
    from banledger.importer.survey import ImportedBan, survey
    from banledger.ledger.reader import zone_of
    from banledger.settings import machine_zone

    def take(ban: ImportedBan) -> None:
        if write is not None:
            write(line_of_ban(ban, server))

    local = zone_of(zone or machine_zone() or "UTC")
    try:
        found = survey(paths, local, time.time(), take, progress)
    except OSError as error:
        hint = "sorting needs temporary room: TMPDIR names another directory"
        raise BanledgerError(f"can't sort what was read: {error.strerror}", hint=hint) from error
    if write is not None and found.bans:
        read = sum(source.lines for source in found.sources)
        write(line_of_import(server, time.time(), bans=found.bans, lines=read))
    progress.clear()
    if as_json:
        click.echo(import_summary.as_json(found))
    else:
        for line in import_summary.lines(found, local):
            click.echo(line)
        if write is not None and found.bans:
            click.echo(f"written to the spool; {_seen(server)}")
    if not found.sources:
        raise BanledgerError("no log or database of fail2ban to import", hint=_SOURCES_HINT)
    if absent := [path for path in paths if path != STDIN and not os.access(path, os.R_OK)]:
        raise BanledgerError(f"{many(len(absent), 'path')} can't be read: see above", hint="all others were read")


# The predecessor's Redis.


def _import_predecessor(
    url: str, write: Callable[[dict[str, Any]], None] | None, server: str, progress: ProgressBars
) -> None:
    from banledger.importer import predecessor
    from banledger.importer.past_lines import line_of_import

    summary, now = predecessor.Summary(), time.time()
    with predecessor.connect(url) as source:
        predecessor.import_bans(source, server, write or (lambda _: None), summary, progress, now)
        predecessor.import_networks(source, server, write or (lambda _: None), summary, progress, now)
    if write is not None and (summary.written or summary.networks):
        write(line_of_import(server, now, bans=summary.written, lines=summary.found, networks=summary.networks))
    progress.clear()
    _report(summary, server, dry_run=write is None)


def _writer(
    stack: ExitStack, spool: str | None, config: str | None, progress: ProgressBars
) -> Callable[[dict[str, Any]], None]:
    from pathlib import Path

    from banledger.cli.environment import load
    from banledger.spool.writer import SegmentWriter

    directory = Path(load({"spool": spool, "config": config}).spool)
    waiting = "the spool is full: waiting for the recorder (banledger record)"
    return stack.enter_context(SegmentWriter(directory, lambda: progress.say(waiting))).write


def _seen(server: str) -> str:
    """Say who records what was written, and what command shows it."""
    label = visible(shlex.quote(server))
    return f"the recorder adds the new ones: banledger report --since all --server {label}"


def _report(summary: "Summary", server: str, *, dry_run: bool) -> None:
    click.echo(f"{many(summary.found, 'ban')} found")
    done = "could be imported" if dry_run else "written to the spool"
    click.echo(f"{summary.written:,} {done}{'' if dry_run else f'; {_seen(server)}'}")
    if summary.without_country:
        click.echo(f"{summary.without_country:,} of them have no country: it is looked up as for any ban")
    for reason, count in summary.skipped.most_common(20):
        click.echo(f"{count:,} skipped: {visible(reason)}")
    if summary.networks or summary.refused:
        click.echo(f"{many(summary.networks, 'network')} of whois {done}")
    for reason, count in summary.refused.most_common(20):
        click.echo(f"{many(count, 'network')} refused: {visible(reason)}")
