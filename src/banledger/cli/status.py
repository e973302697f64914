"""`banledger status`."""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from banledger.cli import options, session
from banledger.cli.usage import what_is_wrong
from banledger.errors import BanledgerError, SettingsError

if TYPE_CHECKING:
    from banledger.report.formats.base import Presentation
    from banledger.report.status import LedgerStatus, UnrecordedJail

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(rf"(\d{{1,9}})([{''.join(_UNITS)}])")
_UNKNOWN = 3


class WrongCheck(click.UsageError):
    """A wrong command line of a check, with the exit code that means unknown to monitoring."""

    exit_code = _UNKNOWN


class StatusCommand(click.Command):
    """See `WrongCheck`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click.Command.parse_args."""
        checks = "--check" in args
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if checks:
                raise WrongCheck(what_is_wrong(error), ctx) from error
            raise


def _seconds(_context: click.Context, _option: click.Parameter, text: str) -> float:
    """A duration such as 90s, 5m, 1h or 2d, in seconds."""
    match = _DURATION.fullmatch(text.strip().lower())
    if not match:
        raise click.BadParameter(f"{text!r} is not a duration such as 90s, 5m, 1h or 2d")
    return float(int(match[1]) * _UNITS[match[2]])


def _age(name: str, default: str, what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(name, callback=_seconds, default=default, metavar="AGE", show_default=True, help=what)


@click.command(name="status", cls=StatusCommand)
@click.option("--check", is_flag=True, help="One line and an exit code for monitoring (Nagios, Icinga ...).")
@_age("--warning", "5m", "Age of the oldest waiting ban that is a warning: 90s, 5m, 1h, 2d.")
@_age("--critical", "1h", "Age that is critical.")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
@options.store_options
def status(check: bool, warning: float, critical: float, as_json: bool, **flags: Any) -> None:
    """Whether bans are recorded: every recorder, what waits, the ledger, whois, and what is wrong.

    The recorders say it themselves: each writes a heartbeat into the ledger, at least every 30 seconds. After two
    minutes without one a recorder is silent: it was killed, or it can't write to the store. Where fail2ban may be
    asked, jails that ban and are not recorded are named too.

    --check exits with 0 (OK), 1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN). A recorder that is silent, stopped, or can't
    record is a warning at once. It is critical after --warning if it is silent or stopped, otherwise after --critical.

    \b
    Example:
      banledger status
      banledger status --check --warning 10m --critical 2h
    """
    if check and as_json:
        raise click.UsageError("--check and --json exclude each other", click.get_current_context())
    if check:
        click.get_current_context().exit(_check(flags, warning, critical))
    found, view = _status(flags, warning, critical)
    from banledger.report.formats import status as formats

    if as_json:
        import json

        click.echo(json.dumps(formats.status_object(found), indent=2))
        return
    from banledger.report.formats.screen import Screen

    formats.status(found, view, Screen())


def _status(flags: Mapping[str, Any], warning: float, critical: float) -> "tuple[LedgerStatus, Presentation]":
    now = time.time()
    with session.ledger(flags) as reader:
        from banledger.report import status as asking
        from banledger.report.formats.base import Presentation

        found = asking.status(reader, now, asking.AgeLimits(warning, critical))
        return asking.judged(replace(found, unrecorded=_unrecorded(found))), Presentation(reader.zone, now)


def _unrecorded(found: "LedgerStatus") -> "tuple[UnrecordedJail, ...] | None":
    """The jails of this machine that are not recorded, where a recorder of this machine writes to the ledger."""
    from banledger.cli.fail2ban_jails import unrecorded_jails
    from banledger.cli.host import host
    from banledger.report.status import recorded_jails
    from banledger.setup.machine import Machine

    ours = [one.beat for one in found.recorders if one.beat.host == host()]
    if found.recorders and not ours:
        return None
    labels = [label for beat in ours for label in beat.labels]
    return unrecorded_jails(Machine(Path("/")), recorded_jails(found.sources, labels))


def _check(flags: Mapping[str, Any], warning: float, critical: float) -> int:
    """Print the line for monitoring; return the exit code."""
    try:
        found, _ = _status(flags, warning, critical)
    except BanledgerError as error:
        from banledger.report.formats.status import failed_line
        from banledger.report.status import Level

        level = Level.UNKNOWN if isinstance(error, SettingsError) else Level.CRITICAL
        click.echo(failed_line(level, str(error)))
        return level
    from banledger.report.formats.status import check_line

    click.echo(check_line(found))
    return found.level
