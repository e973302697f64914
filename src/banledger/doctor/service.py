"""Checks of the service: its unit, whether it runs what is installed, and what its heartbeat says."""

import os
import socket
from pathlib import Path
from shlex import quote

from banledger import __version__
from banledger.doctor.diagnosis import Diagnosis, caution, together, unseen, well, wrong
from banledger.doctor.examined import JOURNAL, RESTART, SERVICE, Examined
from banledger.errors import BanledgerError
from banledger.ledger.heartbeat import Heartbeat
from banledger.report.status import Level, judged, status
from banledger.setup.command import trusted
from banledger.setup.program import COMMAND, HOME, STAMP

_ROUND_S = 1.0
_WHICH = "import sys; print('python%d.%d' % sys.version_info[:2])"


def unit(examined: Examined) -> Diagnosis | None:
    """See the table of checks."""
    facts = examined.unit
    if not facts:
        return None
    if facts.get("LoadState") != "loaded":
        return wrong("there is no unit banledger.service", examined.setup())
    found = []
    active = facts.get("ActiveState", "")
    if active != "active":
        said = next((line for line in reversed(examined.journal(SERVICE, 20)) if "error: " in line), "")
        state = f"it is {active} ({facts.get('SubState', '')})" + (f": {said}" if said else "")
        found.append(wrong(state, RESTART if active != "activating" else JOURNAL))
    elif (restarts := facts.get("NRestarts", "0")) != "0":
        found.append(caution(f"systemd started it again {restarts} times", JOURNAL))
    if facts.get("UnitFileState") != "enabled":
        found.append(wrong("it doesn't start at boot", f"systemctl enable {SERVICE}"))
    if facts.get("WatchdogUSec", "0") in ("0", "infinity"):
        found.append(caution("it has no watchdog", examined.setup()))
    return together(found, well(f"active, {facts.get('StatusText') or 'no status'}; enabled, with a watchdog"))


def version(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    started = examined.started(SERVICE)
    if 0 < started < _made(examined.machine.place(HOME)) - _ROUND_S:
        return wrong("the service runs what was installed before; it was not restarted", RESTART)
    beat = own_heartbeat(examined)
    if beat is None:
        return unseen("no heartbeat of this machine's recorder")
    if beat.version != __version__:
        return wrong(f"the recorder is {beat.version}, this is {__version__}", RESTART if examined.unit else "")
    return well(__version__)


def _made(home: Path) -> float:
    """When the program was put there, by setup or by pip; UTC epoch seconds, 0: unknown."""
    by_pip = home.glob("lib/*/site-packages/banledger-*.dist-info/RECORD")
    stamps = [home / STAMP] if (home / STAMP).exists() else by_pip
    return max((path.stat().st_mtime for path in stamps), default=0.0)


def own_heartbeat(examined: Examined) -> Heartbeat | None:
    """The last heartbeat of the recorder that reads this machine's spool; None: there is none."""
    try:
        with examined.ledger() as reader:
            beats = reader.heartbeats()
    except BanledgerError:
        return None
    host, spool = socket.gethostname(), os.path.realpath(examined.spool)  # as the recorder names it
    mine = [beat for beat in beats if (beat.host, beat.spool) == (host, spool)]
    return max(mine, key=lambda beat: beat.written, default=None)


def recorder(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    try:
        with examined.ledger() as reader:
            found = judged(status(reader, examined.now))
    except BanledgerError:
        return unseen("the ledger can't be read")
    verdicts = {Level.CRITICAL: wrong, Level.WARNING: caution, Level.UNKNOWN: caution}
    told = f"{examined.ours} status"
    said = [verdicts[one.level](one.what, told) for one in found.findings if not one.what.startswith("not recorded: ")]
    return together(said, well(f"{len(found.alive)} recording, nothing waits too long"))


def program(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    home = examined.machine.place(HOME)
    if not home.exists():
        if examined.unit.get("LoadState") == "loaded" or not examined.unit:
            return wrong(f"there is no {home}", examined.make_program())
        return unseen(f"there is no {home}")
    python = home / "bin/python"
    target = python.resolve()
    libraries = sorted(path.name for path in (home / "lib").glob("python3.*"))
    if not target.is_file():
        return wrong(f"its interpreter {target} is gone", examined.make_program())
    if not trusted(target) or not trusted(home / "bin", home):
        where = quote(str(home))
        return wrong(f"others than root may change {home}", f"chown -R root {where} && chmod -R go-w {where}")
    now = examined.run_file(python, "-I", "-c", _WHICH).out.strip()
    if now and now not in libraries:
        return wrong(
            f"it was made for {', '.join(libraries)}, and its interpreter is {now} now", examined.make_program()
        )
    said = examined.run_file(python, "-I", "-c", "import banledger.cli.record")
    if said.code != 0:
        return wrong(f"{home} doesn't run: {said.err.strip().rpartition(chr(10))[2]}", examined.make_program())
    return well(f"{examined.machine.place(COMMAND)} runs in {now}")
