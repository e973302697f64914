"""The passwords of a machine, and the names of hosts, users and servers on it, as far as they are known."""

import pwd
import socket
from functools import partial
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from banledger.doctor.examined import Examined, tried
from banledger.stores.connect import access

_PERSON = 1000  # the lowest uid of people
_OURS = ("banledger", "root", "default", "localhost", "127.0.0.1", "::1")


class Sensitive(Struct, frozen=True):
    """What must not be told: secrets, and names with their kinds."""

    secrets: list[str]
    names: dict[str, str]


def sensitive(examined: Examined) -> Sensitive:
    """The passwords, and the names of hosts, users and servers, as far as they are known."""
    names = {socket.gethostname(): "host", socket.gethostname().partition(".")[0]: "host"}
    names[tried(examined.machine.label, "")] = "host"
    names |= {user.pw_name: "user" for user in pwd.getpwall() if user.pw_uid >= _PERSON and user.pw_name != "nobody"}
    secrets: list[str] = []
    chosen = tried(lambda: examined.chosen, None)
    if chosen is not None:
        secrets = [chosen.password, chosen.whois_contact, tried(lambda: access(chosen).password, "")]
        names[chosen.machine] = "host"
        for text in (chosen.store, chosen.whois_proxy):
            url = tried(partial(urlsplit, text), urlsplit(""))
            secrets += [url.password or "", unquote(url.password or "")]
            names |= {url.username or "": "user", url.hostname or "": "host"}
    for server in _labels(examined):
        names[server] = "label"
    return Sensitive(secrets, {name: kind for name, kind in names.items() if name and name not in _OURS})


def _labels(examined: Examined) -> set[str]:
    """All server labels that the jails and the ledger name."""
    nobody: set[str] = set()
    by_jail = tried(lambda: {(jail.options() or {}).get("server", "") for jail in examined.jails.jails}, nobody)
    return by_jail | tried(lambda: _servers(examined), nobody)


def _servers(examined: Examined) -> set[str]:
    with examined.ledger() as reader:
        return {source.server for source in reader.sources}
