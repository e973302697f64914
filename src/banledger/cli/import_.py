"""`banledger import`."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from banledger.cli import options
from banledger.cli.progress import ProgressBars
from banledger.report.formats.escape import many, visible

if TYPE_CHECKING:
    from banledger.importer.predecessor import Summary


@click.command(name="import")
@click.argument("url", metavar="URL", envvar="BANLEDGER_IMPORT_URL")
@click.option("--server", required=True, metavar="LABEL", help="Server label for the bans.")
@click.option("--dry-run", is_flag=True, help="Only count; write nothing.")
@options.spool_option
@click.option("--config", metavar="FILE", help="Settings file instead of /etc/banledger/banledger.toml.")
def import_(url: str, server: str, dry_run: bool, spool: str | None, config: str | None) -> None:
    """Import the bans that a predecessor of this program kept in Redis (keys f2b:*), and its whois data (cidr:*).

    The bans go to the spool like new ones, and the recorder records them. The source is not changed. Bans keep their
    time; importing them twice, or again after an interruption, records them once. The source does not say which server
    made the bans: --server does. Run this as the user that fail2ban runs as (root). A URL with a password may come from
    BANLEDGER_IMPORT_URL instead.

    \b
    Example:
      banledger import redis://localhost/0 --server web1 --dry-run
      banledger import redis://localhost/0 --server web1
    """
    from banledger.importer import predecessor

    _label(server)
    _keep_secret(url)
    summary, now = predecessor.Summary(), time.time()
    with ExitStack() as stack:
        source = stack.enter_context(predecessor.connect(url))
        progress = stack.enter_context(ProgressBars())
        write = (lambda _: None) if dry_run else _writer(stack, spool, config, progress)
        predecessor.import_bans(source, server, write, summary, progress, now)
        predecessor.import_networks(source, server, write, summary, progress, now)
    _say(summary, dry_run=dry_run)


def _keep_secret(url: str) -> None:
    """Refuse a password in an argument: everybody can read it."""
    from click.core import ParameterSource

    from banledger.settings import without_password

    given = click.get_current_context().get_parameter_source("url")
    if given is ParameterSource.COMMANDLINE and without_password(url) != url:
        raise click.BadParameter("a password here can be read by everybody: use BANLEDGER_IMPORT_URL")


def _label(server: str) -> None:
    if not server.strip() or len(server) > 255 or not server.isprintable():
        raise click.BadParameter("up to 255 printable characters", param_hint="'--server'")


def _writer(
    stack: ExitStack, spool: str | None, config: str | None, progress: ProgressBars
) -> Callable[[dict[str, Any]], None]:
    from pathlib import Path

    from banledger.cli.environment import load
    from banledger.spool.writer import SegmentWriter

    directory = Path(load({"spool": spool, "config": config}).spool)
    waiting = "the spool is full: waiting for the recorder (banledger record)"
    return stack.enter_context(SegmentWriter(directory, lambda: progress.say(waiting))).write


def _say(summary: "Summary", *, dry_run: bool) -> None:
    click.echo(f"{many(summary.found, 'ban')} found")
    done = "could be imported" if dry_run else "written to the spool; the recorder counts the new ones"
    click.echo(f"{summary.written:,} {done}")
    if summary.without_country:
        click.echo(f"{summary.without_country:,} of them have no country: it is looked up as for any ban")
    for reason, count in summary.skipped.most_common(20):
        click.echo(f"{count:,} skipped: {visible(reason)}")
    if summary.networks or summary.refused:
        click.echo(f"{many(summary.networks, 'network')} of whois {done}")
    for reason, count in summary.refused.most_common(20):
        click.echo(f"{many(count, 'network')} refused: {visible(reason)}")
