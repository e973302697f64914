"""The directory of an embedded ledger."""

from pathlib import Path

from banledger.errors import StoreUnavailable
from banledger.stores.connect import is_server


def check_directory(store: str) -> None:
    """Check that it exists before the ledger is opened to write. Raises StoreUnavailable if it is missing."""
    if is_server(store):
        return
    directory = Path(store.removeprefix("sqlite://")).parent
    if not directory.exists():
        raise StoreUnavailable(
            f"there is no directory {directory} for the ledger",
            hint="make it and give it to the service's user (install -d -o banledger -g banledger -m 750 DIR), "
            "or name another ledger with --store or BANLEDGER_STORE",
        )
