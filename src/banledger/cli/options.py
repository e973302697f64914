"""Options that several commands share, and the question they make."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from banledger.ledger.dimensions import FILTERS

if TYPE_CHECKING:
    from banledger.report.formats.base import Answer, Presentation

_Function = TypeVar("_Function", bound=Callable[..., Any])

_LEDGER = (
    click.option("--store", metavar="PATH|URL", help="The ledger: the path of an embedded one, or a URL."),
    click.option("--prefix", metavar="TEXT", help="What every key of the ledger begins with."),
    click.option("--config", metavar="FILE", help="Settings file instead of /etc/banledger/banledger.toml."),
)

_FILTERS = (
    click.option(
        "--since",
        metavar="WHEN",
        help="From when on: 7d 2w 3m 1y (whole days, with today), 24h, 2026-11-01, 2026-11, 2026, "
        "'2026-11-01 14:00', today, yesterday, all.",
    ),
    click.option("--until", metavar="WHEN", help="Until when; a day, month or year is meant with all of it."),
    *(click.option(f"--{name}", multiple=True, metavar=one.metavar, help=one.help) for name, one in FILTERS.items()),
)

_FORMATS = (
    click.option("--json", is_flag=True, help="JSON."),
    click.option("--csv", is_flag=True, help="CSV with a header line."),
)


def store_options(function: _Function) -> _Function:
    """Options of every command that uses a ledger: `store`, `prefix`, `config`. See `session.ledger`."""
    return _with(_LEDGER, function)


spool_option = click.option("--spool", metavar="DIR", help="The directory the action writes to.")


def filters(function: _Function) -> _Function:
    """Options that choose bans. See `session.query`."""
    return _with(_FILTERS, function)


def formats(function: _Function) -> _Function:
    """Options that choose the format of the output. See `form`."""
    return _with(_FORMATS, function)


def _with(options: tuple[Any, ...], function: _Function) -> _Function:
    for option in reversed(options):
        function = option(function)
    return function


def form(flags: Mapping[str, Any]) -> str:
    """The format that one of the flags names: text, json, csv or raw."""
    chosen = [name for name in ("json", "csv", "raw") if flags.get(name)]
    if len(chosen) > 1:
        raise click.UsageError(f"--{chosen[0]} and --{chosen[1]} exclude each other", click.get_current_context())
    return chosen[0] if chosen else "text"


def write(form: str, answer: "Answer", view: "Presentation") -> None:
    """Write an answer to stdout in the format of that name."""
    from banledger.report.formats.base import named

    named(form).write(answer, view)
