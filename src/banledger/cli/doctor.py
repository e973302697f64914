"""`banledger doctor`."""

import time
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from banledger.cli.options import machine_options, spool_option, store_options
from banledger.errors import FaultsFound
from banledger.report.formats.escape import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from banledger.doctor.checks import CheckResult
    from banledger.doctor.examined import Examined


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
@click.option(
    "--bundle",
    metavar="FILE",
    is_flag=False,
    flag_value="",
    help="Write an archive for a bug report, without addresses.",
)
@spool_option
@store_options
@machine_options
def doctor(as_json: bool, bundle: str | None, root: Path, fail2ban_config: str, **flags: str | None) -> None:
    """Find out whether bans reach the ledger: one line a check, and a command for what is wrong.

    Looks at fail2ban, its jails and its log, the spool, the service, the store, clocks and offline data. It changes
    nothing. Run it as root: other users are told which checks need root.

    The exit code is 0 if no check failed (✗), else 12. What is marked with ! needs attention, and bans are recorded.

    --bundle writes an archive (tar.gz) with the findings, versions, settings, listings and logs. Addresses, names and
    passwords in it are replaced or left out. Read it before you send it.

    \b
    Example:
      banledger doctor
      banledger doctor --json
      banledger doctor --bundle report.tar.gz
    """
    from banledger.doctor.checks import results
    from banledger.doctor.examined import Examined
    from banledger.setup.machine import Machine

    examined = Examined(Machine(root.resolve(), fail2ban_config), flags, time.time())
    found = results(examined)
    if bundle is not None:
        _bundle(examined, found, bundle)
        return
    failed = (_print_json if as_json else _print)(found)
    if failed:
        raise FaultsFound(
            f"{failed} {'check' if failed == 1 else 'checks'} failed",
            hint="run the commands below the failed checks, as root",
        )


def _print(found: "Iterable[CheckResult]") -> int:
    """Print a line as soon as its check is done; return how many failed."""
    import sys

    from banledger.doctor.diagnosis import Verdict
    from banledger.doctor.screen import lines, symbols_for

    symbols, failed = symbols_for(sys.stdout.encoding), 0
    for result in found:
        for line in lines(result, symbols):
            click.echo(line)
        failed += result.diagnosis.verdict is Verdict.WRONG
    return failed


def _print_json(found: "Iterable[CheckResult]") -> int:
    """Print all results as one object; return how many failed."""
    import json

    from banledger.doctor.diagnosis import Verdict
    from banledger.doctor.screen import as_object

    done = list(found)
    click.echo(json.dumps(as_object(done), indent=2))
    return sum(one.diagnosis.verdict is Verdict.WRONG for one in done)


def _bundle(examined: "Examined", found: "Iterable[CheckResult]", name: str) -> None:
    """Write the archive, and say what it holds."""
    from banledger.doctor.bundle import members, write
    from banledger.doctor.evidence import collected
    from banledger.doctor.redaction import Redaction, vocabulary
    from banledger.doctor.sensitive import sensitive

    place = Path(name or time.strftime("banledger-doctor-%Y%m%d-%H%M%S.tar.gz"))
    click.echo("collecting versions, settings, units, jails, listings, logs and counts", err=True)
    hidden = sensitive(examined)
    files = members(collected(examined, found), Redaction(vocabulary(), hidden.secrets, hidden.names))
    write(place, files)
    for member, content in files.items():
        click.echo(f"{len(content):>9,} bytes  {member}")
    shown = visible(quote(str(place)))
    click.echo(
        f"{shown} is written. Addresses, names and passwords are replaced or removed, as far as they are recognised:"
    )
    click.echo(f"read it before you send it (tar -xzOf {shown} | less)")
