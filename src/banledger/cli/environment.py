"""The settings of a command, and warnings about unknown variables."""

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from banledger.report.formats.escape import visible

if TYPE_CHECKING:
    from banledger.settings import Settings

_NOT_SETTINGS = ("BANLEDGER_CONFIG", "BANLEDGER_IMPORT_URL", "BANLEDGER_FAIL2BAN")


def load(flags: Mapping[str, str | None]) -> "Settings":
    """See `settings.load`. Warns on stderr about unknown BANLEDGER_ variables."""
    from banledger import settings

    for line in misnamed(os.environ):
        click.echo(f"warning: {line}", err=True)
    return settings.load(flags)


def misnamed(environment: Mapping[str, str]) -> Iterator[str]:
    """One line for each unknown BANLEDGER_ variable, with the nearest known name."""
    from banledger.settings import ENVIRONMENT, TABLE

    known = [*(setting.variable for setting in TABLE), *_NOT_SETTINGS]
    for name in sorted(environment):
        if name.startswith(ENVIRONMENT) and name not in known:
            from difflib import get_close_matches

            ends = [one.removeprefix(ENVIRONMENT) for one in known]
            near = get_close_matches(name.removeprefix(ENVIRONMENT).upper(), ends, n=1)
            meant = f"; did you mean {ENVIRONMENT}{near[0]}?" if near else ""
            yield f"{visible(name)} is not read: there is no such setting{meant}"
