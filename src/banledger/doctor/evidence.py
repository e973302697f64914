"""What a bug report needs, collected as it is: nothing is redacted here. Of bans it has counts only."""

import grp
import json
import os
import platform
import pwd
import sqlite3
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from banledger import __version__
from banledger.doctor.checks import CheckResult
from banledger.doctor.examined import SERVICE, Examined, tried
from banledger.doctor.log import tail
from banledger.doctor.screen import as_object
from banledger.ledger.dimensions import INDEXED
from banledger.setup.changes import STATE
from banledger.setup.machine import STATE_DIRECTORY
from banledger.stores.connect import access, is_server, server_info

_JOURNAL_LINES = 300
_LOG_LINES = 100
_MOST_FILES = 500
_INFO = (
    *("redis_version", "valkey_version", "server_name", "redis_mode", "arch_bits", "uptime_in_seconds"),
    *("connected_clients", "maxclients", "used_memory", "maxmemory", "maxmemory_policy", "loading"),
    *("aof_enabled", "aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status"),
    *("rdb_last_save_time", "rdb_changes_since_last_save", "role", "connected_slaves", "evicted_keys"),
    *("expired_keys", "rejected_connections", "total_connections_received"),
)
_FACTS = (
    *("LoadState", "ActiveState", "SubState", "UnitFileState", "NeedDaemonReload", "CheckResult", "NRestarts"),
    "WatchdogUSec",
)
_TOLD = ("add", "maxretry", "findtime", "bantime", "addaction", "usedns", "addlogpath", "datepattern", "maxmatches")


class Evidence(Struct, frozen=True):
    """The parts of a bundle. Each is what its file holds."""

    doctor: Mapping[str, Any]
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    units: Mapping[str, str]
    jails: list[Mapping[str, Any]]
    files: list[Mapping[str, Any]]
    journal: list[Mapping[str, str]]
    fail2ban_log: list[str]
    store: Mapping[str, str]
    ledger: Mapping[str, Any]


def collected(examined: Examined, results: Iterable[CheckResult]) -> Evidence:
    """Collect everything. What can't be read is left out."""
    return Evidence(
        as_object(results),
        tried(lambda: _versions(examined), {}),
        tried(lambda: asdict(examined.chosen), {}),
        tried(lambda: _units(examined), {}),
        tried(lambda: _jails(examined), []),
        tried(lambda: _files(examined), []),
        tried(lambda: _journal(examined), []),
        tried(lambda: _log(examined), []),
        tried(lambda: _info(examined), {}),
        tried(lambda: _counts(examined), {}),
    )


def _versions(examined: Examined) -> dict[str, str]:
    system = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    ours = {one.metadata["Name"].lower(): one.version for one in distributions() if one.metadata["Name"]}
    needed = ("click", "hiredis", "iptocc", "maxminddb", "msgspec", "redis", "rich", "tzdata", "urllib3")
    return {
        "banledger": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "fail2ban": examined.server.version or tried(lambda: examined.jails.version, ""),
        "system": f"{system.get('ID', '')} {system.get('VERSION_ID', '')}",
        "kernel": platform.release().partition("-")[0],
        "machine": platform.machine(),
    } | {name: ours[name] for name in needed if name in ours}


def _units(examined: Examined) -> dict[str, str]:
    """The service's unit with its drop-ins, and what systemd says of both services."""
    if not examined.machine.systemd:
        return {}
    facts = {name: "\n".join(f"{key}={value}" for key, value in examined.unit_of(name).items() if key in _FACTS)
             for name in (SERVICE, "fail2ban")}  # fmt: skip
    return facts | {"file": examined.machine.systemctl("cat", SERVICE, longest_s=20).out}


def _jails(examined: Examined) -> list[Mapping[str, Any]]:
    """The effective configuration of enabled jails, without patterns and lists of addresses."""
    running = {jail.name: jail for jail in examined.server.jails}
    found: list[Mapping[str, Any]] = []
    for jail in examined.jails.enabled():
        told = [words[2:4] if words[0] == "set" else words for words in jail.stream if _is_told(words)]
        live = running.get(jail.name)
        now = {"actions": live.actions, "banned": len(live.banned), "total": live.total} if live else None
        found.append(
            {"name": jail.name, "error": jail.error, "missing_log": jail.missing_log, "options": jail.options() or {},
             "told": told, "running": now}
        )  # fmt: skip
    return found


def _is_told(words: list[Any]) -> bool:
    return words[0] in _TOLD or (words[0] == "set" and len(words) > 2 and str(words[2]).partition(".")[0] in _TOLD)


def _files(examined: Examined) -> list[Mapping[str, Any]]:
    """What is in our directories: path, kind, size, mode, owner."""
    tops = [examined.spool, *map(examined.machine.place, (STATE_DIRECTORY, STATE, "/etc/banledger"))]
    paths = [path for top in tops if top.exists() for path in (top, *sorted(top.rglob("*"))[:_MOST_FILES])]
    found: list[Mapping[str, Any]] = []
    for path in paths:
        with suppress(FileNotFoundError):  # the recorder removes segments meanwhile
            found.append(_file(path, path.lstat()))
    return found


def _file(path: Path, status: os.stat_result) -> Mapping[str, Any]:
    return {
        "path": str(path),
        "kind": stat.filemode(status.st_mode)[0],
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "size": status.st_size,
        "owner": _name(lambda: pwd.getpwuid(status.st_uid).pw_name, status.st_uid),
        "group": _name(lambda: grp.getgrgid(status.st_gid).gr_name, status.st_gid),
        "changed": int(status.st_mtime),
    }


def _name(look: Callable[[], str], number: int) -> str:
    try:
        return look()
    except KeyError:
        return str(number)


def _journal(examined: Examined) -> list[Mapping[str, str]]:
    """The last lines of both services in systemd's journal."""
    if not examined.machine.systemd:
        return []
    words = ["--no-pager", "-q", "-o", "json", "-n", str(_JOURNAL_LINES), "-u", SERVICE, "-u", "fail2ban"]
    found: list[Mapping[str, str]] = []
    for line in examined.run("journalctl", *words).out.splitlines():
        said = json.loads(line)
        found.append(
            {
                "time": str(said.get("__REALTIME_TIMESTAMP", ""))[:10],
                "unit": str(said.get("UNIT") or said.get("_SYSTEMD_UNIT") or ""),
                "message": said["MESSAGE"] if isinstance(said.get("MESSAGE"), str) else "",
            }
        )
    return found


def _log(examined: Examined) -> list[str]:
    """What the last lines of fail2ban's log say of banledger."""
    log = examined.server.log
    return [line for line in tail(Path(log)) if "banledger" in line][-_LOG_LINES:] if log.startswith("/") else []


def _info(examined: Examined) -> dict[str, str]:
    if not is_server(examined.chosen.store):
        return {}
    facts = server_info(examined.timed_store, access(examined.chosen))
    return {name: facts[name] for name in _INFO if name in facts}


def _counts(examined: Examined) -> dict[str, Any]:
    with examined.ledger() as reader:
        return {
            "time zone": str(reader.zone),
            "bans": sum(reader.days().values()),
            "in force": reader.banned_now(examined.now),
            "days": len(reader.days()),
            "sources": len(reader.sources),
            "waiting": reader.waiting(),
            "gaps": len(reader.gaps()),
            "values": {dimension: reader.distinct(dimension) for dimension in INDEXED},
        }
