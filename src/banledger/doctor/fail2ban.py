"""Checks of fail2ban itself: its version, whether it answers, and why not."""

import re
from pathlib import Path
from shlex import join

from banledger.doctor.diagnosis import Diagnosis, caution, unseen, well, wrong
from banledger.doctor.examined import Examined
from banledger.doctor.log import last_error
from banledger.errors import BanledgerError, MissingFail2ban
from banledger.report.formats.escape import many
from banledger.setup.machine import FAIL2BAN

HANGS = "does not answer"
_OLDEST = (1, 0)
_FAULTS = (
    ((1, 1), "before 1.1 it does not run in Python 3.12 or later"),
)  # fmt: skip
"""Faults of versions before the first number that matter to us, and that nothing here can mend."""


def installed(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    configuration = examined.configuration
    if isinstance(configuration, BanledgerError):
        missing = isinstance(configuration, MissingFail2ban)
        return wrong(str(configuration), "apt-get install fail2ban" if missing else configuration.hint)
    version = configuration.version
    number = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if number < _OLDEST:
        return caution(
            f"{version} is older than 1.0, the oldest tested with banledger", "apt-get install --only-upgrade fail2ban"
        )
    faults = "; ".join(fault for before, fault in _FAULTS if number < before)
    return well(f"{version} ({faults})" if faults else version)


def answers(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    configuration = examined.configuration
    if isinstance(configuration, BanledgerError):
        return unseen("its configuration can't be read")
    broken = examined.broken
    if not examined.server.alive:
        return _dead(examined, broken)
    if broken:
        return caution(f"it runs, but can't start again: {broken}", examined.setup("--mend"))
    return well(f"it runs, with {many(len(examined.server.jails), 'jail')}")


def client(examined: Examined, *words: str) -> str:
    """The command that tells it something."""
    machine = examined.machine
    where = () if machine.config == FAIL2BAN and machine.whole else ("-c", str(machine.place(machine.config)))
    return join(["fail2ban-client", *where, *words])


def _dead(examined: Examined, broken: str) -> Diagnosis:
    restart = "systemctl restart fail2ban" if examined.machine.manages_fail2ban else client(examined, "restart")
    if isinstance(examined.fail2ban, BanledgerError):
        return unseen(str(examined.fail2ban))
    if HANGS in examined.server.why:
        return wrong(f"it hangs: it {examined.server.why}", restart)
    if broken:
        return wrong(f"it can't start: {broken}", examined.setup("--mend"))
    machine = examined.machine
    if machine.place(machine.jail_file).exists() and not machine.place(machine.action_file).exists():
        return wrong(f"it can't start: there is no {machine.place(machine.action_file)}", examined.setup())
    tried = examined.fail2ban.ask("-t")
    if tried.code != 0:
        return wrong(f"it can't start: {tried.reason()}", client(examined, "-t"))
    said = _last_words(examined)
    return wrong(f"it doesn't run: {said}" if said else "it doesn't run", restart)


def _last_words(examined: Examined) -> str:
    """Its last complaint before it ended: in its log, or in the journal of its unit."""
    if examined.server.log.startswith("/") and (said := last_error(Path(examined.server.log))):
        return said
    if examined.unit_of("fail2ban").get("ActiveState") != "failed":
        return ""
    lines = reversed(examined.journal("fail2ban", 20))
    return next((line for line in lines if "ERROR" in line or "rror:" in line), "")
