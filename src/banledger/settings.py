"""Settings: the TOML file, the environment and the example file all derive from one struct.

Precedence: flag, environment, file, default. One message names every mistake.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Struct

from banledger.errors import SettingsError

FILE = Path("/etc/banledger/banledger.toml")
ENVIRONMENT = "BANLEDGER_"
CONFIG_VARIABLE = "BANLEDGER_CONFIG"
_LOCALTIME, _TIMEZONE = Path("/etc/localtime"), Path("/etc/timezone")


Value: TypeAlias = str | bool | int


def _dotted(field: str) -> str:
    """Return the dotted name of a setting: the TOML table's name comes before the dot."""
    return re.sub("^(whois|retention)_", r"\1.", field)


class Settings(Struct, frozen=True, rename=_dotted):
    """The settings in force. A setting is a field here: kind, description, default.

    The first sentence of a description is also the help of its flag (in `cli.options`, which does not import this).
    """

    store: Annotated[str, "The store of the ledger: the path of an embedded ledger, or a URL."] = (
        "/var/lib/banledger/ledger.db"
    )
    spool: Annotated[
        str, "The directory that the action writes to. The action has the same option, in jail.d: change both."
    ] = "/var/spool/banledger"
    prefix: Annotated[str, "Prefix of every key of the ledger."] = "bans"
    timezone: Annotated[
        str,
        "Time zone of a new ledger (IANA name; empty: this machine's). A ledger keeps its time zone.",
    ] = ""
    machine: Annotated[str, "Identifies this machine among others with the same ledger (empty: /etc/machine-id)."] = ""
    password: Annotated[
        str,
        "Password for the store; the file that holds it must not be readable by others (chmod 640, group banledger).",
    ] = ""
    password_file: Annotated[
        str, "A file with the password for the store, and nothing else. It must not be readable by others either."
    ] = ""
    tls_ca: Annotated[str, "CA certificates (PEM) to verify the store's certificate; empty: the system's."] = ""
    tls_cert: Annotated[str, "Client certificate (PEM), for a store that requires one."] = ""
    tls_key: Annotated[str, "Key of the client certificate (PEM)."] = ""
    mmdb: Annotated[
        str,
        "Your own geolocation databases (.mmdb), paths separated by colons: GeoLite2, DB-IP, IPinfo; country and ASN.",
    ] = ""
    whois_enabled: Annotated[
        bool,
        "Look up offenders' networks at the registries. Only the offenders' addresses leave the machine.",
    ] = True
    whois_contact: Annotated[
        str,
        "A mail address or page sent to the registries with each query, so that they can complain.",
    ] = ""
    whois_refresh_days: Annotated[int, "How long a registry's answer counts as fresh, in days."] = 14
    whois_backfill_days: Annotated[
        int, "Bans older than this (days) are not looked up, so that an import does not flood the registries."
    ] = 30
    whois_queue: Annotated[int, "How many bans may wait for whois; beyond that, the oldest stop waiting."] = 20_000
    whois_asn: Annotated[bool, "Ask Team Cymru's DNS which autonomous system announces the address."] = True
    whois_proxy: Annotated[str, "A proxy for look-ups, http://host:port (empty: HTTPS_PROXY of the environment)."] = ""

    retention_bans: Annotated[
        str,
        "How long bans are kept: 2y, 6m, 90d (years of 365 days, months of 30, weeks, days); empty: for ever."
        " Older ones are forgotten once a day, but none that is in force.",
    ] = ""
    retention_matches: Annotated[
        str, "How long the log lines that led to a ban are kept with it, such as 90d; empty: as long as the ban."
    ] = ""

    def __repr__(self) -> str:
        """Leave the password out: a repr ends up in logs."""
        return f"Settings(store={without_password(self.store)!r}, spool={self.spool!r}, prefix={self.prefix!r})"


class Setting(Struct, frozen=True):
    """One field of `Settings`: its dotted `name`, its name in the struct (`field`), its default, its description."""

    name: str
    field: str
    default: Value
    doc: str

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return ENVIRONMENT + self.field.upper()

    def read(self, value: object) -> Value:
        """Check a value from TOML, or parse text. Raises ValueError that says what it must be."""
        kind = type(self.default)
        if kind is bool and isinstance(value, str):
            value = _WORDS.get(value.lower(), value)
        if kind is int and isinstance(value, str) and value.isdecimal() and value.isascii():
            value = int(value)
        if type(value) is not kind:
            raise ValueError(f"{self.name} must be {_KINDS[kind]}, not {_shown(value)}")
        if type(value) is int and not 0 < value < _LARGEST:
            raise ValueError(f"{self.name} must be a whole number above 0, not {value}")
        return value


TABLE = tuple(
    Setting(one.encode_name, one.name, one.default, one.type.__metadata__[0])
    for one in msgspec.structs.fields(Settings)
)

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_KINDS: dict[type, str] = {str: "text", bool: "true or false", int: "a whole number"}
_LARGEST = 10_000_000
_HINT = "packaging/examples/banledger.toml, beside the action (banledger action path), explains every setting"
_NOT_ALLOWED = "root and members of the group banledger may read it: adduser YOU banledger, and log in again"
_PREFIX = re.compile(r"([-_.]*[A-Za-z0-9][-_.A-Za-z0-9]*)?")
_PROXY = re.compile(r"(http://([^/?#@\s]*@)?[^/?#@\s]+/?)?")

_AGE = re.compile(r"([1-9]\d{0,4})\s*([dwmy])")
_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}
RETENTION = ("retention.bans", "retention.matches")
"""The settings that are ages."""

_SECRET = "password"  # noqa: S105
_OPEN_SECRET = "a password on the command line can be read by everybody: use password_file"  # noqa: S105
_SHOWN = re.compile(r"(db|timeout)=[0-9.]*")


def without_password(store: str) -> str:
    """A store's URL for display: without password, with known query options only."""
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
        said = flags.get(setting.name)
        if said is None:
            said = environment.get(setting.variable)
        if said is not None:
            mistakes += _take(values, setting, said)
    chosen = {setting.name: setting.default for setting in TABLE} | values
    mistakes += [f"{name}: {error}" for name in RETENTION if (error := _age_error(str(chosen[name])))]
    mistakes += [f"{name} must not be empty" for name in ("store", "spool", "prefix") if not chosen[name]]
    if _has_password(store := flags.get("store") or ""):
        secret = "@" in store or _SECRET in store
        mistakes.append(_OPEN_SECRET if secret else "store has an unknown option: db and timeout are known")
    if not _PROXY.fullmatch(str(chosen["whois.proxy"])):
        mistakes.append("whois.proxy must be http://host:port, or http://user:password@host:port")
    if not _PREFIX.fullmatch(str(chosen["prefix"])):
        mistakes.append("prefix must be letters, digits, dots, dashes or underscores")
    if mistakes:
        names = ", ".join(setting.name for setting in TABLE)
        unknown = any("unknown setting" in mistake for mistake in mistakes)
        raise SettingsError("; ".join(mistakes), hint=f"known settings: {names}" if unknown else _HINT)
    return msgspec.convert(values, Settings)


def age_s(text: str) -> float:
    """Return an age such as `90d` in seconds; 0 for an empty text. Raises ValueError."""
    if not text:
        return 0.0
    match = _AGE.fullmatch(text.strip().lower())
    if not match:
        raise ValueError(
            f"invalid age {text!r}: a number of d, w, m or y (days, weeks, months, years), such as 90d or 2y"
        )
    return int(match[1]) * _DAYS[match[2]] * 86_400.0


def _age_error(text: str) -> str:
    try:
        age_s(text)
    except ValueError as error:
        return str(error)
    return ""


def _take(values: dict[str, Value], setting: Setting, said: object, where: str = "") -> list[str]:
    """Add a value, or note what is wrong with it."""
    try:
        values[setting.name] = setting.read(said)
    except ValueError as error:
        return [where + str(error)]
    return []


def _from_file(path: Path, *, must_exist: bool) -> tuple[dict[str, Value], list[str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}, [f"there is no settings file at {path}"] if must_exist else []
    except PermissionError as error:
        raise SettingsError(f"can't read {path}: {error.strerror}", hint=_NOT_ALLOWED) from error
    except OSError as error:
        return {}, [f"can't read {path}: {error.strerror}"]
    except UnicodeDecodeError as error:
        return {}, [f"{path} is not TOML: {error}"]
    import tomllib  # slow to import, and most commands find no file

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return {}, [f"{path} is not TOML: {error}"]
    values: dict[str, Value] = {}
    mistakes = []
    known = {setting.name: setting for setting in TABLE}
    for name, value in _flat(table):
        if name in known:
            mistakes += _take(values, known[name], value, f"{path}: ")
        else:
            mistakes.append(f"{path}: unknown setting {name!r}")
    if any(map(_secret, values.items())) and path.stat().st_mode & 0o007:
        mistakes.append(f"{path} holds a password and is accessible to everybody: chmod o= {path}")
    return values, mistakes


def _flat(table: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The settings of a TOML document by dotted name."""
    tables = {setting.name.partition(".")[0] for setting in TABLE if "." in setting.name}
    for name, value in table.items():
        if name in tables and isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", what) for inner, what in value.items())
        else:
            yield name, value


def _secret(item: tuple[str, Value]) -> bool:
    """Whether a setting holds a secret."""
    name, value = item
    return (name == _SECRET and bool(value)) or (name in ("store", "whois.proxy") and _has_password(str(value)))


def _shown(value: object) -> str:
    """Describe a wrong value: its kind, and the value itself if it is short text."""
    return repr(value) if isinstance(value, str) and len(value) <= 20 else type(value).__name__


def machine_zone() -> str:
    """This machine's time zone (IANA name) from TZ, /etc/localtime or /etc/timezone; empty if its zone has no name.

    UTC where there is none, as tzset(3) has it.
    """
    named = os.environ.get("TZ", "").lstrip(":")
    if named and not named.startswith("/"):
        return named
    target = os.path.realpath(_LOCALTIME)
    if "/zoneinfo/" in target:
        return target.partition("/zoneinfo/")[2]
    with suppress(OSError, UnicodeDecodeError):
        if name := _TIMEZONE.read_text(encoding="ascii").strip():
            return name
    return "" if Path(target).exists() else "UTC"  # a copy of a zone's file


def machine_id() -> str:
    """The machine's id, hashed as machine-id(5) requires; empty where the system has none."""
    try:
        raw = Path("/etc/machine-id").read_bytes().strip()
    except OSError:
        return ""
    return hashlib.sha256(b"banledger" + raw).hexdigest()[:16] if raw else ""
