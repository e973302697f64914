"""Options that several commands share, and the query they make."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from banledger.cli import completion
from banledger.ledger.dimensions import FILTERS
from banledger.ledger.dimensions import TABLE as DIMENSIONS

if TYPE_CHECKING:
    from banledger.report.formats.base import AnyAnswer, Presentation

TABLE = 50
"""How many bans a table lists if `-n` does not say it."""

_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _together(*options: _Decorator) -> _Decorator:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


class WholeNumber(click.IntRange):
    """A whole number in a range, named so in help and errors."""

    name = "number"


store_options = _together(
    click.option(
        "--store",
        metavar="PATH|URL",
        shell_complete=completion.path,
        help="The store of the ledger: the path of an embedded ledger, or a URL.",
    ),
    click.option("--prefix", metavar="TEXT", help="Prefix of every key of the ledger."),
    click.option(
        "--config",
        metavar="FILE",
        shell_complete=completion.path,
        help="Settings file instead of /etc/banledger/banledger.toml.",
    ),
)
"""Options of every command that uses a ledger. See `session.ledger`."""

spool_option = click.option(
    "--spool", metavar="DIR", shell_complete=completion.directory, help="The directory that the action writes to."
)

machine_options = _together(
    click.option(
        "--fail2ban-config",
        metavar="DIR",
        default="",
        help="fail2ban's configuration. [default: that of the last setup, or /etc/fail2ban]",
    ),
    click.option(
        "--root",
        metavar="DIR",
        type=click.Path(path_type=Path),
        default=Path("/"),
        hidden=True,
        help="A directory that stands for /, for tests.",
    ),
)
"""Options of commands that look at a whole machine."""

filters = _together(
    click.option(
        "--since",
        metavar="WHEN",
        help="Start: 7d 2w 3m 1y (days, weeks, months, years; whole days, with today), 24h, 2026-11-01, 2026-11, 2026, "
        "'2026-11-01 14:00', today, yesterday, all.",
    ),
    click.option("--until", metavar="WHEN", help="End; a day, month or year is included as a whole."),
    *(
        click.option(
            f"--{name}",
            multiple=True,
            metavar=one.metavar,
            shell_complete=completion.recorded(name) if DIMENSIONS[name].few else None,
            help=one.help,
        )
        for name, one in FILTERS.items()
    ),
)
"""Options that choose bans. See `session.query`."""

formats = _together(
    click.option("--json", is_flag=True, help="JSON."),
    click.option("--csv", is_flag=True, help="CSV with a header line."),
)
"""Options that choose the format of the output. See `form`."""


def form(flags: Mapping[str, Any]) -> str:
    """The format that one of the flags names: text, json, csv or raw."""
    chosen = [name for name in ("json", "csv", "raw") if flags.get(name)]
    if len(chosen) > 1:
        raise click.UsageError(f"--{chosen[0]} and --{chosen[1]} exclude each other", click.get_current_context())
    return chosen[0] if chosen else "text"


def write(form: str, answer: "AnyAnswer", view: "Presentation") -> None:
    """Write an answer to stdout in the format of that name."""
    from banledger.report.formats.base import named

    named(form).write(answer, view)
