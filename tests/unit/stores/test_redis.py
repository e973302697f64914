"""What the engine over a server decides without one."""

import pytest
from msgspec.structs import replace
from redis import exceptions

from banledger.errors import StoreUnavailable
from banledger.geo.place import Place
from banledger.ledger.ban import PENDING, to_hash
from banledger.ledger.keys import Keyspace
from banledger.ledger.merge import subject_of
from banledger.ledger.new_ban import begin
from banledger.stores.redis.client import too_old
from banledger.stores.redis.errors import translate
from banledger.stores.redis.outbox import Task, Unfinished, work_again
from tests.support.lines import ban


@pytest.mark.parametrize(
    ("server", "version"),
    [
        ("redis", "6.2.0"),
        ("redis", "6.10"),
        ("redis", "7.0.15"),
        ("redis", "10.0.0"),
        ("redis", "255.255.255"),
        ("redis", "7"),
        ("redis", "unstable"),
        ("redis", ""),
        ("valkey", "7.2.5"),
        ("valkey", "8.0.0-rc1"),
        ("valkey", "9.1.2"),
        ("dragonfly", "1.2"),
        ("None", "None"),
    ],
)
def test_a_supported_version_is_accepted(server: str, version: str) -> None:
    assert too_old(server, version) == ""


@pytest.mark.parametrize(
    ("server", "version", "words"),
    [
        ("redis", "6.0.16", "is Redis 6.0.16; it must be at least Redis 6.2"),
        ("redis", "5.0.14", "is Redis 5.0.14; it must be at least Redis 6.2"),
        ("redis", "6", "is Redis 6; it must be at least Redis 6.2"),
        ("redis", "2.8", "is Redis 2.8; it must be at least Redis 6.2"),
        ("valkey", "7.1.9", "is Valkey 7.1.9; it must be at least Valkey 7.2"),
    ],
)
def test_an_older_one_is_refused_by_name(server: str, version: str, words: str) -> None:
    assert too_old(server, version) == words


_REPLIES = [
    exceptions.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
    exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots, but …"),
    exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
    exceptions.NoPermissionError("User keeper has no permissions to run the 'sadd' command"),
    exceptions.ReadOnlyError("You can't write against a read only replica."),
    exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
    exceptions.MovedError("1 127.0.0.1:7000"),
    exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
    exceptions.ResponseError("ERR something new"),
    exceptions.AuthenticationError("invalid username-password pair or user is disabled."),
    exceptions.AuthenticationError("HELLO must be called with the client already authenticated, otherwise …"),
    exceptions.TimeoutError("Timeout reading from socket"),
    exceptions.ConnectionError("Connection closed by server."),
    exceptions.ConnectionError("Error 1 connecting … [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"),
]


def test_every_server_error_is_retryable_and_names_the_store() -> None:
    for reply in _REPLIES:
        error = translate(reply, "redis://store", "SADD bans:jail:sshd")
        assert isinstance(error, StoreUnavailable) and error.retryable
        assert str(error).startswith("redis://store ")


def test_every_kind_of_error_has_its_own_hint() -> None:
    hints = [translate(reply, "redis://store").hint for reply in _REPLIES]
    assert len(set(hints)) == len(hints), hints


def test_the_error_names_the_command_and_key() -> None:
    said = str(translate(_REPLIES[0], "redis://store", "SADD bans:jail:sshd"))
    assert said.startswith("redis://store holds another type at a key of the ledger: ")
    assert said.endswith("(SADD bans:jail:sshd)")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (exceptions.AuthenticationError("HELLO must be called with the client …"), "redis://store requires a password"),
        (
            exceptions.ConnectionError("Error 111 connecting to 127.0.0.1:6379. Connection refused."),
            "redis://store can't be reached: nothing listens there",
        ),
    ],
)
def test_the_error_does_not_repeat_the_same_in_the_words_of_the_client(reply: Exception, said: str) -> None:
    assert str(translate(reply, "redis://store")) == said


def test_work_about_a_hash_that_was_gone_and_came_back_is_derived_from_the_hash() -> None:
    keys, line = Keyspace("bans"), ban("5.5.5.5")
    new = begin("26112307t0dzyx8jkgme", subject_of(line), ("2026-11-23", 3), "5.5.5.5", Place("none"), line)
    pending = to_hash(replace(new, origin=PENDING))
    gone = work_again(keys, Unfinished(keys.ban(new.id), (pending,)), {})
    left = Task("2611", "writer:1", [gone]).changed([1])
    again = work_again(keys, left.hashes[0], to_hash(new))
    assert keys.members("ip", "5.5.5.5") in again.wanted.joins
