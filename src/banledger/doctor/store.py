"""Checks of the store: whether it can be read, and what endangers the ledger in it."""

from collections.abc import Mapping
from shlex import join, quote
from urllib.parse import urlsplit

from banledger.doctor.diagnosis import Diagnosis, caution, together, unseen, well, wrong
from banledger.doctor.examined import RESTART, Examined
from banledger.errors import BanledgerError, LedgerMissing, LedgerOlder, StoreUnavailable
from banledger.report.formats.size import shown_bytes
from banledger.stores.connect import access, is_server, refused, server_info
from banledger.stores.redis.client import too_old

_LOCAL = ("localhost", "127.0.0.1", "::1", "")
_UNITS = ("redis-server", "valkey-server", "redis", "valkey")
_ENOUGH = 0.9


def readable(examined: Examined) -> Diagnosis:
    """See the table of checks."""
    chosen = examined.chosen
    try:
        with examined.ledger() as reader:
            store = reader.store().details()
            return well(f"{store.where}, {store.program}" if store.program else store.where)
    except LedgerMissing as error:
        return wrong(str(error), _start(examined))
    except LedgerOlder as error:
        return wrong(f"{error}; {error.hint}", f"{examined.ours} store copy --help")
    except StoreUnavailable as error:
        if not is_server(chosen.store) and not examined.root:
            return unseen(f"{error}")
        return wrong(f"{error}; {error.hint}", _remedy(examined))
    except BanledgerError as error:
        return wrong(f"{error}; {error.hint}" if error.hint else str(error), edit(examined))


def _start(examined: Examined) -> str:
    return RESTART if examined.machine.systemd else f"{examined.ours} record --once"


def edit(examined: Examined) -> str:
    """The command that changes the settings."""
    return f"nano {quote(str(examined.settings_file))}"


def _remedy(examined: Examined) -> str:
    """The command that starts a server of this machine; else the one that changes the address."""
    if is_server(examined.chosen.store) and _host(examined.chosen.store) in _LOCAL:
        for unit in _UNITS:
            facts = examined.unit_of(unit)
            if facts.get("LoadState") == "loaded" and facts.get("ActiveState") != "active":
                return f"systemctl start {unit}"
    return edit(examined)


def _host(store: str) -> str:
    try:
        return urlsplit(store).hostname or ""
    except ValueError:
        return ""


def server(examined: Examined) -> Diagnosis | None:
    """See the table of checks."""
    store = examined.chosen.store
    if not is_server(store):
        return None
    try:
        facts = server_info(examined.timed_store, access(examined.chosen))
    except BanledgerError:
        return unseen("the store can't be reached")
    if not facts:
        rule = f"ACL SETUSER {quote(urlsplit(store).username or 'default')} +info"
        return caution("it does not say its settings: INFO is refused", f"{cli(store)} {rule}")
    return together(dangers(facts, cli(store)), well(_summary(facts)))


def dangers(facts: Mapping[str, str], client: str) -> list[Diagnosis]:
    """What endangers a ledger on a server, from its INFO. client: the words that run a command there."""
    found = []
    program = "valkey" if "valkey_version" in facts else "redis"
    if fault := too_old(program, facts.get(f"{program}_version", "")):
        found.append(wrong(fault, f"apt-get install {program}-server"))
    policy, limit = facts.get("maxmemory_policy", ""), _number(facts, "maxmemory")
    if policy.startswith("allkeys-") and limit:
        lost = f", and has evicted {facts['evicted_keys']}" if _number(facts, "evicted_keys") else ""
        what = f"it may evict bans (maxmemory-policy {policy}){lost}"
        found.append(wrong(what, _set(client, "maxmemory-policy noeviction")))
    if limit and _number(facts, "used_memory") > limit * _ENOUGH:
        used = f"{shown_bytes(_number(facts, 'used_memory'))} of {shown_bytes(limit)}"
        found.append(caution(f"its memory is nearly full ({used})", f"{client} INFO memory"))
    if facts.get("aof_enabled") == "0":
        found.append(
            caution(
                "no append-only file: a crash loses all since its last snapshot",
                _set(client, "appendonly yes"),
            )
        )
    for name, what in (("aof_last_write_status", "append-only file"), ("rdb_last_bgsave_status", "last snapshot")):
        if facts.get(name, "ok") != "ok":
            found.append(wrong(f"it could not write its {what}", f"{client} INFO persistence"))
    if facts.get("role", "master") != "master":
        found.append(wrong("it is a replica", f"{client} INFO replication"))
    return found


def _number(facts: Mapping[str, str], name: str) -> int:
    text = facts.get(name, "0")
    return int(text) if text.isascii() and text.isdecimal() else 0


def _set(client: str, setting: str) -> str:
    return f"{client} CONFIG SET {setting} && {client} CONFIG REWRITE"


def _summary(facts: Mapping[str, str]) -> str:
    limit = _number(facts, "maxmemory")
    memory = f"maxmemory {shown_bytes(limit)}, {facts.get('maxmemory_policy')}" if limit else "no maxmemory"
    return f"append-only file, {memory}, {shown_bytes(_number(facts, 'used_memory'))} used"


def cli(store: str) -> str:
    """The words of redis-cli for a server, without any password."""
    url = urlsplit(store)
    if url.scheme == "unix":
        return join(["redis-cli", "-s", url.path])
    tls = ["--tls"] if url.scheme in ("rediss", "valkeys") else []
    return join(["redis-cli", "-h", url.hostname or "localhost", "-p", str(url.port or 6379), *tls])


def rights(examined: Examined) -> Diagnosis | None:
    """See the table of checks."""
    chosen = examined.chosen
    if not is_server(chosen.store):
        return None
    try:
        lacking = refused(examined.timed_store, chosen.prefix, access(chosen))
    except BanledgerError:
        return unseen("the store can't be reached")
    if not lacking:
        return well("the user may do all that is needed")
    user = urlsplit(chosen.store).username or "default"
    words = ["ACL", "SETUSER", user, f"~{chosen.prefix}:*", *(f"+{name}" for name in lacking)]
    return wrong(f"the user {user} lacks {', '.join(lacking)}", f"{cli(chosen.store)} {join(words)}")
