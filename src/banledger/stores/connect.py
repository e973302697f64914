"""Open the engine of a store. A path or sqlite:// names an embedded store, the other schemes name a server.

/var/lib/banledger/ledger.db              sqlite:///var/lib/banledger/ledger.db
redis://[user@]host[:6379][/0]            valkey://…       the same
rediss://[user@]host[:6379][/0]           valkeys://…      the same over TLS
unix:///run/redis/redis.sock[?db=0]       with a user: unix://user@/run/…

The URL of a server may end in `?timeout=SECONDS`: how long to wait for an answer (default 10, at most 20).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from banledger.errors import SettingsError
from banledger.settings import Settings, without_password
from banledger.stores.api import Engine, Reader
from banledger.stores.change import Layout

if TYPE_CHECKING:
    from redis import Redis

_TLS = {"rediss": True, "valkeys": True, "redis": False, "valkey": False, "unix": False}
_FORMS = "give a path, redis://host:6379/0, rediss:// for TLS, or unix:///path/to.sock"
_CONNECT_S = 3.0
_ANSWER_S = 10.0
_LONGEST_S = 20.0  # together with the recorder's longest wait, less than the service manager's timeout
_QUERY = frozenset(("db", "timeout"))


class Access(Struct, frozen=True):
    """Credentials of a store. Its repr shows no secret."""

    password: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""

    def __repr__(self) -> str:
        return "Access(…)"


def access(settings: Settings) -> Access:
    """Return the credentials from the settings. Raises SettingsError if the password file can't be used."""
    password = settings.password or (_read_secret(Path(settings.password_file)) if settings.password_file else "")
    return Access(password, settings.tls_ca, settings.tls_cert, settings.tls_key)


def _read_secret(path: Path) -> str:
    try:
        if path.stat().st_mode & 0o007:
            raise SettingsError(f"{path} holds a password and is accessible to everybody", hint=f"chmod o= {path}")
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"can't read password_file {path}: {reason}", hint="check its path and mode") from error


def reader(store: str, layout: Layout, access: Access) -> Reader:
    """Open a store to read keys of that layout. Raises SettingsError for an invalid name, StoreError."""
    if (path := embedded(store)) is not None:
        from banledger.stores.sqlite.reader import open_reader

        return open_reader(path, layout.projection)
    from banledger.stores.redis.reader import RedisReader

    return RedisReader(_client(store, access), without_password(store))


def writer(store: str, layout: Layout, access: Access) -> Engine:
    """Open a store to write keys of that layout. Raises SettingsError for an invalid name, StoreError."""
    if (path := embedded(store)) is not None:
        from banledger.stores.sqlite.engine import open_writer

        return open_writer(path, layout.projection)
    from banledger.stores.redis.engine import RedisEngine

    return RedisEngine(_client(store, access, once=True), without_password(store), layout)


def refused(store: str, prefix: str, access: Access) -> list[str]:
    """The commands that a server refuses its user, of those that are needed. Raises SettingsError, StoreError."""
    from redis.exceptions import RedisError

    from banledger.stores.redis.errors import translate
    from banledger.stores.redis.rights import refused

    client = _client(store, access)
    try:
        return refused(client, prefix)
    except (RedisError, OSError) as error:
        raise translate(error, without_password(store)) from error
    finally:
        client.close()


def server_info(store: str, access: Access) -> dict[str, str]:
    """What a server says of itself (INFO); empty if it may not be asked. Raises SettingsError, StoreError."""
    from banledger.stores.redis.info import info
    from banledger.stores.redis.reader import RedisReader

    reader = RedisReader(_client(store, access), without_password(store))
    try:
        return info(reader.call)
    finally:
        reader.close()


def is_server(store: str) -> bool:
    """Whether the store is on a server, which other clients may use too."""
    return embedded(store) is None


def embedded(store: str) -> Path | None:
    """The path of an embedded store; None: it is on a server."""
    scheme, colon, rest = store.partition("://")
    if not colon:
        return Path(store)
    return Path(rest) if scheme == "sqlite" else None


def _client(store: str, access: Access, *, once: bool = False) -> "Redis":
    """Return a client that never repeats a request: a request that failed may have been run. `once`: see Handshake."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.maint_notifications import MaintNotificationsConfig
    from redis.retry import Retry

    from banledger.stores.redis.client import Handshake

    client = Redis(
        **_address(store, access),
        protocol=3,
        decode_responses=True,
        encoding_errors="backslashreplace",
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        redis_connect_func=Handshake(once=once),  # type: ignore[arg-type]  # it is given the connection
    )
    client.response_callbacks.clear()  # replies as RESP3 types them
    return client


def _address(store: str, access: Access) -> dict[str, Any]:
    scheme = store.partition("://")[0]
    if scheme not in _TLS:
        raise SettingsError(f"unknown kind of store: {scheme}://", hint=_FORMS)
    try:
        url = urlsplit(store)
        query = _query(url.query)
        wait_s = float(query.get("timeout", _ANSWER_S))
        options: dict[str, Any] = {
            "username": unquote(url.username) if url.username else None,
            "password": access.password or (unquote(url.password) if url.password else None),
            "db": int(("" if scheme == "unix" else url.path.strip("/")) or query.get("db") or 0),
            "socket_timeout": wait_s,
            "socket_connect_timeout": min(wait_s, _CONNECT_S),
        }
        if url.fragment or not 0 < wait_s <= _LONGEST_S:
            raise ValueError
        if scheme == "unix":
            return options | {"unix_socket_path": unquote(url.path)}
        options |= {"host": url.hostname or "localhost", "port": url.port or 6379}
        options["host"].encode("idna")
    except ValueError:
        # Python's own message may quote a part of a password.
        raise SettingsError(
            f"invalid store URL {without_password(store)}: its port, database or query is wrong",
            hint=f"{_FORMS}; a password goes into password_file",
        ) from None
    return options | (_tls(access) if _TLS[scheme] else {})


def _query(text: str) -> dict[str, str]:
    query = dict(parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)))
    if not query.keys() <= _QUERY:
        raise ValueError
    return query


def _tls(access: Access) -> dict[str, Any]:
    import ssl

    for name, path in (("tls_ca", access.tls_ca), ("tls_cert", access.tls_cert), ("tls_key", access.tls_key)):
        if path and not Path(path).is_file():
            raise SettingsError(f"{name}: there is no file {path}", hint="give the path of a PEM file")
    return {
        "ssl": True,
        "ssl_ca_certs": access.tls_ca or ssl.get_default_verify_paths().cafile,
        "ssl_certfile": access.tls_cert or None,
        "ssl_keyfile": access.tls_key or None,
        "ssl_check_hostname": True,
        "ssl_cert_reqs": "required",
        "ssl_min_version": ssl.TLSVersion.TLSv1_2,
    }
