"""From the predecessor's keys on a real server to a ledger, and from there to another store."""

import json
import pickle
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from banledger.ledger.check import check
from banledger.ledger.opening import open_to_read
from tests.support.lines import T0
from tests.support.servers import StoreServer
from tests.unit.cli.test_streams import CLOSED, NO_SPACE, Terminal

pytestmark = pytest.mark.e2e


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    directory = tmp_path / "spool"
    directory.mkdir()
    directory.chmod(0o2770)
    return directory


@pytest.fixture
def predecessor(redis_server: StoreServer) -> "redis.Redis":
    """A server with `predecessor_keys`."""
    return predecessor_keys(redis_server.url)


def predecessor_keys(url: str) -> "redis.Redis":
    """Make what the predecessor leaves: 500 bans with their sets, one of them broken, and a network."""
    client = redis.Redis.from_url(url)
    pipeline = client.pipeline()
    for n in range(500):
        nid, ip, country = f"{n:010d}", f"193.0.6.{n % 250}", ("CN", "DE", "XX")[n % 3]
        stamp = "broken" if n == 7 else str(T0 + n * 3600)
        pipeline.hset(f"f2b:{nid}", mapping={"jail": "sshd", "ip": ip, "country": country, "timestamp": stamp})
        for name in (country, "sshd", ip, "2026-11-23"):
            pipeline.sadd(f"f2b:{name}", nid)
    pipeline.set("cidr:193.0.6.0/24", pickle.dumps({"asn": "64496", "updated": "2026-11-23T02:13:20Z"}))
    pipeline.execute()
    return client


def banledger(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "banledger", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_predecessors_bans_are_imported_once(
    predecessor: "redis.Redis", redis_server: StoreServer, spool: Path, tmp_path: Path
) -> None:
    before = {key: predecessor.dump(key) for key in predecessor.scan_iter()}
    words = ("import", redis_server.url, "--server", "old1", "--spool", str(spool))
    assert "499 could be imported" in banledger(*words, "--dry-run")
    assert list(spool.iterdir()) == []
    store = str(tmp_path / "ledger.db")
    for new in (499, 0):
        said = banledger(*words)
        assert "500 bans found\n499 written to the spool" in said
        assert "1 skipped: its timestamp is not a number" in said and "1 network of whois written to the spool" in said
        recorded = banledger("record", "--once", "--spool", str(spool), "--store", store)
        assert recorded.startswith(f"{new} new bans, 0 amended, {499 - new} lines known before")
    assert {key: predecessor.dump(key) for key in predecessor.scan_iter()} == before

    reader = open_to_read(store, "bans")
    (ban,) = reader.bans(reader.ids_of_day("2026-11-23")[-1:])
    assert ban is not None
    assert (ban.server, ban.jail, ban.time, ban.origin) == ("old1", "sshd", T0, "import")
    assert (ban.country, ban.country_from) == ("CN", "import")
    network = reader.networks.network("193.0.6.0/24")
    assert network is not None and (network.asn, network.source, network.fetched) == (64496, "import", T0)
    assert list(check(reader.store(), reader.keys)) == []
    reader.close()


def test_a_ledger_moves_to_a_server_and_back(
    predecessor: "redis.Redis", redis_server: StoreServer, spool: Path, tmp_path: Path
) -> None:
    embedded, back = str(tmp_path / "ledger.db"), str(tmp_path / "back.db")
    banledger("import", redis_server.url, "--server", "old1", "--spool", str(spool))
    banledger("record", "--once", "--spool", str(spool), "--store", embedded)
    assert "499 new" in banledger("store", "copy", embedded, redis_server.url)
    assert "499 the same" in banledger("store", "copy", embedded, redis_server.url)
    assert "499 new" in banledger("store", "copy", redis_server.url, back)
    assert banledger("store", "rebuild", "--store", redis_server.url) == "rebuilt from 499 bans and 0 gaps\n"
    assert banledger("store", "check", "--store", back) == "the ledger is whole\n"
    asked = [banledger("bans", "--json", "--store", store) for store in (embedded, redis_server.url, back)]
    assert asked[0] == asked[1] == asked[2]


def test_output_that_cannot_be_written_ends_an_import(
    predecessor: "redis.Redis", redis_server: StoreServer, spool: Path, tmp_path: Path
) -> None:
    terminal = Terminal(tmp_path / "ledger.db", tmp_path)
    for line in (f"import {redis_server.url} --server old1", f"import {redis_server.url} --server old1 --dry-run"):
        assert terminal.run_without_reader(line, 1)[0] == 141
        code, out = terminal.run_without_reader(line, 2)  # nothing is said there without a terminal
        assert code == 0 and "500 bans found" in out
        for redirection, said in ((">/dev/full", NO_SPACE), (">&-", CLOSED)):
            code, out, err = terminal.run(line, redirection)
            assert (code, out, err.splitlines()[-1]) == (11, "", said)
        for redirection in ("2>&-", "2>/dev/full"):
            code, out, err = terminal.run(line, redirection)
            assert (code, err) == (0, "") and "500 bans found" in out


_ROOM = 400 << 20  # of address space: an interpreter with its libraries takes half of it


def hostile_keys(client: "redis.Redis") -> int:
    """Make keys that are not what they should be, of which one is a ban; how many bans are to be skipped."""
    good: dict[Any, Any] = {"jail": "sshd", "ip": "193.0.6.1", "country": "EU", "timestamp": str(T0)}
    huge = b"x" * (200 << 20)
    odd: list[dict[Any, Any]] = [
        *({n: v for n, v in good.items() if n != missing} for missing in ("jail", "ip", "timestamp")),
        *(good | {name: value} for name in ("jail", "ip", "timestamp") for value in (huge, b"\xff", b"\x1b[2J", "")),
        *(good | {"timestamp": value} for value in ("[1, 2]", "inf", "-1", "9" * 60, "99999999999")),
    ]
    for number, fields in enumerate(odd):
        client.hset(f"f2b:bad{number:07d}", mapping=fields)
    client.rpush("f2b:listlistli", "x")
    client.set("f2b:stringstri", huge)
    client.zadd("f2b:zsetzsetzs", {"x": 1})
    client.hset("f2b:goodgoodgo", mapping=good | {"country": huge, "more": huge})
    client.hset("f2b:goodgoodeu", mapping=good | {"ip": "193.0.6.2"})
    text = "x" * 60_000
    bomb = pickle.dumps({"updated": "2026-11-23T02:13:20Z", "raw": [text] * 18_000})
    assert len(bomb) < 112_000
    client.set("cidr:193.0.6.0/24", bomb)
    client.set("cidr:193.0.7.0/24", huge)
    client.sadd("cidr:193.0.8.0/24", "x")
    status = ["active"]
    kept = {"query": "193.0.9.1", "network": {"cidr": "193.0.9.0/25", "status": status}, "raw": {"status": status}}
    client.set("cidr:9.9.9.0/24", pickle.dumps(kept | {"updated": "2026-11-23T02:13:20Z"}))
    return len(odd) + 3


def test_a_hostile_source_is_read_in_little_memory_and_every_key_is_accounted_for(
    redis_server: StoreServer, spool: Path
) -> None:
    skipped = hostile_keys(redis.Redis.from_url(redis_server.url))
    done = subprocess.run(
        [sys.executable, "-m", "banledger", "import", redis_server.url, "--server", "old1", "--spool", str(spool)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (_ROOM, _ROOM)),
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "\x1b" not in done.stdout
    assert "\n2 written to the spool" in done.stdout and "2 of them have no country" in done.stdout
    counts = [line.split(" ")[0] for line in done.stdout.splitlines() if " skipped: " in line]
    assert sum(map(int, counts)) == skipped
    assert "1 network of whois written" in done.stdout
    assert "1 network refused: it expands to too much" in done.stdout
    assert "1 network refused: it has more than 1,048,576 bytes" in done.stdout
    assert "1 network refused: its key holds a set" in done.stdout
    lines = [json.loads(line) for segment in spool.iterdir() for line in segment.read_bytes().splitlines()]
    assert [line["cidrs"] for line in lines if line["kind"] == "network"] == [["193.0.9.0/25"]]
