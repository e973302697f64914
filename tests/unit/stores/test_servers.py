"""The servers that other tests build on."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.conftest import MakeServer
from tests.support.servers import Certificates, Flavour, ServerError, StoreServer, flavour_named, missing


def client(url: str, **options: object) -> redis.Redis:
    options = {"retry": Retry(NoBackoff(), 0), "socket_timeout": 2, "decode_responses": True} | options
    return redis.Redis.from_url(url, **options)


def test_a_server_answers_over_tcp_and_over_its_socket(redis_server: StoreServer) -> None:
    assert redis_server.cli("SET", "key", "ü") == "OK"
    assert redis_server.cli("GET", "key", over="unix") == "ü"
    for url in (redis_server.url, redis_server.unix_url):
        with client(url) as connection:
            assert connection.get("key") == "ü"


@pytest.mark.parametrize("turn", [1, 2])
def test_the_shared_server_is_empty_for_each_test(redis_server: StoreServer, turn: int) -> None:
    assert redis_server.cli("DBSIZE") == "0"
    redis_server.cli("SET", "key", str(turn))


def test_redis_cli_prints_as_to_a_pipe_or_as_to_a_terminal(redis_server: StoreServer) -> None:
    redis_server.cli("RPUSH", "list", "a b", "c")
    assert redis_server.cli("LRANGE", "list", "0", "-1") == "a b\nc"
    assert redis_server.cli("LRANGE", "list", "0", "-1", raw=False) == '1) "a b"\n2) "c"'
    with pytest.raises(ServerError, match="WRONGTYPE"):
        redis_server.cli("GET", "list")


def test_with_an_aof_a_server_keeps_its_data_and_its_port(flavour: Flavour, private_server: MakeServer) -> None:
    server = private_server(flavour)
    port = server.port
    server.cli("SET", "key", "1")
    server.restart()
    assert server.cli("INCR", "key") == "2"
    server.kill()  # everything written is with the kernel, so this loses nothing
    server.start()
    assert (server.cli("GET", "key"), server.port) == ("2", port)


def test_without_an_aof_a_server_forgets(flavour: Flavour, private_server: MakeServer) -> None:
    server = private_server(flavour, appendonly=False)
    server.cli("SET", "key", "1")
    server.restart()
    assert server.cli("EXISTS", "key") == "0"


def test_a_killed_server_leaves_no_process(flavour: Flavour, private_server: MakeServer) -> None:
    server = private_server(flavour)
    pid = server.pid
    server.kill()
    assert not server.running
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(redis.ConnectionError), client(server.url) as connection:
        connection.ping()


def test_a_server_outlives_the_thread_that_started_it(flavour: Flavour, private_server: MakeServer) -> None:
    server = private_server(flavour)
    thread = threading.Thread(target=server.restart)
    thread.start()
    thread.join()
    assert server.cli("PING") == "PONG"


HOLDER = """
import sys, time
from pathlib import Path
from tests.support.servers import StoreServer, flavour_named
server = StoreServer(flavour_named(sys.argv[1]), Path(sys.argv[2]))
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


def test_a_server_dies_with_the_process_that_started_it(flavour: Flavour, tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLDER, flavour.name, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as holder:
        assert holder.stdout
        pid = int(holder.stdout.readline())
        os.kill(pid, 0)
        holder.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while _alive(pid):
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_paused_server_hangs_until_resumed(flavour: Flavour, private_server: MakeServer) -> None:
    server = private_server(flavour)
    with client(server.url, socket_timeout=0.2) as connection:
        connection.ping()
        for _ in range(2):
            server.pause()
            with pytest.raises(redis.TimeoutError):
                connection.ping()
            server.resume()
            assert connection.ping()
    server.pause()
    server.stop()


def test_passwords_and_users_of_an_acl(flavour: Flavour, private_server: MakeServer) -> None:
    server = private_server(flavour, password="p@ss:wörd/", acl="user reader on >r ~bans:* +@read")
    for url in (server.url, server.unix_url):
        with client(url) as connection:
            assert connection.acl_whoami() == "default"
    with client(server.url_as("reader", "r")) as connection, pytest.raises(redis.exceptions.NoPermissionError):
        connection.set("bans:x", "1")
    with pytest.raises(redis.AuthenticationError), client(server.url_as(password="no")) as connection:
        connection.ping()
    assert server.cli("SET", "bans:x", "1") == "OK"
    assert server.cli("GET", "bans:x", user="reader", password="r") == "1"


def test_a_full_server_refuses_to_write(flavour: Flavour, private_server: MakeServer) -> None:
    server = private_server(flavour, maxmemory="3mb")
    with client(server.url) as connection, pytest.raises(redis.exceptions.OutOfMemoryError):
        for number in range(10_000):
            connection.set(str(number), "x" * 1000)


def test_a_replica_follows_its_master(flavour: Flavour, private_server: MakeServer) -> None:
    master = private_server(flavour, password="m")
    replica = private_server(flavour, replica_of=master)
    with client(master.url) as connection:
        connection.set("key", "1")  # WAIT is about the writes of its own connection
        deadline = time.monotonic() + 10
        while not connection.wait(1, 200):
            assert time.monotonic() < deadline, replica.log
    assert replica.cli("GET", "key") == "1"


def test_a_long_directory_still_has_a_socket(flavour: Flavour, private_server: MakeServer, tmp_path: Path) -> None:
    with StoreServer(flavour, tmp_path / ("long" * 30)) as server:
        assert server.cli("PING", over="unix") == "PONG"


def test_what_a_server_says_is_in_the_error(flavour: Flavour, private_server: MakeServer) -> None:
    with pytest.raises(ServerError, match="nonsense"):
        private_server(flavour, extra=("--nonsense", "1"))


def test_a_port_taken_meanwhile_is_given_up_for_another(flavour: Flavour, tmp_path: Path) -> None:
    server = StoreServer(flavour, tmp_path)
    with socket.create_server(("127.0.0.1", server.port)) as taken, server:
        assert server.port != taken.getsockname()[1]
        assert server.cli("PING") == "PONG"


def test_tls_is_checked_both_ways(private_server: MakeServer, certificates: Certificates) -> None:
    server = private_server(flavour_named("redis-7"), tls=certificates.tls(clients="yes"))
    assert server.cli("PING", over="tls") == "PONG"
    trust = {"ssl_ca_certs": str(certificates.ca)}
    mine = {"ssl_certfile": str(certificates.client.cert), "ssl_keyfile": str(certificates.client.key)}
    for url in (server.tls_url, server.tls_url.replace("localhost", "127.0.0.1")):
        with client(url, **trust, **mine) as connection:
            assert connection.ping()
    for options in (trust, mine):
        with client(server.tls_url, **options) as connection, pytest.raises(redis.ConnectionError):
            connection.ping()


def test_a_wrong_name_in_a_certificate_is_noticed(private_server: MakeServer, certificates: Certificates) -> None:
    server = private_server(flavour_named("redis-7"), tls=certificates.tls(misnamed=True))
    context = ssl.create_default_context(cafile=str(certificates.ca))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        socket.create_connection(("127.0.0.1", server.tls_port)) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"),
    ):
        context.wrap_socket(plain, server_hostname="localhost")
    with client(server.tls_url, ssl_ca_certs=str(certificates.ca), ssl_check_hostname=False) as connection:
        assert connection.ping()


def test_what_is_missing_skips_at_home_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception):
        missing("it")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="it is needed"):
        missing("it")
