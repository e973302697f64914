"""Bytes that are no UTF-8, and fields without a name, in hashes on a server: anybody with the right to write may put
them there. They are read as text; so what is written under a guard, and what a crash left, must not wait for them."""

from collections.abc import Callable, Iterator

import pytest
import redis

from banledger.geo.place import Place
from banledger.ledger.check import check
from banledger.ledger.keys import Keyspace
from banledger.ledger.labels import LabelTable
from banledger.ledger.lease import Held, take
from banledger.ledger.rebuild import rebuild
from banledger.ledger.swap import assign, claim
from banledger.ledger.writer import Ledger
from banledger.stores.api import Engine
from banledger.stores.connect import Access, writer
from tests.contract.conftest import KEYS
from tests.support.lines import T0, ban, gap, prolong, unban
from tests.support.servers import StoreServer

NOW = T0 + 3600.0
RUBBISH = [("x", b"\xff"), ("", b"\x1b[31m"), (b"\xfe", b"1")]
IDS = ["value", "nameless", "name"]


@pytest.fixture
def raw(redis_server: StoreServer) -> Iterator["redis.Redis"]:
    """A client of an empty server that sends bytes as they are."""
    redis_server.flush()
    with redis.Redis.from_url(redis_server.url) as client:
        yield client


@pytest.fixture
def opened(redis_server: StoreServer, raw: "redis.Redis") -> Iterator[Callable[[], Engine]]:
    """Opens the server's store."""
    engines: list[Engine] = []

    def open_() -> Engine:
        engines.append(writer(redis_server.url, Keyspace("bans"), Access()))
        return engines[-1]

    yield open_
    for engine in engines:
        engine.close()


def place(address: str | None, _time: float) -> Place:
    return Place("public", "DE", "test", f"{address}/32", 64500, "Org", "proven")


@pytest.mark.parametrize(("name", "value"), RUBBISH, ids=IDS)
def test_fields_that_are_not_text_stop_no_compare_and_set(
    opened: Callable[[], Engine], raw: "redis.Redis", name: str | bytes, value: bytes
) -> None:
    engine = opened()
    for key in ("meta", "recorders", "rebuild", "label:web1"):
        raw.hset(f"bans:{key}", name, value)
    assign(engine, "bans:recorders", {"a": "1 "})
    assert claim(engine, "bans:meta", {"b": "1"})["b"] == "1"
    assert take(engine, "bans:rebuild", Held("me", "9"), Held()) == Held("me", "9")
    LabelTable(engine, KEYS, "ledger", "machine").exchange("web1", [""], {"nonce": "1"}, {})
    assert raw.hget("bans:label:web1", "nonce") == b"1"


@pytest.mark.parametrize("key", ["rebuild", "lookups"])
def test_a_lease_whose_holder_is_not_text_can_be_taken(
    opened: Callable[[], Engine], raw: "redis.Redis", key: str
) -> None:
    raw.hset(f"bans:{key}", mapping={"holder": b"\xff", "until": b"9"})
    engine = opened()
    seen = take(engine, f"bans:{key}", Held("me", "9"), Held())
    assert seen == Held("\\xff", "9")
    assert take(engine, f"bans:{key}", Held("me", "9"), seen) == Held("me", "9")


@pytest.mark.parametrize(("name", "value"), RUBBISH, ids=IDS)
def test_a_ledger_whose_hashes_have_fields_that_are_not_text_can_be_rebuilt(
    opened: Callable[[], Engine], raw: "redis.Redis", name: str | bytes, value: bytes
) -> None:
    engine = opened()
    Ledger(engine, KEYS, "UTC", "machine").record([ban("5.5.5.5")], place, NOW)
    for key in raw.keys("*"):
        if raw.type(key) == b"hash":
            raw.hset(key, name, value)
    rebuild(engine, KEYS, NOW)
    assert not list(check(engine, KEYS, NOW))


@pytest.mark.parametrize("member", [b"\xff", b"a\xc3b \xed\xa0\x80"])
def test_members_that_are_not_text_can_be_rebuilt(
    opened: Callable[[], Engine], raw: "redis.Redis", member: bytes
) -> None:
    engine = opened()
    Ledger(engine, KEYS, "UTC", "machine").record([ban("5.5.5.5"), gap()], place, NOW)
    raw.zadd(KEYS.base("2611"), {member: 1})
    for key in raw.keys("*"):
        if raw.type(key) == b"set":
            raw.sadd(key, member)
        elif raw.type(key) == b"zset":
            raw.zadd(key, {member: 1})
    assert list(check(engine, KEYS, NOW))
    rebuild(engine, KEYS, NOW)
    assert not list(check(engine, KEYS, NOW))


@pytest.mark.parametrize("name", ["org", "ended_because", "whois", "bantime", ""])
def test_a_ban_with_bytes_that_are_not_text_stops_no_recording(
    opened: Callable[[], Engine], raw: "redis.Redis", name: str
) -> None:
    ledger = Ledger(opened(), KEYS, "UTC", "machine")
    ledger.record([ban("5.5.5.5"), ban("6.6.6.6")], place, NOW)
    for key in raw.keys("bans:{*}:ban:*"):
        raw.hset(key, name, b"\xff\x1b")
    done = ledger.record([unban("5.5.5.5", seen=T0 + 60.0), prolong("6.6.6.6", seen=T0 + 60.0, bantime=9999)], place)
    assert done.amended + done.aside == 2
    ledger.amend(ledger.ids("jail", "sshd"), lambda address, _: Place("public", "FR", "test"))


def test_a_hash_of_nothing_but_a_nameless_field_gives_way_to_a_ban(
    opened: Callable[[], Engine], raw: "redis.Redis"
) -> None:
    engine = opened()
    ledger = Ledger(engine, KEYS, "UTC", "machine")
    ledger.record([ban("5.5.5.5")], place, NOW)
    (key,) = raw.keys("bans:{*}:ban:*")
    raw.delete(key)
    raw.hset(key, "", "x")
    raw.delete("bans:{2611}:count:2026-11-23:ip")
    assert ledger.record([ban("5.5.5.5")], place, NOW).new == 1
    assert raw.hget(key, "ip") == b"5.5.5.5"


@pytest.mark.parametrize("name", ["org", ""])
def test_work_left_over_about_a_ban_that_is_not_text_is_settled(
    opened: Callable[[], Engine], raw: "redis.Redis", name: str
) -> None:
    Ledger(opened(), KEYS, "UTC", "machine").record([ban("5.5.5.5")], place, NOW)
    key = bytes(raw.keys("bans:{*}:ban:*")[0])  # type: ignore[arg-type]
    if not name:
        raw.delete(key)
    raw.hset(key, name, b"\xff")
    raw.hset("bans:{2611}:outbox", "other:1", f'[["{key.decode()}",[]]]')
    engine = opened()
    assert engine.settle() == 1
    assert raw.exists("bans:{2611}:outbox") == 0
    assert raw.exists(key) == bool(name)
