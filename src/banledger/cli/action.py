"""`banledger action`."""

from pathlib import Path

import click

from banledger.cli.usage import Group


@click.group(name="action", cls=Group)
def action() -> None:
    """About the fail2ban action, the file that fail2ban loads to tell the ledger of its bans.

    \b
    Example:
      install -m 644 "$(banledger action path)" /etc/fail2ban/action.d/
    """


@action.command(name="path")
def path() -> None:
    """Print the path of the action file that came with this package.

    \b
    Example:
      install -m 644 "$(banledger action path)" /etc/fail2ban/action.d/
    """
    click.echo(str(Path(__file__).parents[1] / "action" / "banledger.py"))
