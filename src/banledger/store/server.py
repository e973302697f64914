"""A server of Redis's kind: which one will do, how we log in, and its errors in our words."""

import re
from typing import Any

from redis import exceptions

from banledger.errors import StoreError, StoreUnavailable

_WORDS: tuple[tuple[str, str, str], ...] = (
    ("HELLO must be called", "asks for a password", "give it by password_file or BANLEDGER_PASSWORD"),
    ("WRONGTYPE", "holds something else at a key of the ledger", "remove that key, or choose another prefix"),
    ("MISCONF", "can't write to its disk and takes nothing more", "see its log"),
    ("NOREPLICAS", "has fewer replicas than it wants", "see its min-replicas-to-write"),
)
_HINTS: tuple[tuple[type[Exception], str, str], ...] = (
    (exceptions.AuthenticationError, "refuses the password", "check password_file or BANLEDGER_PASSWORD"),
    (exceptions.NoPermissionError, "does not let this user do that", "docs/stores.md says what it must be allowed"),
    (exceptions.ReadOnlyError, "is a read-only replica", "give the address of the primary"),
    (exceptions.OutOfMemoryError, "is out of memory", "raise its maxmemory or make room"),
    (exceptions.MovedError, "is a node of a cluster", "give the address of a server that holds all keys"),
    (exceptions.BusyLoadingError, "is still loading its data", "it is tried again when that is done"),
    (exceptions.TimeoutError, "does not answer in time", "is it overloaded, or is something between?"),
    (exceptions.ConnectionError, "can't be reached", "is it running, and is the address right?"),
    (OSError, "can't be reached", "is it running, and is the address right?"),
)
_DISTRUST = "CERTIFICATE_VERIFY_FAILED"


def translate(error: Exception, where: str, doing: str = "") -> StoreError:
    """The one place where redis-py's errors become ours. Bans wait through almost all of them: they are retryable.

    `doing`: the command and the key it was about. A kind of trouble has a hint of its own.
    """
    said = f"{error} ({doing})" if doing and isinstance(error, exceptions.ResponseError) else str(error)
    if isinstance(error, TooOld):
        return StoreError(f"{where} {error}", hint="upgrade it")
    if _DISTRUST in said:
        return StoreUnavailable(f"{where} can't prove who it is: {said}", hint="check tls_ca and the host's name")
    for word, what, hint in _WORDS:
        if said.startswith(word):
            return StoreUnavailable(f"{where} {what}: {said}", hint=hint)
    for kind, what, hint in _HINTS:
        if isinstance(error, kind):
            return StoreUnavailable(f"{where} {what}: {said}", hint=hint)
    return StoreUnavailable(f"{where} answers with an error: {said}")


class TooOld(exceptions.RedisError):
    """The server is older than what we need."""


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
        try:
            connection.on_connect()
        except exceptions.ResponseError as error:
            if "unknown command" in str(error) and "HELLO" in str(error).upper():
                raise TooOld(f"is older than {_name('redis')}, which it must be at least") from error
            raise
        said = connection.handshake_metadata
        if fault := too_old(str(said.get("server")), str(said.get("version"))):
            raise TooOld(fault)
        self._done = True


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
