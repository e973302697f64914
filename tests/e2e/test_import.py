"""From the ancestor's keys on a real server to a ledger, and from there to another store."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from banledger.store.check import check
from banledger.store.ledger import open_to_read
from tests.lines import T0
from tests.servers import StoreServer
from tests.unit.cli.test_streams import CLOSED, NO_SPACE, Terminal

pytestmark = pytest.mark.e2e


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    directory = tmp_path / "spool"
    directory.mkdir()
    directory.chmod(0o2770)
    return directory


@pytest.fixture
def ancestor(redis_server: StoreServer) -> "redis.Redis":
    """A server with `ancestor_keys`."""
    return ancestor_keys(redis_server.url)


def ancestor_keys(url: str) -> "redis.Redis":
    """Make what the ancestor leaves: 500 bans with their sets, one of them broken, and a network."""
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


def test_the_ancestors_bans_come_into_the_ledger_once(
    ancestor: "redis.Redis", redis_server: StoreServer, spool: Path, tmp_path: Path
) -> None:
    before = {key: ancestor.dump(key) for key in ancestor.scan_iter()}
    words = ("import", redis_server.url, "--server", "old1", "--spool", str(spool))
    assert "499 could be imported" in banledger(*words, "--dry-run")
    assert list(spool.iterdir()) == []
    store = str(tmp_path / "ledger.db")
    for new in (499, 0):
        said = banledger(*words)
        assert "500 bans found\n499 written to the spool" in said
        assert "1 skipped: its timestamp is no number" in said and "1 network of whois written to the spool" in said
        recorded = banledger("record", "--once", "--spool", str(spool), "--store", store)
        assert recorded.startswith(f"{new} new bans, 0 amended, {499 - new} lines known before")
    assert {key: ancestor.dump(key) for key in ancestor.scan_iter()} == before

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
    ancestor: "redis.Redis", redis_server: StoreServer, spool: Path, tmp_path: Path
) -> None:
    embedded, back = str(tmp_path / "ledger.db"), str(tmp_path / "back.db")
    banledger("import", redis_server.url, "--server", "old1", "--spool", str(spool))
    banledger("record", "--once", "--spool", str(spool), "--store", embedded)
    assert "499 new" in banledger("store", "copy", embedded, redis_server.url)
    assert "499 the same" in banledger("store", "copy", embedded, redis_server.url)
    assert "499 new" in banledger("store", "copy", redis_server.url, back)
    assert banledger("store", "rebuild", "--store", redis_server.url) == "made anew from 499 bans and 0 gaps\n"
    assert banledger("store", "check", "--store", back) == "the ledger is whole\n"
    asked = [banledger("bans", "--json", "--store", store) for store in (embedded, redis_server.url, back)]
    assert asked[0] == asked[1] == asked[2]


def test_output_that_cannot_be_written_ends_an_import(
    ancestor: "redis.Redis", redis_server: StoreServer, spool: Path, tmp_path: Path
) -> None:
    terminal = Terminal(tmp_path / "ledger.db", tmp_path)
    for line in (f"import {redis_server.url} --server old1", f"import {redis_server.url} --server old1 --dry-run"):
        assert terminal.run_without_reader(line, 1)[0] == 141
        assert terminal.run_without_reader(line, 2) == (141, "")
        for redirection, said in ((">/dev/full", NO_SPACE), (">&-", CLOSED)):
            code, out, err = terminal.run(line, redirection)
            assert (code, out, err.splitlines()[-1]) == (11, "", said)
        for redirection in ("2>&-", "2>/dev/full"):
            code, out, err = terminal.run(line, redirection)
            assert (code, err) == (0, "") and "500 bans found" in out
