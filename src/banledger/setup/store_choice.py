"""The store that a setup writes to the settings, opened before anything is changed."""

from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from banledger import settings
from banledger.errors import LedgerMissing, SettingsError
from banledger.ledger.opening import open_to_read
from banledger.settings import Settings
from banledger.setup.machine import STATE_DIRECTORY, Machine
from banledger.stores.connect import access, is_server

SETTINGS = "/etc/banledger/banledger.toml"


class StoreChoice(Struct, frozen=True):
    """The store that the settings shall name, and its password, if it has one."""

    store: str = ""
    password: str = ""


def choose(machine: Machine, store: str | None, password_file: str | None) -> StoreChoice:
    """The store that is asked for, and its password. It is opened first. Raises SettingsError, StoreError."""
    if store is None:
        return StoreChoice()
    chosen = _loaded(machine, store)
    if not is_server(store):
        path = Path(store.removeprefix("sqlite://"))
        if path.parent != Path(STATE_DIRECTORY):
            raise SettingsError(
                f"the service may write to {STATE_DIRECTORY} only, not to {path.parent}",
                hint="run `systemctl edit banledger` for another place, and name it in the settings",
            )
        return StoreChoice(store)
    if password_file is not None:
        chosen = replace(chosen, password="", password_file=password_file)
    credentials = access(chosen)
    with suppress(LedgerMissing):  # the recorder makes it
        open_to_read(chosen.store, chosen.prefix, credentials).close()
    return StoreChoice(store, credentials.password if password_file is not None else "")


def installed_settings(machine: Machine) -> Settings:
    """The settings that the service has. Raises SettingsError."""
    return _loaded(machine, None)


def _loaded(machine: Machine, store: str | None) -> Settings:
    config = machine.place(SETTINGS)
    return settings.load({"store": store, "config": str(config) if config.exists() else None}, {})
