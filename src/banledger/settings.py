"""Settings: one table makes the TOML file, the environment, the flags and the documentation.

Precedence: flag, environment, file, default. Every mistake is named, all in one message.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from banledger.errors import SettingsError

FILE = Path("/etc/banledger/banledger.toml")
ENVIRONMENT = "BANLEDGER_"
CONFIG_VARIABLE = "BANLEDGER_CONFIG"


class Setting(Struct, frozen=True):
    """One line of the table. All values are text for now; `doc` says what the text means."""

    name: str
    default: str
    doc: str

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return ENVIRONMENT + self.name.upper()


TABLE = (
    Setting("store", "/var/lib/banledger/ledger.db", "the ledger: the path of an embedded one, or a URL"),
    Setting("spool", "/var/spool/banledger", "the directory the action writes to"),
    Setting("prefix", "bans", "what every key of the ledger begins with"),
    Setting("timezone", "", "time zone of a new ledger (IANA name; empty: this machine's)"),
    Setting("machine", "", "what tells this machine from others with the same ledger (empty: /etc/machine-id)"),
    Setting("password", "", "password for the store; the file that holds it must not be readable by others"),
    Setting("password_file", "", "a file with the password for the store, and nothing else"),
    Setting("tls_ca", "", "certificates (PEM) that may sign the store's own; empty: the system's"),
    Setting("tls_cert", "", "our certificate (PEM), for a store that asks for one"),
    Setting("tls_key", "", "the key of our certificate (PEM)"),
)

_SECRET = "password"  # noqa: S105
_SHOWN = re.compile(r"(db|timeout)=[0-9.]*")


class Settings(Struct, frozen=True):
    """The settings in force. See `TABLE`."""

    store: str
    spool: str
    prefix: str
    timezone: str
    machine: str = ""
    password: str = ""
    password_file: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""

    def __repr__(self) -> str:
        """Without the secret: a repr ends up in logs."""
        return f"Settings(store={without_password(self.store)!r}, spool={self.spool!r}, prefix={self.prefix!r})"


def without_password(store: str) -> str:
    """A store's URL as it may be shown: without a password, and in its query only what belongs there."""
    if "://" not in store:
        return store
    head, at, tail = store.rpartition("@")
    scheme, _, user = head.partition("://")
    address, mark, query = (f"{scheme}://{user.partition(':')[0]}@{tail}" if at else store).partition("?")
    words = [word if _SHOWN.fullmatch(word) else "…" for word in query.split("&")]
    return address + mark + "&".join(words) if mark else address


def _has_password(store: str) -> bool:
    return without_password(store) != store


def load(flags: Mapping[str, str | None], environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings from flags, environment and file. Raises SettingsError with every mistake."""
    named = flags.get("config") or environment.get(CONFIG_VARIABLE)
    values, mistakes = _from_file(Path(named) if named else FILE, must_exist=bool(named))
    for setting in TABLE:
        if setting.variable in environment:
            values[setting.name] = environment[setting.variable]
        if (flag := flags.get(setting.name)) is not None:
            values[setting.name] = flag
    chosen = {setting.name: values.get(setting.name, setting.default) for setting in TABLE}
    mistakes += [f"{name} must not be empty" for name in ("store", "spool", "prefix") if not chosen[name]]
    if any(_has_password(flag) for flag in (flags.get("store"),) if flag):
        mistakes.append("a password on the command line can be read by everybody: use password_file")
    if not _plain_prefix(chosen["prefix"]):
        mistakes.append("prefix must be letters, digits, dots, dashes or underscores")
    if mistakes:
        raise SettingsError("; ".join(mistakes), hint=f"known settings: {', '.join(s.name for s in TABLE)}")
    return Settings(**chosen)


def _plain_prefix(prefix: str) -> bool:
    return (prefix.isascii() and prefix.replace("-", "").replace("_", "").replace(".", "").isalnum()) or not prefix


def _from_file(path: Path, *, must_exist: bool) -> tuple[dict[str, str], list[str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}, [f"there is no settings file at {path}"] if must_exist else []
    except OSError as error:
        return {}, [f"can't read {path}: {error.strerror}"]
    except UnicodeDecodeError as error:
        return {}, [f"{path} is not TOML: {error}"]
    import tomllib  # most commands find no file, and need not wait for this

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return {}, [f"{path} is not TOML: {error}"]
    values = {name: value for name, value in table.items() if _known(name) and isinstance(value, str)}
    mistakes = [_mistake(path, name, value) for name, value in table.items() if name not in values]
    if (values.get(_SECRET) or _has_password(values.get("store", ""))) and path.stat().st_mode & 0o007:
        mistakes.append(f"{path} holds a password and may be used by everybody: chmod o= {path}")
    return values, mistakes


def _known(name: str) -> bool:
    return any(setting.name == name for setting in TABLE)


def _mistake(path: Path, name: str, value: Any) -> str:
    if _known(name):
        return f"{path}: {name} must be text, not {type(value).__name__}"
    return f"{path}: unknown setting {name!r}"


def machine_zone() -> str:
    """This machine's time zone (IANA name) from TZ, /etc/localtime or /etc/timezone; UTC if none says."""
    named = os.environ.get("TZ", "").lstrip(":")
    if named and not named.startswith("/"):
        return named
    target = os.path.realpath("/etc/localtime")
    if "/zoneinfo/" in target:
        return target.partition("/zoneinfo/")[2]
    try:
        return Path("/etc/timezone").read_text(encoding="ascii").strip() or "UTC"
    except (OSError, UnicodeDecodeError):
        return "UTC"


def machine_id() -> str:
    """What tells this machine from others, hashed as machine-id(5) asks; empty where the system has none."""
    try:
        raw = Path("/etc/machine-id").read_bytes().strip()
    except OSError:
        return ""
    return hashlib.sha256(b"banledger" + raw).hexdigest()[:16] if raw else ""
