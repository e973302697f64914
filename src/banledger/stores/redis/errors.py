"""Translate errors of redis-py and the server: each message is true, each hint says what to do."""

import re
from errno import EACCES, ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH, ENOENT

from redis import exceptions

from banledger.errors import StoreError, StoreUnavailable
from banledger.stores.redis.client import Unfit

_DOWN = "check that the server runs there, and that the address is right"
_ACL = "it lacks {right}; docs/stores.md, 'A user of its own', has the ACL for it"
_PASSWORD = "password_file or BANLEDGER_PASSWORD"  # noqa: S105
_STARTED = r"connecting .*"

_PROBLEMS: tuple[tuple[str | type[Exception], str, str], ...] = (
    # No connection: redis-py's `Error NUMBER connecting to …`.
    (rf"{_STARTED}CERTIFICATE_VERIFY_FAILED", "has a certificate that can't be verified",
     "check tls_ca and the host's name"),
    (rf"{_STARTED}(WRONG_VERSION_NUMBER|record layer failure)", "does not speak TLS at that port",
     "give its TLS port, or redis:// for one without TLS"),
    (rf"{_STARTED}(_ssl\.c|\[SSL)|the handshake\) over TLS$", "can't be reached over TLS: it closed the connection",
     "it may ask for a certificate (tls_cert, tls_key) that it trusts, or have too many clients (maxclients)"),
    (r"^Error -\d+ connecting", "can't be reached: its name can't be resolved",
     "check the name in the address, and this machine's DNS"),
    (rf"^Error ({ENETUNREACH}|{EHOSTUNREACH}|{ENETDOWN}|{EHOSTDOWN}) connecting", "can't be reached: no route to it",
     "check this machine's network, and the address"),
    (rf"^Error {EACCES} connecting", "does not let this system user open its socket",
     "add the user to the socket's group (docs/stores.md, 'The address')"),
    (rf"^Error {ENOENT} connecting", "can't be reached: there is no such socket", _DOWN),
    (rf"^Error {ECONNREFUSED} connecting", "can't be reached: nothing listens there", _DOWN),
    ("^Timeout connecting", "does not answer in time: no connection was made",
     "look for a firewall between, and with rediss:// check that the port speaks TLS"),
    # Connected to another kind of server.
    (exceptions.InvalidResponse, "is not a Redis or Valkey server: it speaks another protocol",
     "check host and port of the address; a proxy for HTTP can't be used"),
    # Connected, but access is denied.
    ("^max number of clients", "has too many clients", "raise its maxclients, or close connections of other programs"),
    ("during the handshake", "closed the connection before it answered",
     "check whether the port requires TLS (rediss://), or whether this is a proxy whose server is down"),
    ("^DENIED", "is in protected mode and refuses clients of other machines", "set a password for it"),
    ("^(HELLO must be called|Authentication required)", "requires a password", "set {secret}"),
    (exceptions.AuthenticationError, "refuses the password", "check {secret}"),
    (exceptions.NoPermissionError, "does not let this user do that", _ACL),
    ("because of: NOPERM|^ACL failure in|^The user executing the script", "does not let this user do that", _ACL),
    ("^DB index is out of range", "has no database of that number", "give another at the end of the address"),
    # A command fails.
    ("(?i)^unknown (redis )?command", "does not know a command",
     "{command} is needed, but renamed or disabled there: see its rename-command"),
    ("^WRONGTYPE", "holds another type at a key of the ledger",
     "banledger store check names every such key, banledger store rebuild repairs the ledger"),
    ("^MISCONF", "can't write to its disk and refuses writes", "see its log"),
    ("^NOREPLICAS", "has fewer replicas than it requires", "see its min-replicas-to-write"),
    ("^BUSY ", "is busy with a script of another program", "it is tried again; SCRIPT KILL ends the script"),
    (exceptions.ReadOnlyError, "is a read-only replica", "give the address of the primary"),
    (exceptions.MasterDownError, "is a replica that lost its primary", "give the address of the primary, or repair it"),
    (exceptions.ClusterDownError, "is a node of a cluster that is down", "give the address of a server, not a cluster"),
    (exceptions.MovedError, "is a node of a cluster", "give the address of a server that holds all keys"),
    (exceptions.OutOfMemoryError, "is out of memory", "raise its maxmemory or make room"),
    (exceptions.BusyLoadingError, "is still loading its data", "it is tried again when that is done"),
    (exceptions.TimeoutError, "does not answer in time", "check its load, and the network between"),
    (exceptions.ConnectionError, "can't be reached: the connection was lost", _DOWN),
    (OSError, "can't be reached: the connection was lost", _DOWN),
)  # fmt: skip
"""A pattern of the error's text, or its class; the problem; what to do. The first match counts."""

_REPEATED = re.compile(r"^(HELLO must be called|Error -?\d+ connecting(?!.*\[SSL))")
"""Texts of the server or of redis-py that say nothing more than ours."""

_RIGHT = re.compile(r"'([\w|]+)' command")
_COMMAND = re.compile(r"unknown command [`'](\w+)", re.IGNORECASE)
_ARGUMENTS = re.compile(r", with args beginning with.*", re.DOTALL)  # may quote secrets


def translate(error: Exception, where: str, doing: str = "", secret: str = _PASSWORD) -> StoreError:
    """Translate an error of redis-py. Almost all are retryable: bans wait meanwhile.

    `where`: the store. `doing`: the command and its key. `secret`: the settings that hold the password.
    """
    if isinstance(error, Unfit):
        return StoreError(f"{where} {error}", hint=error.hint)
    text = _ARGUMENTS.sub("", str(error))
    said = text.removesuffix(".")  # the caller may continue the sentence
    said += f" ({doing})" if doing and isinstance(error, exceptions.ResponseError) else ""
    signs = f"{text} over TLS" if where.partition("://")[0] in ("rediss", "valkeys") else text
    for sign, what, hint in _PROBLEMS:
        if re.search(sign, signs) if isinstance(sign, str) else isinstance(error, sign):
            more = "" if _REPEATED.search(text) else f": {said}"
            return StoreUnavailable(f"{where} {what}{more}", hint=_hint(hint, text, doing, secret))
    return StoreUnavailable(f"{where} answers with an error: {said}")


def _hint(hint: str, text: str, doing: str, secret: str) -> str:
    """Fill in the hint for this error."""
    command = _COMMAND.search(text) or _RIGHT.search(text)
    hidden = command[1].upper() if command else (doing or "it").split()[0]
    return hint.format(secret=secret, right=_missing_right(text, doing), command=hidden)


def _missing_right(text: str, doing: str) -> str:
    """Return the right that the ACL lacks: a command, or one of its keys."""
    if named := _RIGHT.search(text):
        return f"+{named[1]}"
    if doing and "can't run this command" in text:
        return f"+{doing.split()[0].lower()}"
    return f"a key of {doing}" if doing else "a key"
