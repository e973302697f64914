"""A plain client sees a ledger as `banledger kv` shows it, on every kind of store."""

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest

from banledger.cli.main import run
from banledger.geo.place import Place
from banledger.ledger.opening import open_to_read
from banledger.ledger.writer import Ledger, open_to_write
from banledger.spool.events import Event
from tests.support.lines import T0, ban, gap, unban
from tests.support.servers import StoreServer, environment, missing

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/keyspace.md", "docs/stores.md")

Both: TypeAlias = Callable[..., tuple[str, str, str]]
"""What the plain client prints, and `banledger kv` over the server, and over an embedded ledger."""

_LINES: list[Event] = [
    *(ban(f"192.0.2.{n}", T0 + n, bantime=600 * n) for n in range(1, 5)),
    *(ban("192.0.2.1", T0 + 100 + n, users=("root",)) for n in range(3)),
    ban("192.0.2.2", T0 + 200, bantime=-1, matches=("a longer line, with 'quotes' and \"quotes\" and a tab:\t" * 3,)),
    ban("115.209.121.31", T0 + 300, jail="nginx", users=("é ü", 'wo "quoted"', "back\\slash", "\x1b[31m")),
    ban("2001:db8::1", T0 + 400, jail="a|b:{c} d"),
    unban("192.0.2.3", T0 + 3, T0 + 99),
    gap(),
]
_UNORDERED = {"SMEMBERS", "HGETALL", "HKEYS", "HVALS", "KEYS"}


def _china(address: str | None, _time: float) -> Place:
    return Place("public", "CN", "test") if address else Place("none")


def _fill(ledger: Ledger) -> None:
    with closing(ledger):
        ledger.record(_LINES, _china)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An embedded ledger."""
    path = str(tmp_path_factory.mktemp("embedded") / "ledger.db")
    _fill(open_to_write(path, "bans", "Europe/Berlin"))
    return path


@pytest.fixture
def both(redis_server: StoreServer, embedded: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Both]:
    """The same bans on a server, and the three ways to look at them."""
    _fill(open_to_write(redis_server.url, "bans", "Europe/Berlin"))

    def ask(*words: str, raw: bool) -> tuple[str, str, str]:
        answers = [plain_client(redis_server, *words, raw=raw)]
        for store in (redis_server.url, embedded):
            run(["kv", "--store", store, "--raw" if raw else "--no-raw", *words])
            answers.append(capsys.readouterr().out)
        server, ours, ours_embedded = (ordered(answer, words[0], raw) for answer in answers)
        return server, ours, ours_embedded

    yield ask


def plain_client(server: StoreServer, *words: str, raw: bool) -> str:
    """What redis-cli prints, errors too."""
    program = str(server.flavour.cli or missing("redis-cli"))
    command = [program, "-h", "127.0.0.1", "-p", str(server.port), "--raw" if raw else "--no-raw", *words]
    done = subprocess.run(command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    return done.stdout.decode()


def ordered(text: str, command: str, raw: bool) -> str:
    """Replies without an order of their own: fields with their values, members, sorted and without numbers."""
    if command.upper() not in _UNORDERED or text.startswith(("(error)", "WRONGTYPE", "ERR", "(empty")):
        return text
    lines = text.splitlines() if raw else [re.sub(r"^ *\d+\) ", "", line) for line in text.splitlines()]
    step = 2 if command.upper() == "HGETALL" else 1
    pairs = sorted(tuple(lines[at : at + step]) for at in range(0, len(lines), step))
    return "\n".join(word for pair in pairs for word in pair)


def documented() -> list[tuple[str, str]]:
    """Every `kv` command of the pages: page, words."""
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text()
        found += [(page, words.strip()) for words in re.findall(r"banledger kv ([A-Z]+ [^`|\n]+)", text)]
        found += [(page, words.strip()) for words in re.findall(r"redis-cli ([A-Z]{4,} bans:[^`|\n]+)", text)]
    return found


def test_the_pages_have_examples() -> None:
    pages = {page for page, _ in documented()}
    assert {"README.md", "docs/keyspace.md"} <= pages


def test_every_example_of_the_pages_prints_the_same_on_all_stores(both: Both, embedded: str) -> None:
    with closing(open_to_read(embedded, "bans")) as ledger:
        known = next(iter(ledger.ids("ip", "115.209.121.31")))
    for page, text in documented():
        words = [re.sub(r"\{\d{4}\}:ban:\w{20}", f"{{2611}}:ban:{known}", word) for word in shlex.split(text)]
        for raw in (True, False):
            server, ours, ours_embedded = both(*words, raw=raw)
            assert server == ours == ours_embedded, (page, words)
            assert "error" not in server and "(empty" not in server, (page, words, server)


COMMANDS = """
PING
PING hello
TYPE bans:meta
TYPE bans:top:ip
TYPE bans:ip:192.0.2.1
TYPE nothing
EXISTS bans:meta nothing bans:meta
KEYS bans:top:*
KEYS bans:{2611}:count:2026-11-23:[jh]*
KEYS nothing*
SCARD bans:ip:192.0.2.1
SCARD nothing
SMEMBERS bans:ip:192.0.2.1
SMEMBERS bans:jail:a%7Cb%3A%7Bc%7D%20d
SMEMBERS nothing
SISMEMBER bans:months 2611
SISMEMBER bans:months 2612
HGET bans:meta timezone
HGET bans:meta nothing
HGET nothing nothing
HMGET bans:meta timezone nothing layout
HEXISTS bans:meta layout
HLEN nothing
HGETALL nothing
HKEYS nothing
ZCARD bans:top:ip
ZRANGE bans:top:ip 0 -1
ZRANGE bans:top:ip 0 -1 WITHSCORES
zrange bans:top:ip -2 -1 withscores
ZRANGE bans:top:ip 0 1 REV
ZRANGE bans:top:ip 0 -1 REV WITHSCORES
ZRANGE bans:top:ip -100 100
ZRANGE bans:top:ip 3 1
ZRANGE nothing 0 -1
ZREVRANGE bans:top:ip 0 9 WITHSCORES
ZREVRANGE bans:top:ip -1 -1
ZRANGE bans:top:ip 1 4 BYSCORE
ZRANGE bans:top:ip (1 +inf BYSCORE WITHSCORES
ZRANGE bans:top:ip (4 (1 BYSCORE REV
ZRANGE bans:top:ip +inf -inf BYSCORE REV LIMIT 1 2 WITHSCORES
ZRANGE bans:top:ip -inf +inf BYSCORE LIMIT 1 -1
ZRANGE bans:top:ip 0 1 LIMIT 0 1
ZRANGE bans:top:ip 0 1 X
ZRANGE bans:top:ip a b
ZRANGEBYSCORE bans:top:ip (1 (4 WITHSCORES
ZRANGEBYSCORE bans:top:ip -inf +inf LIMIT 1 2
ZRANGEBYSCORE bans:active:web1|sshd (1795400000 inf WITHSCORES
ZRANGEBYSCORE bans:top:ip x 1
ZREVRANGEBYSCORE bans:top:ip +inf (1
ZREVRANGEBYSCORE bans:top:ip 1 2
ZCOUNT bans:top:ip 1 (4
ZCOUNT bans:active:web1|sshd inf inf
ZCOUNT nothing -inf +inf
ZSCORE bans:top:ip 192.0.2.1
ZSCORE bans:top:ip nothing
ZSCORE bans:active:web1|sshd nothing
ZMSCORE bans:top:ip 192.0.2.1 nothing 192.0.2.4
ZRANGE bans:active:web1|sshd 0 -1 WITHSCORES
ZRANGE bans:gaps 0 -1 WITHSCORES
ZRANGE bans:{2611}:count:2026-11-23:user 0 -1 WITHSCORES
ZRANGE bans:top:jail 0 -1 WITHSCORES
HGETALL bans:top:ip
SCARD bans:meta
SMEMBERS bans:top:ip
ZRANGE bans:meta 0 -1
ZSCORE bans:months 2611
HGET bans:months x
SCARD
SCARD a b
HGET bans:meta
HMGET bans:meta
ZRANGE bans:top:ip 0
ZSCORE bans:top:ip
ZCOUNT bans:top:ip 1
PING a b
EXISTS
TYPE
""".strip().splitlines()


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "no-raw"])
def test_kv_prints_what_redis_cli_prints(both: Both, raw: bool) -> None:
    wrong = []
    for line in COMMANDS:
        server, ours, ours_embedded = both(*line.split(), raw=raw)
        if not server == ours == ours_embedded:
            wrong.append((line, server, ours, ours_embedded))
    assert not wrong, "\n".join(map(repr, wrong))


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "no-raw"])
def test_every_hash_of_a_ban_is_printed_the_same_on_all_stores(both: Both, embedded: str, raw: bool) -> None:
    with closing(open_to_read(embedded, "bans")) as ledger:
        keys = [ledger.keys.ban(id_) for id_ in ledger.ids_of_day("2026-11-23")]
    assert len(keys) == 10
    for key in keys:
        for command in (("HGETALL", key), ("HKEYS", key), ("HVALS", key), ("HLEN", key), ("HGET", key, "users")):
            server, ours, ours_embedded = both(*command, raw=raw)
            assert server == ours == ours_embedded, command
