"""The check of bans: whether the ledger has what fail2ban holds. Bans come and go, so it looks twice if need be."""

import time

from banledger.doctor.diagnosis import Diagnosis, caution, together, unseen, well, wrong
from banledger.doctor.differences import JailDifference, differences
from banledger.doctor.examined import Examined
from banledger.doctor.fail2ban import client
from banledger.errors import BanledgerError
from banledger.report.formats.escape import many
from banledger.setup.configuration import ACTION
from banledger.setup.fail2ban import SILENT

_AGAIN_S = 3.0
_LABEL = "localhost"  # the action's own default


def compared(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    if not examined.server.alive:
        return unseen(SILENT)
    try:
        found = _compared(examined, again=False)
        if any(one.any() for one in found.values()):
            time.sleep(_AGAIN_S)
            second = _compared(examined, again=True)
            found = {name: found[name].confirmed(one) for name, one in second.items() if name in found}
    except BanledgerError as error:
        return unseen(str(error))
    if not found:
        return unseen("no running jail has the action")
    return together([_judged(examined, one) for one in found.values() if one.any()], well(_fine(list(found.values()))))


def _fine(found: list[JailDifference]) -> str:
    banned, waiting = sum(one.banned for one in found), sum(one.waiting for one in found)
    where = f"{banned - waiting:,} in the ledger, {waiting:,} waiting in the spool" if waiting else "all in the ledger"
    return f"{many(banned, 'ban')} of {many(len(found), 'jail')} in force: {where}"


def _compared(examined: Examined, *, again: bool) -> dict[str, JailDifference]:
    labels = {jail.name: (jail.options() or {}).get("server", _LABEL) for jail in examined.jails.enabled()}
    server = examined.ask_server() if again else examined.server
    ours = [jail for jail in server.jails if ACTION in jail.actions and jail.name in labels]
    with examined.ledger() as reader:
        return {one.jail: one for one in differences(examined, reader, labels, ours)}


def _judged(examined: Examined, one: JailDifference) -> Diagnosis:
    again = client(examined, "reload", "--restart", one.jail)
    if one.lacking:
        return wrong(f"{one.jail}: the ledger lacks {many(len(one.lacking), 'ban')} in force", again)
    if one.unrecorded:
        what = "of fail2ban's database since the jail started"
        return wrong(f"{one.jail}: the ledger lacks {many(len(one.unrecorded), 'ban')} {what}", again)
    return caution(f"{one.jail}: {many(len(one.extra), 'ban')} in force in the ledger only", again)
