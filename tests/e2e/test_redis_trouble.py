"""Whatever happens to the server: bans wait, one line says why, and all are recorded once when it is over."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from banledger.clock import ClockWatch
from banledger.errors import StoreUnavailable
from banledger.ledger.heartbeat import WhoisActivity
from banledger.ledger.keys import LAYOUT
from banledger.ledger.writer import Ledger, open_to_write
from banledger.service.recorder import Recorder
from banledger.spool.reader import SpoolReader
from tests.conftest import MakeServer
from tests.support.lines import nowhere
from tests.support.segments import NOW, Writer
from tests.support.servers import Flavour, ServerError, StoreServer, flavour_named
from tests.support.world import Clock

from .conftest import wait_for
from .recording import Recording

Record = Callable[..., Recording]

DOWN = "can't be reached"
AGAIN = "recording again"
NO_AOF = "does not keep an append-only file"
GONE = "the store came back without the ledger: its content is gone"


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    """Makes a Recording into a server: `record(server)`; ended with the test."""
    made: list[Recording] = []

    def make(server: StoreServer, reach: str = "") -> Recording:
        recording = Recording(tmp_path / f"recording{len(made)}", server, reach)
        made.append(recording)
        return recording

    yield make
    for recording in made:
        recording.close()


@pytest.fixture
def redis_7() -> Flavour:
    """For what is the same in all of them."""
    return flavour_named("redis-7")


# Down, gone, hanging.


def test_the_service_waits_for_a_server_that_is_down_at_its_start(
    flavour: Flavour, private_server: MakeServer, record: Record
) -> None:
    server = private_server(flavour)
    server.stop()
    recording = record(server)
    recording.start()
    recording.write(20)
    recording.wait_for(DOWN)
    time.sleep(2)
    server.start()
    recording.assert_whole()
    recording.assert_said(DOWN, AGAIN)


def test_a_repeatedly_killed_server_loses_nothing_in_its_aof(
    flavour: Flavour, private_server: MakeServer, record: Record
) -> None:
    server = private_server(flavour, extra=("--appendfsync", "always"))
    recording = record(server)
    recording.start()
    for turn in range(1, 4):
        recording.write(300)
        if turn > 1:  # else in the middle of it
            recording.wait_until_recorded()
        server.kill()
        recording.write(20)
        recording.wait_for(DOWN, turn)
        server.start()
        recording.wait_for(AGAIN, turn)
        recording.assert_whole()
    lines = [line for line in recording.lines if "is still loading" not in line]
    assert [AGAIN in line for line in lines] == [False, True] * 3, lines


class Unlucky:
    """A whois in whose turn the server dies."""

    def __init__(self, server: StoreServer) -> None:
        self._server = server

    def step(self, ledger: Ledger, now: float) -> None:
        self._server.kill()
        ledger.waiting()

    def follow(self, ledger: Ledger, now: float) -> bool:
        return True

    def activity(self) -> WhoisActivity:
        return WhoisActivity("asks")

    def leave(self, ledger: Ledger) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing to end."""


def test_a_store_outage_during_a_whois_step_is_logged_once(
    flavour: Flavour, private_server: MakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = private_server(flavour, extra=("--appendfsync", "always"))
    (tmp_path / "spool").mkdir()
    recorder = Recorder(
        SpoolReader(tmp_path / "spool"),
        lambda: open_to_write(server.url, "bans", "UTC"),
        nowhere,
        whois=Unlucky(server),
    )
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=DOWN):
            recorder.step(time.time())
        server.start()
    recorder.close()
    assert "whois paused" not in caplog.text


def test_the_service_waits_for_a_hanging_server(flavour: Flavour, private_server: MakeServer, record: Record) -> None:
    server = private_server(flavour)
    recording = record(server)
    recording.start()
    recording.write(10)
    recording.wait_until_recorded()
    server.pause()
    recording.write(1500)
    recording.wait_for("does not answer in time")
    time.sleep(9)
    server.resume()
    recording.assert_whole()
    recording.wait_for(AGAIN)
    recording.assert_said("does not answer in time", AGAIN)


def test_a_slow_server_logs_no_outage(flavour: Flavour, private_server: MakeServer, record: Record) -> None:
    server = private_server(flavour)
    recording = record(server)
    recording.start()
    for _ in range(4):
        recording.write(40)
        server.cli("CLIENT", "PAUSE", "400", "WRITE")
        time.sleep(0.6)
    recording.assert_whole()
    recording.assert_said()


def test_a_server_hanging_during_a_large_batch_duplicates_nothing(
    redis_7: Flavour, private_server: MakeServer, record: Record
) -> None:
    server = private_server(redis_7)
    recording = record(server)
    recording.write(6000)
    recording.start()
    wait_for(lambda: server.cli("EXISTS", "bans:{2611}:outbox") == "1")
    server.pause()
    recording.wait_for("does not answer in time")
    server.resume()
    recording.assert_whole()
    recording.wait_for(AGAIN)
    recording.assert_said("does not answer in time", AGAIN)


def test_a_server_that_returns_empty_gets_the_replay_window_and_one_log_line(
    flavour: Flavour, private_server: MakeServer, record: Record
) -> None:
    server = private_server(flavour, appendonly=False)
    recording = record(server)
    recording.start()
    recording.write(30)
    recording.wait_until_recorded()
    server.kill()
    recording.write(1)
    recording.wait_for(DOWN)
    server.start()
    recording.assert_whole()
    recording.wait_for(AGAIN)
    recording.assert_said(NO_AOF, DOWN, GONE, AGAIN)


def test_a_server_that_returns_empty_between_requests_is_noticed(
    flavour: Flavour, private_server: MakeServer, record: Record
) -> None:
    server = private_server(flavour, appendonly=False)
    recording = record(server)
    recording.start()
    recording.write(30)
    recording.wait_until_recorded()
    server.kill()
    server.start()
    recording.write(1)
    recording.assert_whole()
    recording.wait_for(AGAIN)
    recording.assert_said(NO_AOF, "the connection was lost", GONE, AGAIN)


def test_a_deleted_ledger_is_created_again_within_a_minute(
    redis_server: StoreServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(tmp_path)
    writer.write(*(f"10.0.0.{number}" for number in range(50)))
    elapsed = Clock(0.0)
    recorder = Recorder(
        SpoolReader(tmp_path),
        lambda: open_to_write(redis_server.url, "bans", "UTC"),
        nowhere,
        watch=ClockWatch(elapsed),
    )
    assert recorder.drain(NOW).new == 50
    redis_server.flush()
    elapsed.now += 61
    recorder.step(NOW + 61)
    assert recorder.drain(NOW + 61.1).new == 50
    recorder.close()
    writer.close()
    said = [record.message for record in caplog.records]
    assert [GONE in line for line in said] == [False, True], said
    assert redis_server.cli("SCARD", "bans:jail:sshd") == "50"


# It answers, but not as it should.


def test_a_read_only_replica_is_named_as_such_until_it_is_promoted(
    flavour: Flavour, private_server: MakeServer, record: Record
) -> None:
    primary = private_server(flavour)
    replica = private_server(flavour, replica_of=primary)
    recording = record(replica)
    recording.start()
    recording.write(20)
    recording.wait_for("is a read-only replica")
    time.sleep(2)
    assert primary.cli("DBSIZE") == "0"
    replica.cli("REPLICAOF", "NO", "ONE")
    recording.assert_whole()
    recording.wait_for(AGAIN)
    recording.assert_said("is a read-only replica", AGAIN)


@pytest.mark.parametrize("hold_back", [0, 300_000])
def test_a_server_out_of_memory_leaves_nothing_half_written(
    flavour: Flavour, private_server: MakeServer, record: Record, hold_back: int
) -> None:
    """At once, or in the middle of what is written."""
    server = private_server(flavour)
    recording = record(server)
    recording.start()
    recording.write(20)
    recording.wait_until_recorded()
    used = int(server.cli("INFO", "memory").partition("used_memory:")[2].split()[0])
    server.cli("CONFIG", "SET", "maxmemory", str(used + hold_back if hold_back else 1))
    recording.write(3000)
    recording.wait_for("is out of memory", seconds=30)
    time.sleep(2)
    server.cli("CONFIG", "SET", "maxmemory", "0")
    recording.assert_whole()
    recording.wait_for(AGAIN)
    recording.assert_said("is out of memory", AGAIN)


def test_another_type_at_a_key_of_the_ledger_is_named_and_leaves_nothing_half_written(
    flavour: Flavour, private_server: MakeServer, record: Record
) -> None:
    server = private_server(flavour)
    recording = record(server)
    recording.start()
    recording.write(20)
    recording.wait_until_recorded()
    for number, key in enumerate(("bans:top:ip", "bans:{2611}:day:2026-11-23", "bans:jail:sshd"), 1):
        server.cli("RENAME", key, "aside")
        server.cli("SET", key, "mine")
        recording.write(20)
        recording.wait_for("holds another type at a key of the ledger", number)
        time.sleep(1.2)
        server.cli("RENAME", "aside", key)
        recording.assert_whole()
        recording.wait_for(AGAIN, number)
        assert key in recording.lines[-2]
    assert [AGAIN in line for line in recording.lines] == [False, True] * 3, recording.text


def test_a_foreign_hash_at_bans_meta_is_refused_and_left_unchanged(
    flavour: Flavour, private_server: MakeServer, record: Record
) -> None:
    server = private_server(flavour)
    server.cli("HSET", "bans:meta", "name", "somebody")
    recording = record(server)
    recording.start()
    recording.write(20)
    recording.wait_for("bans:meta is not banledger's")
    time.sleep(2)
    assert server.cli("HGETALL", "bans:meta") == "name\nsomebody"
    assert server.cli("DBSIZE") == "1"
    server.cli("DEL", "bans:meta")
    recording.assert_whole()
    recording.wait_for(AGAIN)
    recording.assert_said("bans:meta is not banledger's", AGAIN)


def test_a_ledger_of_a_newer_layout_is_not_changed(
    flavour: Flavour, private_server: MakeServer, record: Record
) -> None:
    server = private_server(flavour)
    recording = record(server)
    recording.write(10)
    assert recording.run("--once") == 0
    server.cli("HSET", "bans:meta", "layout", "99")
    size = server.cli("DBSIZE")
    recording.write(10)
    assert recording.run("--once") == 4
    recording.said.write_text("")
    recording.start()
    recording.wait_for(f"the ledger has layout 99, this banledger knows {LAYOUT}")
    time.sleep(1)
    assert server.cli("DBSIZE") == size
    server.cli("HSET", "bans:meta", "layout", str(LAYOUT))
    recording.assert_whole()
    recording.wait_for(AGAIN)
    recording.assert_said("the ledger has layout 99", AGAIN)


# Not let in.


def test_a_corrected_password_file_is_used_at_the_next_try(
    flavour: Flavour, private_server: MakeServer, record: Record, tmp_path: Path
) -> None:
    server = private_server(flavour, password="r1ght-s3cret")
    secret = tmp_path / "password"
    secret.touch(mode=0o600)
    secret.write_text("wr0ng-s3cret\n")
    recording = record(server)
    recording.secrets.add("wr0ng-s3cret")
    recording.configure(password_file=secret)
    recording.start()
    recording.write(20)
    recording.wait_for("refuses the password")
    time.sleep(1)
    recording.assert_no_secret(recording.text)
    secret.write_text("r1ght-s3cret\n")
    recording.assert_whole()
    recording.wait_for(AGAIN)
    recording.assert_said("refuses the password", AGAIN)


def test_a_corrected_password_in_the_settings_is_used_after_sighup(
    redis_7: Flavour, private_server: MakeServer, record: Record
) -> None:
    server = private_server(redis_7, password="r1ght-s3cret")
    recording = record(server)
    recording.start()
    recording.write(20)
    recording.wait_for("requires a password")
    recording.secrets.add("wr0ng-s3cret")
    recording.configure(password="wr0ng-s3cret")
    recording.reload()
    recording.wait_for("refuses the password")
    recording.configure(password="r1ght-s3cret")
    recording.reload()
    recording.assert_whole()
    recording.assert_said("requires a password", "refuses the password")


def test_a_briefly_missing_password_file_does_not_end_the_service(
    redis_7: Flavour, private_server: MakeServer, record: Record, tmp_path: Path
) -> None:
    server = private_server(redis_7, password="0ld-s3cret")
    secret = tmp_path / "password"
    secret.touch(mode=0o600)
    secret.write_text("0ld-s3cret")
    recording = record(server)
    recording.secrets.add("n3w-s3cret")
    recording.configure(password_file=secret)
    recording.start()
    recording.write(20)
    recording.wait_until_recorded()
    secret.unlink()
    server.cli("CONFIG", "SET", "requirepass", "n3w-s3cret")
    server.password = "n3w-s3cret"
    server.cli("CLIENT", "KILL", "TYPE", "normal")
    recording.write(20)
    recording.wait_for("can't read password_file")
    secret.touch(mode=0o600)
    secret.write_text("n3w-s3cret")
    recording.assert_whole()
    recording.wait_for(AGAIN)
    recording.assert_said("the connection was lost", "can't read password_file", AGAIN)


@pytest.mark.parametrize("lacking", ["evalsha", "sadd", "hgetall", "scard"])
def test_a_user_who_lacks_a_command_is_told_which(
    flavour: Flavour, private_server: MakeServer, record: Record, lacking: str, tmp_path: Path
) -> None:
    server = private_server(flavour, acl=f"user keeper on >k33per-s3cret ~bans:* +@all -{lacking}")
    recording = record(server, f"redis://keeper@127.0.0.1:{server.port}?timeout=1")
    recording.secrets.add("k33per-s3cret")
    recording.start(BANLEDGER_PASSWORD="k33per-s3cret")
    recording.write(20)
    recording.wait_for("does not let this user do that")
    time.sleep(2)
    assert f"'{lacking}'" in recording.lines[0]
    server.cli("ACL", "SETUSER", "keeper", f"+{lacking}")
    recording.assert_whole()
    recording.wait_for(AGAIN)
    recording.assert_said("does not let this user do that", AGAIN)


def test_an_acl_without_all_ledger_keys_leaves_nothing_half_written(
    redis_7: Flavour, private_server: MakeServer, record: Record
) -> None:
    server = private_server(redis_7, acl="user keeper on >k33per-s3cret ~bans:{* ~bans:meta ~bans:months +@all")
    recording = record(server, f"redis://keeper@127.0.0.1:{server.port}?timeout=1")
    recording.start(BANLEDGER_PASSWORD="k33per-s3cret")
    recording.write(20)
    recording.wait_for("does not let this user do that")
    server.cli("ACL", "SETUSER", "keeper", "~bans:*")
    recording.assert_whole()
    recording.wait_for(AGAIN)
    recording.assert_said("does not let this user do that", AGAIN)


# What its set-up endangers.


def test_a_server_that_evicts_or_does_not_persist_is_warned_about_once(
    flavour: Flavour, private_server: MakeServer, record: Record
) -> None:
    extra = ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    server = private_server(flavour, appendonly=False, extra=extra)
    recording = record(server)
    recording.start()
    recording.write(5)
    recording.wait_until_recorded()
    server.cli("CLIENT", "KILL", "TYPE", "normal")
    recording.write(5)
    recording.assert_whole()
    recording.wait_for(AGAIN)
    recording.assert_said("may evict keys (maxmemory-policy allkeys-lru)", NO_AOF, "the connection was lost", AGAIN)


def test_a_server_with_hidden_config_causes_no_warning(
    redis_7: Flavour, private_server: MakeServer, record: Record
) -> None:
    server = private_server(redis_7, appendonly=False, acl="user keeper on >k33per-s3cret ~bans:* +@all -info")
    recording = record(server, f"redis://keeper@127.0.0.1:{server.port}")
    recording.start(BANLEDGER_PASSWORD="k33per-s3cret")
    recording.write(5)
    recording.assert_whole()
    recording.assert_said()
    with pytest.raises(ServerError):
        server.cli("INFO", user="keeper", password="k33per-s3cret")


# Rubbish.


def test_damaged_hashes_and_outbox_entries_stop_nothing_and_a_rebuild_releases_waiting_lines(
    redis_7: Flavour, private_server: MakeServer, record: Record
) -> None:
    server = private_server(redis_7)
    recording = record(server)
    recording.write(3)
    assert recording.run("--once") == 0
    client = redis.Redis(port=server.port, decode_responses=True)
    (key,) = [key for key in client.scan_iter("bans:{2611}:ban:*") if client.hget(key, "ip") == "10.0.0.1"]
    client.hset(key, "failures", "x")
    client.hset("bans:{2611}:outbox", "rubbish", "[")
    recording.start()
    recording.wait_for("set aside in bans:{2611}:outbox")
    recording.ban("10.0.0.1")
    recording.write(3)
    recording.wait_for("lines about it are set aside", times=1)
    wait_for(lambda: len(recording.recorded()) == 5)
    assert recording.text.count("is damaged: failures") == 1
    recording.services[-1].terminate()
    assert recording.services[-1].wait(timeout=30) == 0
    command = [sys.executable, "-m", "banledger", "store", "rebuild", "--config", str(recording.config)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
    assert client.scard("bans:aside") > 0
    recording.start()
    wait_for(lambda: client.scard("bans:aside") == 0)
    recording.assert_whole()
    client.close()
