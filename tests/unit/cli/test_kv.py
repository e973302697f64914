"""What `redis-cli` 7.0 prints for the same replies."""

import pytest

from banledger.report.formats.redis_cli import for_terminal, raw
from banledger.stores.commands import COMMANDS, Failure, Status, execute, score_text
from tests.support.lines import T0, ban
from tests.unit.cli.conftest import Run
from tests.unit.report.conftest import Make, make  # noqa: F401  a fixture

_LINES = [
    *(ban(f"192.0.2.{n}", T0 + n, bantime=600 * n) for n in range(1, 5)),
    *(ban("192.0.2.1", T0 + 100 + n) for n in range(3)),
    *(ban("192.0.2.2", T0 + 200 + n, bantime=-1) for n in range(1)),
]
_TOP = ["192.0.2.1", "4", "192.0.2.2", "2", "192.0.2.4", "1", "192.0.2.3", "1"]


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        ("PING", Status("PONG")),
        ("ping hello", "hello"),
        ("TYPE bans:top:ip", Status("zset")),
        ("TYPE bans:ip:192.0.2.1", Status("set")),
        ("TYPE bans:meta", Status("hash")),
        ("TYPE nothing", Status("none")),
        ("EXISTS bans:meta nothing bans:meta", 2),
        ("SCARD bans:ip:192.0.2.1", 4),
        ("SCARD nothing", 0),
        ("SMEMBERS nothing", []),
        ("SISMEMBER bans:ip:192.0.2.1 nothing", 0),
        ("ZCARD bans:top:ip", 4),
        ("ZREVRANGE bans:top:ip 0 -1 WITHSCORES", _TOP),
        ("zrange bans:top:ip 0 1", ["192.0.2.3", "192.0.2.4"]),
        ("ZRANGE bans:top:ip -2 -1", ["192.0.2.2", "192.0.2.1"]),
        ("ZRANGE bans:top:ip 0 0 REV", ["192.0.2.1"]),
        ("ZREVRANGE bans:top:ip -1 -1", ["192.0.2.3"]),
        ("ZREVRANGE bans:top:ip 3 1", []),
        ("ZREVRANGE bans:top:ip 3 99", ["192.0.2.3"]),
        ("ZREVRANGE nothing 0 -1", []),
        ("ZRANGEBYSCORE bans:top:ip 2 +inf", ["192.0.2.2", "192.0.2.1"]),
        ("ZRANGEBYSCORE bans:top:ip (1 (4", ["192.0.2.2"]),
        ("ZRANGEBYSCORE bans:top:ip -inf 1 LIMIT 1 5 withscores", ["192.0.2.4", "1"]),
        ("ZREVRANGEBYSCORE bans:top:ip inf -inf LIMIT 1 2", ["192.0.2.2", "192.0.2.4"]),
        ("ZREVRANGEBYSCORE bans:top:ip +inf -inf LIMIT 2 -1", ["192.0.2.4", "192.0.2.3"]),
        ("ZRANGEBYSCORE bans:top:ip 5 1", []),
        ("ZCOUNT bans:top:ip 1 2", 3),
        ("ZCOUNT bans:active:web1|sshd inf inf", 1),
        ("ZCOUNT bans:active:web1|sshd (inf inf", 0),
        ("ZSCORE bans:top:ip 192.0.2.1", "4"),
        ("ZSCORE bans:top:ip nothing", None),
        ("ZMSCORE bans:top:ip 192.0.2.2 nothing", ["2", None]),
        ("HGET bans:meta timezone", "Europe/Berlin"),
        ("HGET bans:meta nothing", None),
        ("HMGET bans:meta timezone nothing", ["Europe/Berlin", None]),
        ("HEXISTS bans:meta timezone", 1),
        ("HLEN nothing", 0),
        ("HGETALL nothing", []),
        ("KEYS bans:top:[ij]*", ["bans:top:ip", "bans:top:jail"]),
        ("SCAN 0 MATCH bans:meta COUNT 100", ["0", ["bans:meta"]]),
        ("SCAN 0 MATCH bans:m* TYPE set", ["0", ["bans:months"]]),
        ("scard", Failure("ERR wrong number of arguments for 'scard' command")),
        ("SCARD a b", Failure("ERR wrong number of arguments for 'scard' command")),
        ("ping a b", Failure("ERR wrong number of arguments for 'ping' command")),
        ("SCARD bans:meta", Failure("WRONGTYPE Operation against a key holding the wrong kind of value")),
        ("HGETALL bans:top:ip", Failure("WRONGTYPE Operation against a key holding the wrong kind of value")),
        ("ZRANGE bans:top:ip a b", Failure("ERR value is not an integer or out of range")),
        ("ZRANGE bans:top:ip 0 1 X", Failure("ERR syntax error")),
        ("ZCOUNT bans:top:ip x 1", Failure("ERR min or max is not a float")),
        (
            "SET a b",
            Failure("ERR unknown or writing command 'SET': the ledger is read-only here; see banledger kv --help"),
        ),
    ],
)
def test_commands_answer_as_redis(make: Make, words: str, reply: object) -> None:  # noqa: F811
    assert execute(make(_LINES).store(), words.split()) == reply


@pytest.mark.parametrize("words", ["HGETALL \udcff", "KEYS \udcff*", "TYPE \udcff", "ZSCORE bans:top:ip \udcff"])
def test_an_argument_that_is_not_text_is_refused(banledger: Run, words: str) -> None:
    assert banledger("kv", *words.split())[:2] == (1, "ERR arguments must be UTF-8\n\n")


def test_a_hash_is_listed_field_by_field(make: Make) -> None:  # noqa: F811
    reader = make(_LINES).store()
    flat = execute(reader, ["HGETALL", "bans:meta"])

    assert isinstance(flat, list)
    assert flat[::2] == execute(reader, ["HKEYS", "bans:meta"])
    assert flat[1::2] == execute(reader, ["HVALS", "bans:meta"])
    assert len(flat) == 2 * int(str(execute(reader, ["HLEN", "bans:meta"])))


def test_members_are_listed(make: Make) -> None:  # noqa: F811
    reader = make(_LINES).store()
    members = execute(reader, ["SMEMBERS", "bans:ip:192.0.2.1"])

    assert isinstance(members, list) and len(members) == 4
    assert execute(reader, ["SISMEMBER", "bans:ip:192.0.2.1", str(members[2])]) == 1
    assert execute(reader, ["DBSIZE"]) == len(list(reader.keys("*")))


def test_no_command_writes() -> None:
    assert not {"SET", "DEL", "HSET", "SADD", "ZADD", "EXPIRE", "FLUSHALL", "EVAL"} & set(COMMANDS)


def test_replies_on_a_terminal() -> None:
    assert for_terminal(5) == "(integer) 5\n"
    assert for_terminal(None) == "(nil)\n"
    assert for_terminal([]) == "(empty array)\n"
    assert for_terminal(Status("PONG")) == "PONG\n"
    assert for_terminal(Failure("ERR no")) == "(error) ERR no\n"
    assert for_terminal('a"b\\\n\r\t\a\b\x1bé') == '"a\\"b\\\\\\n\\r\\t\\a\\b\\x1b\\xc3\\xa9"\n'
    assert for_terminal(["a", 1, None]) == '1) "a"\n2) (integer) 1\n3) (nil)\n'
    assert for_terminal(["x"] * 10).splitlines()[0] == ' 1) "x"'
    assert for_terminal(["0", ["a", "b"]]) == '1) "0"\n2) 1) "a"\n   2) "b"\n'


def test_replies_to_a_program() -> None:
    assert raw(["a", 1, None, ["b"]]) == "a\n1\n\nb\n"
    assert raw([]) == "\n" and raw(None) == "\n"
    assert raw(Failure("ERR no")) == "ERR no\n\n"


def test_scores_are_printed_as_doubles() -> None:
    numbers = (3.0, 0.5, 0.1, 1.79e9, 1e17, float("inf"), float("-inf"))

    assert [score_text(n) for n in numbers] == [
        "3", "0.5", "0.10000000000000001", "1790000000", "1e+17", "inf", "-inf",
    ]  # fmt: skip


def test_the_command_prints_raw_to_a_pipe_and_typed_on_request(banledger: Run) -> None:
    assert banledger("kv", "SCARD", "bans:jail:sshd") == (0, "21\n", "")
    assert banledger("kv", "--no-raw", "SCARD", "bans:jail:sshd") == (0, "(integer) 21\n", "")
    assert banledger("kv", "ZREVRANGE", "bans:top:jail", "-2", "-1") == (0, "sshd\nnginx\n", "")


def test_an_error_reply_goes_to_stdout_and_ends_in_1(banledger: Run) -> None:
    code, out, err = banledger("kv", "--no-raw", "DEL", "bans:meta")

    assert (code, err) == (1, "")
    assert out.startswith("(error) ERR ") and "read-only" in out
