"""Connections to Redis or Valkey: log in, and refuse a server that is too old or misconfigured."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from redis import exceptions

_NAME = "banledger"  # in the server's CLIENT LIST
_KNOWN_SINCE_6_2 = "ZMSCORE"
_NO_GREETING = "unexpected reply to HELLO"


class Unfit(exceptions.RedisError):
    """The server can't be used as it is; `hint` says what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


class Dropped(exceptions.ConnectionError):
    """The server accepted the connection and closed it before it answered."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"{error} (during the handshake)")


class Handshake:
    """Log in at each connect, and refuse a server that is too old.

    `once`: connect only once. A writer must notice a lost connection, because the server may have lost the last writes.
    """

    def __init__(self, *, once: bool) -> None:
        self._once = once
        self._done = False

    def __call__(self, connection: Any) -> None:
        """Called by redis-py instead of its own `on_connect`."""
        if self._once and self._done:
            raise exceptions.ConnectionError("the connection was lost")
        said = _greeting(connection)
        if said.get("mode") == "sentinel":
            raise Unfit("is a Sentinel, which holds no data", "give the address of the primary")
        if fault := too_old(str(said.get("server")), str(said.get("version"))):
            raise Unfit(fault, "upgrade it")
        with suppress(exceptions.ResponseError):  # optional: CLIENT may be renamed or forbidden
            connection.send_command("CLIENT", "SETNAME", _NAME)
            connection.read_response()
        self._done = True


def _greeting(connection: Any) -> dict[str, Any]:
    """Log in, and return the server's reply to HELLO. Raises RedisError."""
    try:
        connection.on_connect()
    except AttributeError as error:  # redis-py does not check the type of that reply
        raise exceptions.InvalidResponse(_NO_GREETING) from error
    except exceptions.AuthenticationError as error:
        if str(error).startswith("Authentication required") and connection.password:
            raise _hidden("HELLO") from error  # HELLO would have accepted the password
        raise
    except exceptions.ResponseError as error:
        if "unknown command" in str(error) and "HELLO" in str(error).upper():
            raise _without_hello(connection) from None  # the error quotes the arguments: the password
        raise
    except exceptions.ConnectionError as error:
        if type(error) is exceptions.ConnectionError and not str(error).startswith("max number of clients"):
            raise Dropped(error) from error
        raise
    said = connection.handshake_metadata
    if not isinstance(said, dict):
        raise exceptions.InvalidResponse(_NO_GREETING)
    return said


def _without_hello(connection: Any) -> Unfit:
    """Return why HELLO is missing: the server is too old, or hides it."""
    try:
        connection.send_command(_KNOWN_SINCE_6_2)
        connection.read_response()
    except (exceptions.AuthenticationError, exceptions.ResponseError) as error:
        if "unknown command" not in str(error):
            return _hidden("HELLO")
    return Unfit(f"is older than {_name('redis')}; it must be at least that version", "upgrade it")


def _hidden(command: str) -> Unfit:
    return Unfit(
        f"does not know {command}: it is renamed or disabled there", f"{command} is needed: see rename-command"
    )


_OLDEST = {"redis": ("Redis", (6, 2)), "valkey": ("Valkey", (7, 2))}


def too_old(server: str, version: str) -> str:
    """Return the fault of a server that is too old, given its name and version from HELLO; empty: none."""
    program, oldest = _OLDEST.get(server, ("", ()))
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[: len(oldest)])
    if not numbers or numbers >= oldest:
        return ""
    return f"is {program} {version}; it must be at least {_name(server)}"


def _name(server: str) -> str:
    program, oldest = _OLDEST[server]
    return f"{program} {'.'.join(map(str, oldest))}"


def cautions(facts: Mapping[str, str]) -> list[str]:
    """Return the server's settings that endanger a ledger, from fields of its INFO. Unknown settings are not listed."""
    found = []
    policy = facts.get("maxmemory_policy", "")
    if policy.startswith("allkeys-") and facts.get("maxmemory", "0") != "0":  # others spare keys that never expire
        evicted = facts.get("evicted_keys", "0")
        already = f", and has evicted {evicted} since it started" if evicted != "0" else ""
        found.append(f"the store may evict keys (maxmemory-policy {policy}){already}: set noeviction")
    if facts.get("aof_enabled") == "0":
        found.append("the store does not keep an append-only file: a crash loses all writes since its last snapshot")
    return found
