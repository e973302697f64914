"""Check of the settings: the file, its mode, its names, and files with secrets."""

from pathlib import Path
from shlex import quote

from banledger.doctor.access import may_read
from banledger.doctor.diagnosis import Diagnosis, together, unseen, well, wrong
from banledger.doctor.examined import Examined
from banledger.doctor.store import edit
from banledger.errors import BanledgerError
from banledger.setup.machine import USER
from banledger.stores.connect import access


def settings(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    path = examined.settings_file
    if isinstance(examined.settings, BanledgerError):
        if not examined.root and str(examined.settings).startswith("can't read"):
            return unseen(str(examined.settings))
        return wrong(str(examined.settings), _remedy(examined, str(examined.settings), path))
    chosen = examined.settings
    try:
        access(chosen)
    except BanledgerError as error:
        return wrong(str(error), _remedy(examined, str(error), Path(chosen.password_file)))
    secrets = [Path(name) for name in (chosen.password_file, chosen.tls_ca, chosen.tls_cert, chosen.tls_key) if name]
    found = []
    for one in [*([path] if path.exists() else []), *secrets]:
        if not one.is_file():
            found.append(wrong(f"there is no file {one}", edit(examined)))
        elif examined.root and not may_read(examined.machine, one):
            found.append(wrong(f"the service may not read {one}", _for_service(one)))
    return together(found, well(str(path) if path.exists() else f"there is no {path}: defaults are in force"))


def _remedy(examined: Examined, error: str, path: Path) -> str:
    if "accessible to everybody" in error:
        return _for_service(path)
    return edit(examined)


def _for_service(path: Path) -> str:
    """The command that lets only root and the service's group read a file."""
    return f"chown root:{USER} {quote(str(path))} && chmod 640 {quote(str(path))}"
