"""Checks of the jails: the action in fail2ban's configuration, in its running server, and the action's file."""

import hashlib
from importlib.resources import files

from banledger.doctor.diagnosis import Diagnosis, caution, unseen, well, wrong
from banledger.doctor.examined import Examined
from banledger.doctor.fail2ban import client
from banledger.errors import BanledgerError
from banledger.report.formats.escape import many
from banledger.setup.configuration import ACTION
from banledger.setup.fail2ban import SILENT

_ROUND_S = 1.0
_NO_CONFIGURATION = "fail2ban's configuration can't be read"


def configured(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    if isinstance(examined.configuration, BanledgerError):
        return unseen(_NO_CONFIGURATION)
    jails = [jail for jail in examined.configuration.enabled() if not jail.error]
    if not jails:
        return caution("no jail is enabled, so there is nothing to record", "fail2ban-client -d")
    lacking = [jail.name for jail in jails if ACTION not in jail.actions()]
    if not lacking:
        return well(f"{many(len(jails), 'jail')} with it")
    if len(lacking) == len(jails) or _covers_all(examined):
        return wrong(f"these jails don't have it: {', '.join(lacking)}", examined.setup())
    return caution(f"only chosen jails have it, these don't: {', '.join(lacking)}", examined.setup())


def _covers_all(examined: Examined) -> bool:
    """Whether our file in fail2ban's configuration speaks for all jails."""
    try:
        return "\n[DEFAULT]\n" in examined.machine.place(examined.machine.jail_file).read_text("utf-8", "replace")
    except OSError:
        return False


def running(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    if not examined.server.alive:
        return unseen(SILENT)
    if isinstance(examined.configuration, BanledgerError):
        return unseen(_NO_CONFIGURATION)
    wanted = {jail.name for jail in examined.configuration.enabled() if ACTION in jail.actions()}
    there = {jail.name: jail.actions for jail in examined.server.jails}
    without = sorted(name for name in wanted & there.keys() if ACTION not in there[name])
    if without:
        commands = " && ".join(client(examined, "reload", "--restart", name) for name in without)
        return wrong(f"these jails started without it: {', '.join(without)}", commands)
    if absent := sorted(wanted - there.keys()):
        return caution(f"these jails are enabled and don't run: {', '.join(absent)}", client(examined, "reload"))
    return well(f"{many(len(wanted), 'running jail')} with it")


def action_file(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    place = examined.machine.place(examined.machine.action_file)
    try:
        there = place.read_bytes()
    except FileNotFoundError:
        return wrong(f"there is no {place}", examined.setup())
    except OSError as error:
        return unseen(f"can't read {place}: {error.strerror}")
    ours = (files("banledger.action") / f"{ACTION}.py").read_bytes()
    if there != ours:
        digest = hashlib.sha256(there).hexdigest()[:8]
        return wrong(f"{place} (sha256 {digest}…) is not the one of this version", examined.setup())
    started = examined.started("fail2ban") if examined.machine.manages_fail2ban else 0.0
    if 0 < started < place.stat().st_mtime - _ROUND_S:
        return wrong("fail2ban was not restarted since it changed", "systemctl restart fail2ban")
    return well("it is the one of this version")
