"""Checks of the offline data: the registries' countries, and the user's own databases."""

import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

from banledger.doctor.access import may_read
from banledger.doctor.diagnosis import Diagnosis, caution, together, well
from banledger.doctor.examined import RESTART, Examined
from banledger.report.formats.moment import rough
from banledger.setup.program import HOME

_OLD_S = 60 * 86_400.0
_OLD_RELEASE_S = 365 * 86_400.0


def registered(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    missing = caution("iptocc is not installed: countries are XX until whois answers", _install(examined))
    try:
        release, spec = version("iptocc"), find_spec("iptocc")
    except PackageNotFoundError:
        return missing
    if spec is None or spec.origin is None:
        return missing
    age = examined.now - Path(spec.origin).stat().st_mtime
    if age > _OLD_RELEASE_S:
        return caution(f"iptocc {release} was installed {rough(age)} ago; a newer banledger brings a newer one")
    return well(f"iptocc {release}, installed {rough(age)} ago")


def _install(examined: Examined) -> str:
    """The command that puts iptocc into the service's environment, where one is known."""
    pip = examined.machine.place(f"{HOME}/bin/pip")
    if examined.machine.packaged:
        return examined.make_program()
    return f"{quote(str(pip))} install iptocc && {RESTART}" if pip.exists() else ""


def located(examined: Examined) -> Diagnosis | None:
    """See the table of checks."""
    paths = [Path(path) for path in examined.chosen.mmdb.split(":") if path]
    if not paths:
        return None
    return together(_faults(examined, paths), well(", ".join(path.name for path in paths)))


def _faults(examined: Examined, paths: list[Path]) -> Iterator[Diagnosis]:
    import maxminddb

    for path in paths:
        listed = f"ls -l {quote(str(path))}"
        try:
            with maxminddb.open_database(path, maxminddb.MODE_FILE) as database:
                age = time.time() - database.metadata().build_epoch
        except Exception as error:  # noqa: BLE001 - readers of broken files raise anything
            yield caution(f"{path} can't be read: {error}", listed)
            continue
        if not may_read(examined.machine, path):
            yield caution(f"the service may not read {path}", f"chmod o+r {quote(str(path))}")
        if age > _OLD_S:
            yield caution(f"{path.name} was built {rough(age)} ago", "geoipupdate")
