"""Checks of what an upgrade or a setup left half done: the unit's file, and the journal of the setup."""

from importlib.resources import files

from banledger.doctor.diagnosis import Diagnosis, caution, together, unseen, well, wrong
from banledger.doctor.examined import RESTART, Examined
from banledger.setup.changes import STATE
from banledger.setup.machine import UNIT
from banledger.setup.program import HOME


def unit_file(examined: Examined) -> Diagnosis | None:
    """See the table of checks."""
    machine = examined.machine
    place = machine.place(machine.unit)
    try:
        there = place.read_bytes()
    except FileNotFoundError:
        return wrong(f"there is no {place}", examined.setup()) if machine.systemd else None
    except OSError as error:
        return unseen(f"can't read {place}: {error.strerror}")
    ours = (files("banledger") / "packaging/root" / UNIT.lstrip("/")).read_bytes()
    found = []
    if there != ours:
        remedy = "dpkg --verify banledger" if machine.packaged else examined.setup()
        found.append(caution(f"{place} is not the one of this version", remedy))
    if examined.unit.get("NeedDaemonReload") == "yes":
        found.append(wrong("systemd has not read the unit again", f"systemctl daemon-reload && {RESTART}"))
    return together(found, well("it is the one of this version"))


def setup(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    state = examined.machine.place(STATE)
    services = ["fail2ban", "service"] if examined.machine.systemd else ["fail2ban"]
    places = [*(state / f"restart-{name}" for name in services), examined.machine.place(f"{HOME}.new")]
    if left := [str(place) for place in places if place.exists()]:
        return wrong(f"a setup was interrupted: {', '.join(left)}", examined.setup())
    if not examined.is_set_up:
        return wrong("there was none yet", examined.setup())
    if not state.exists():
        return well("there was none: banledger was installed by hand")
    return well("it is complete")
