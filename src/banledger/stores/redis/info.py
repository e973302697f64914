"""What a server says about itself: its INFO, which may be renamed or forbidden."""

from collections.abc import Callable, Mapping
from typing import Any

from banledger.errors import StoreError
from banledger.stores.api import StoreDetails

_PROGRAMS = {"valkey_version": "Valkey", "redis_version": "Redis"}  # a Valkey says both


def info(call: Callable[..., Any]) -> dict[str, str]:
    """Return the fields of INFO; empty if it can't be had. `call` runs a command."""
    try:
        lines = str(call("INFO")).splitlines()
    except StoreError:
        return {}
    return dict(line.partition(":")[::2] for line in lines if ":" in line)


def details_of(where: str, fields: Mapping[str, str]) -> StoreDetails:
    """Return the details of the store at `where`, from the fields of INFO."""
    named = [f"{program} {fields[name]}" for name, program in _PROGRAMS.items() if name in fields]
    clock, used = fields.get("server_time_usec", ""), fields.get("used_memory", "")
    return StoreDetails(
        where,
        named[0] if named else "",
        int(used) if used.isdecimal() else None,
        of_server=True,
        clock=int(clock) / 1e6 if clock.isdecimal() else None,
    )
