"""Ask this machine's fail2ban which jails ban, if it may be asked: its socket is usually root's."""

import os

from banledger.errors import BanledgerError
from banledger.report.status import UnrecordedJail
from banledger.setup.machine import Machine

_SOCKET = "/run/fail2ban/fail2ban.sock"
_PATIENCE_S = 3.0


def unrecorded_jails(machine: Machine, recorded: set[str]) -> tuple[UnrecordedJail, ...] | None:
    """Return the jails that ban and are not among the recorded ones; None: fail2ban can't be asked, or is silent."""
    if os.geteuid() != 0 and not os.access(machine.place(_SOCKET), os.R_OK | os.W_OK):
        return None
    try:
        server = machine.fail2ban(_PATIENCE_S).server()
    except BanledgerError:
        return None
    if not server.alive:
        return None
    others = [jail for jail in server.jails if jail.name not in recorded and (jail.banned or jail.total)]
    return tuple([UnrecordedJail(jail.name, len(jail.banned), jail.total) for jail in others])
