"""Which commands a user of a server is refused, found without running them.

Commands are queued in a transaction that is never run: a server already refuses there what a user may not do. Then the
connection is closed, and the transaction is gone.
"""

from typing import TYPE_CHECKING, Any

from redis import exceptions

if TYPE_CHECKING:
    from redis import Redis

_KEY = "{key}"
NEEDED: dict[str, tuple[str, ...]] = {
    "eval": ("return 1", "0"),
    "evalsha": ("0" * 40, "0"),
    "type": (_KEY,),
    "exists": (_KEY,),
    "del": (_KEY,),
    "scan": ("0",),
    "hget": (_KEY, "x"),
    "hgetall": (_KEY,),
    "hmget": (_KEY, "x"),
    "hset": (_KEY, "x", "x"),
    "hdel": (_KEY, "x"),
    "hscan": (_KEY, "0"),
    "sadd": (_KEY, "x"),
    "srem": (_KEY, "x"),
    "scard": (_KEY,),
    "smembers": (_KEY,),
    "sscan": (_KEY, "0"),
    "zadd": (_KEY, "1", "x"),
    "zrem": (_KEY, "x"),
    "zcard": (_KEY,),
    "zcount": (_KEY, "0", "1"),
    "zincrby": (_KEY, "1", "x"),
    "zmscore": (_KEY, "x"),
    "zrange": (_KEY, "0", "1"),
    "zremrangebyscore": (_KEY, "0", "1"),
    "zunion": ("1", _KEY),
}
"""What the service and all commands need (docs/stores.md, 'A user of its own'), with arguments. MULTI and EXEC frame
them; CLIENT SETNAME and INFO are optional.
"""


def refused(client: "Redis", prefix: str) -> list[str]:
    """The commands of the table that are refused us on keys with that prefix. Raises RedisError."""
    connection: Any = client.connection_pool.get_connection()
    try:
        for frame in ("MULTI", "EXEC"):
            if not _may(connection, frame):
                return [frame.lower()]
        _may(connection, "MULTI")
        key = f"{prefix}:doctor"
        words = {name: [word.replace(_KEY, key) for word in more] for name, more in NEEDED.items()}
        return [name for name, more in words.items() if not _may(connection, name, *more)]
    finally:
        connection.disconnect()
        client.connection_pool.release(connection)


def _may(connection: Any, *words: str) -> bool:
    connection.send_command(*words)
    try:
        connection.read_response()
    except exceptions.NoPermissionError:
        return False
    except exceptions.ResponseError as error:
        return "unknown command" not in str(error).lower()  # other errors are no matter of rights
    return True
