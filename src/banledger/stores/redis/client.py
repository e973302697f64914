"""A server of Redis's kind: which one will do, and how we log in."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from redis import exceptions

_NAME = "banledger"  # in the server's CLIENT LIST
_KNOWN_SINCE_6_2 = "ZMSCORE"


class Unfit(exceptions.RedisError):
    """The server will not do as it is; `hint` says what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


class Dropped(exceptions.ConnectionError):
    """The connection was made, and closed before anything was answered."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"{error} (at the first word)")


class Handshake:
    """What is done at each connect: log in, and refuse a server that is too old.

    `once`: never connect again. Who writes must learn that a connection was lost: the server may have come back
    without what was written last.
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
        with suppress(exceptions.ResponseError):  # good to have; CLIENT may be renamed or forbidden
            connection.send_command("CLIENT", "SETNAME", _NAME)
            connection.read_response()
        self._done = True


def _greeting(connection: Any) -> dict[str, Any]:
    """Log in; the server's reply to HELLO. Raises RedisError."""
    try:
        connection.on_connect()
    except AttributeError as error:  # redis-py takes whatever came for that reply
        raise exceptions.InvalidResponse("it does not greet as Redis does") from error
    except exceptions.AuthenticationError as error:
        if str(error).startswith("Authentication required") and connection.password:
            raise _hidden("HELLO") from error  # it would have taken the password
        raise
    except exceptions.ResponseError as error:
        if "unknown command" in str(error) and "HELLO" in str(error).upper():
            raise _without_hello(connection) from None  # its arguments, which it repeats, are the password
        raise
    except exceptions.ConnectionError as error:
        if type(error) is exceptions.ConnectionError and not str(error).startswith("max number of clients"):
            raise Dropped(error) from error
        raise
    said = connection.handshake_metadata
    if not isinstance(said, dict):
        raise exceptions.InvalidResponse("it does not greet as Redis does")
    return said


def _without_hello(connection: Any) -> Unfit:
    """Why there is no HELLO: the server is too old, or hides it."""
    try:
        connection.send_command(_KNOWN_SINCE_6_2)
        connection.read_response()
    except (exceptions.AuthenticationError, exceptions.ResponseError) as error:
        if "unknown command" not in str(error):
            return _hidden("HELLO")
    return Unfit(f"is older than {_name('redis')}, which it must be at least", "upgrade it")


def _hidden(command: str) -> Unfit:
    return Unfit(
        f"does not know {command}: it is renamed or disabled there", f"{command} is needed: see rename-command"
    )


_OLDEST = {"redis": ("Redis", (6, 2)), "valkey": ("Valkey", (7, 2))}


def too_old(server: str, version: str) -> str:
    """What is wrong with a server of that name and version (as HELLO says them), or nothing."""
    program, oldest = _OLDEST.get(server, ("", ()))
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[: len(oldest)])
    if not numbers or numbers >= oldest:
        return ""
    return f"is {program} {version}; it must be at least {_name(server)}"


def _name(server: str) -> str:
    program, oldest = _OLDEST[server]
    return f"{program} {'.'.join(map(str, oldest))}"


def cautions(facts: Mapping[str, str]) -> list[str]:
    """What in the server's set-up (fields of its INFO) endangers a ledger. Empty where it doesn't say."""
    found = []
    policy = facts.get("maxmemory_policy", "")
    if policy.startswith("allkeys-") and facts.get("maxmemory", "0") != "0":  # no other takes keys that never expire
        evicted = facts.get("evicted_keys", "0")
        already = f", and has evicted {evicted} since it started" if evicted != "0" else ""
        found.append(f"the store may evict keys (maxmemory-policy {policy}){already}: set noeviction")
    if facts.get("aof_enabled") == "0":
        found.append("the store does not keep an append-only file: a crash loses what came since its last snapshot")
    return found
