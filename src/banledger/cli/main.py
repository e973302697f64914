"""The command line: one command per file, imported when it runs.

Rules for output. Data goes to stdout, messages to stderr. An error is `error: what` and `hint: what to do`, one line
each, and an exit code of `errors.py`; an unexpected error is a traceback. A closed pipe and Ctrl-C are quiet.
For output that can't be written, see `banledger.cli.streams`.
"""

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from banledger import __version__
from banledger.cli.usage import Group, what_is_wrong
from banledger.errors import EXIT_CODES, BanledgerError

_INTERRUPTED = 130

COMMANDS = {
    "record": "the service: record bans from the spool in the ledger",
    "report": "what happened: totals, bans per day, countries, addresses",
    "top": "the addresses, countries, jails, users ... with most bans",
    "status": "whether bans are recorded, what waits, and what is wrong",
    "bans": "bans one by one, newest first",
    "show": "everything about an address, a network or one ban",
    "whois": "the network of an address, from the ledger or its registry",
    "kv": "read the keys themselves, as redis-cli would",
    "demo": "a temporary fail2ban, a log of attacks, and their ledger",
    "store": "copy a ledger to another store, check it, rebuild it",
    "import": "import the past: logs and databases of fail2ban, a predecessor's Redis",
    "forget": "forget bans, a user name or matched lines, for ever",
    "setup": "put banledger on this machine, and remove it again",
    "doctor": "whether bans reach the ledger, and what to do if not",
    "action": "about the fail2ban action",
}
"""Every command with its line in the help. Command `x` is the function `x` of `banledger.cli.x`."""

_NAMES = {"import": "import_"}  # where the command's name is a keyword of Python

_HELP = """The record of every ban that fail2ban makes: address, time, jail, country.

\b
Example:
  banledger report                        the last 30 days
  banledger top country --since 7d        who attacks most
  banledger bans --jail sshd --country CN
  banledger show 203.0.113.9

\b
Settings come from flags, then BANLEDGER_* in the environment
(BANLEDGER_STORE, BANLEDGER_SPOOL, BANLEDGER_PREFIX, BANLEDGER_TIMEZONE), then
/etc/banledger/banledger.toml (or --config, or BANLEDGER_CONFIG).

\b
Exit codes:
"""


def _again(error: type[BanledgerError] | None) -> str:
    return "; trying again may help" if error and error.retryable else ""


class _Commands(Group):
    """A group that imports a command only when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = _NAMES.get(cmd_name, cmd_name)
        command = getattr(import_module(f"banledger.cli.{name}"), name)
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands,
    help=_HELP + "".join(f"  {code:<4} {meaning}{_again(error)}\n" for code, error, meaning in EXIT_CODES),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="banledger %(version)s")
def commands() -> None:
    """All commands. See `run`."""


def run(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name; return the exit code. Its output is written when this returns."""
    gc.set_threshold(50_000)  # a command is short
    atexit.register(gc.freeze)  # faster exit: skip the last garbage collection
    try:
        _invoke(list(arguments) or ["--help"])
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        return _usage(error)
    except BanledgerError as error:
        return tell(error)
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED
    return 0


def _invoke(arguments: list[str]) -> None:
    """Run it. Output that can't be written is an error of the command, even if it shows only at the end."""
    try:
        if not _completes():
            with commands.make_context("banledger", arguments) as context:
                commands.invoke(context)
    finally:
        sys.stdout.flush()


def _completes() -> bool:
    """Print completions if a shell asked for them (click's protocol); return whether it did."""
    if not (instruction := os.environ.get("_BANLEDGER_COMPLETE")):
        return False
    from click.shell_completion import shell_complete

    shell_complete(commands, {}, "banledger", "_BANLEDGER_COMPLETE", instruction)
    return True


def _usage(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    _talk(what_is_wrong(error), f"{context.command_path if context else 'banledger'} --help")
    return error.exit_code


def tell(error: BanledgerError) -> int:
    """Print an error; return its exit code."""
    _talk(str(error), error.hint)
    return error.exit_code


def _talk(message: str, hint: str) -> None:
    from banledger.report.formats.escape import visible

    click.echo(f"error: {visible(message)}", err=True)
    if hint:
        click.echo(f"hint: {visible(hint)}", err=True)
