"""The users that docs/stores.md gives to a server, as they are written there: what they may do, and what they are told.

Every command is tried, with nothing but the page's rights.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest

from banledger.cli.main import run
from banledger.errors import StoreError
from banledger.ledger import dimensions
from banledger.ledger.check import check
from banledger.ledger.network import Pause
from banledger.ledger.opening import open_to_read
from banledger.ledger.writer import Ledger, open_to_write
from banledger.stores.commands import COMMANDS
from banledger.stores.connect import Access
from tests.conftest import MakeServer
from tests.support.lines import T0, ban, encode, gap, held, nowhere, prolong, start, stop, unban
from tests.support.segments import Writer
from tests.support.servers import Flavour, ServerError, StoreServer
from tests.support.world import Clock, Desk, World, desk

from .test_demo import Theatre, theatre  # noqa: F401  a fixture
from .test_import import predecessor_keys

PAGE = (Path(__file__).parents[2] / "docs/stores.md").read_text()
LINES = re.findall(r"^    ACL SETUSER (\w+) (.+)$", PAGE, re.MULTILINE)
USERS = {user: rules for user, rules in LINES if rules.startswith("reset ")}
FOR_IMPORT, AFTER_IMPORT = (rules for user, rules in LINES if not rules.startswith("reset "))
SECRET = "p4ssword"
NOT_NEEDED = {"client|setname", "info"}
WHERE = "docs/stores.md, 'A user of its own'"

FILTERS = (
    "--jail sshd",
    "--country DE",
    "--ip 10.0.0.1",
    "--ip 10.0.0.0/16",
    "--asn 64500",
    "--server web1",
    "--user root",
    "--jail sshd --country DE --server web1",
    "--user root --ip 10.0.0.0/8",
)
SPANS = (
    "",
    "--since all",
    "--since 2026-11-23 --until 2026-11-23",
    "--since 2026-11-21 --until 2026-11-22",
    "--since 3w",
)
DIMENSIONS = ("ip", "country", "network", "asn", "org", "jail", "server", "user", "hour", "day", "id")
KV = {
    "HGETALL": "bans:meta",
    "HGET": "bans:meta layout",
    "HMGET": "bans:meta layout timezone",
    "HKEYS": "bans:meta",
    "HVALS": "bans:meta",
    "HLEN": "bans:meta",
    "HEXISTS": "bans:meta layout",
    "SMEMBERS": "bans:jail:sshd",
    "SCARD": "bans:jail:sshd",
    "SISMEMBER": "bans:jail:sshd x",
    "ZRANGE": "bans:top:ip 0 5 WITHSCORES",
    "ZREVRANGE": "bans:top:ip 0 5",
    "ZRANGEBYSCORE": "bans:top:ip 1 +inf LIMIT 0 2",
    "ZREVRANGEBYSCORE": "bans:top:ip +inf 1",
    "ZSCORE": "bans:top:ip 10.0.0.1",
    "ZMSCORE": "bans:top:ip 10.0.0.1 10.0.0.2",
    "ZCARD": "bans:top:ip",
    "ZCOUNT": "bans:top:ip 1 2",
    "TYPE": "bans:meta",
    "EXISTS": "bans:meta bans:no",
    "KEYS": "bans:*",
    "SCAN": "0 MATCH bans:top:*",
    "PING": "",
    "DBSIZE": "",
}
READING = (
    "status",
    "status --json",
    *(f"report {words}" for words in (*SPANS, *FILTERS)),
    *(f"report --since all {words}" for words in FILTERS),
    *(f"top {dimension} {span}" for dimension, span in product(DIMENSIONS, SPANS)),
    *(f"top {dimension} --since all --jail sshd" for dimension in DIMENSIONS),
    *(f"bans --since all {words}" for words in ("", *FILTERS)),
    "show 10.0.0.1",
    "show 10.0.0.0/16",
    "show 32.10.1.1",
    "show ID",
    "whois 32.10.1.1",
    "whois 32.10.0.0/16",
    *(f"kv {name} {arguments}" for name, arguments in KV.items()),
    "store check",
)

Banledger = Callable[..., tuple[int, str, str]]


# What is done.


def granted(user: str) -> set[str]:
    """The commands that the page lets a user have."""
    return {word[1:] for word in USERS[user].split() if word.startswith("+")}


def used(server: StoreServer) -> set[str]:
    """The commands that were carried out or refused since the count was reset; HELLO is everybody's."""
    return set(re.findall(r"cmdstat_([^:]+):", server.cli("INFO", "commandstats"))) - {"hello", "config|resetstat"}


def allow(server: StoreServer, user: str, rules: str) -> None:
    """Change a user's rights."""
    server.cli("ACL", "SETUSER", user, *rules.replace("PASSWORD", SECRET).split())


def url(server: StoreServer, user: str) -> str:
    """Where that user finds the ledger."""
    return f"redis://{user}@127.0.0.1:{server.port}"


def write_all_sorts(store: str, addresses: int = 1500) -> None:
    """All that a recorder may have to do."""
    access = Access(SECRET)
    with closing(open_to_write(store, "bans", "UTC", access)) as ledger:
        ledger.cautions()
        ledger.record([ban(f"10.0.{n >> 8}.{n & 255}") for n in range(addresses)], nowhere)
        ledger.record([prolong("10.0.0.1"), unban("10.0.0.2", seen=T0 + 9), gap()], nowhere)
        ledger.record([unban("10.0.0.2", seen=T0 + 9), unban("192.0.2.1"), unban("192.0.2.2")], nowhere)
        ledger.record([ban("192.0.2.2", users=("root",))], nowhere)
        ledger.record([ban("10.0.0.3", country="CN", origin="import")], nowhere)
        whois_of_all_sorts(ledger)
        ledger.record([start(T0 - 5.0), held(("10.0.0.1", T0, -1, 1), as_of=T0 + 700.0), stop(T0 + 800.0)], nowhere)
        ledger.tidy(T0 + 1e9)
        assert ledger.labels is not None
        ledger.labels.adopt("web1")
        assert not ledger.lost()
    open_to_write(store, "bans", "UTC", access).close()


def whois_of_all_sorts(ledger: Ledger) -> None:
    """What whois does to a ledger: one ban that waits is amended, one is given up."""
    one = learn(ledger, "5.51.0.0/16", "5.51.1.1")
    ledger.record([ban("9.9.9.9", T0 + 1)], one.places.locate)
    ledger.dismiss(T0 + 9.0, 10, one.places.locate)
    ledger.networks.pause("ripe", Pause(T0 + 99.0))
    ledger.networks.remove(["5.51.0.0/16"], T0 + 9.0)
    one.whois.leave(ledger)
    assert ledger.waiting() == 0 and ledger.sizes("org", ["Alpha"]) == [1]


def learn(ledger: Ledger, network: str, address: str) -> Desk:
    """A ban that waits for whois, until a registry has told the network."""
    world = World({network: ("DE", "Alpha", 64500)}, Clock(T0 + 10.0))
    one = desk(world)
    one.whois.follow(ledger, world.clock.now)
    ledger.record([ban(address)], one.places.locate)
    for _ in range(10):
        one.whois.step(ledger, world.clock.now)
        world.clock.now += 1.0
    return one


def write_more_days(store: str) -> None:
    """Bans of other days, so that what is asked of a span is not what is asked of all time."""
    with closing(open_to_write(store, "bans", "UTC", Access(SECRET))) as ledger:
        ledger.record([ban(f"10.2.0.{n}", T0 - day * 86_400) for n in range(9) for day in (1, 2)], nowhere)
        learn(ledger, "32.10.0.0/16", "32.10.1.1")


@pytest.fixture
def server(flavour: Flavour, private_server: MakeServer) -> StoreServer:
    """A server with the page's users, who have `SECRET` as their password."""
    made = private_server(flavour)
    for user, rules in USERS.items():
        allow(made, user, rules)
    return made


@pytest.fixture
def banledger(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Iterator[Banledger]:
    """The command line with the password in its environment and an empty spool: exit code, stdout, stderr."""
    (tmp_path / "spool").mkdir()
    monkeypatch.setenv("BANLEDGER_PASSWORD", SECRET)
    monkeypatch.setenv("BANLEDGER_SPOOL", str(tmp_path / "spool"))

    def call(store: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.setenv("BANLEDGER_STORE", store)
        if words[0] in ("record", "import"):  # they change their process
            done = subprocess.run(
                [sys.executable, "-m", "banledger", *words], capture_output=True, text=True, timeout=60
            )
            return done.returncode, done.stdout, done.stderr
        capfd.readouterr()
        return run(words), *capfd.readouterr()

    yield call


def read_all_sorts(banledger: Banledger, store: str) -> None:
    """Every command that only reads."""
    with closing(open_to_read(store, "bans", Access(SECRET))) as ledger:
        id_ = ledger.ids_of_day("2026-11-23")[0]
    for line in READING:
        words = [id_ if word == "ID" else word for word in line.split()]
        code, _, said = banledger(store, *words)
        assert code == 0, (line, said)


# What they may.


def test_the_acl_test_runs_every_kv_command() -> None:
    assert KV.keys() == COMMANDS.keys()
    assert dimensions.FILTERS.keys() == {
        word.removeprefix("--") for line in FILTERS for word in line.split() if word.startswith("--")
    }


def test_the_services_acl_has_exactly_the_commands_it_needs(
    server: StoreServer, banledger: Banledger, tmp_path: Path
) -> None:
    store, copy = url(server, "banledger"), str(tmp_path / "copy.db")
    server.cli("CONFIG", "RESETSTAT")
    write_all_sorts(store)
    write_more_days(store)
    read_all_sorts(banledger, store)
    assert banledger(store, "store", "rebuild")[0] == 0
    assert banledger(store, "store", "copy", store, copy)[0] == 0
    assert used(server) == granted("banledger")
    server.flush()
    assert banledger(store, "store", "copy", copy, store)[0] == 0
    assert banledger(store, "store", "check")[0] == 0


def test_the_services_user_records_what_the_spool_holds(
    server: StoreServer, banledger: Banledger, tmp_path: Path
) -> None:
    writer = Writer(tmp_path / "spool")
    writer.write(*(f"10.0.0.{n}" for n in range(200)))
    writer.close()
    assert banledger(url(server, "banledger"), "record", "--once")[:2] == (
        0,
        "200 new bans, 0 amended, 0 lines known before, 0 gaps\n",
    )
    assert banledger(url(server, "banledger"), "record", "--adopt", "web9")[:2] == (
        0,
        "this machine now records server label 'web9'\n",
    )
    with closing(open_to_read(server.url, "bans")) as ledger:
        assert list(check(ledger.store(), ledger.keys)) == []


def test_the_services_user_shows_a_demo(server: StoreServer, theatre: Theatre) -> None:  # noqa: F811
    code, out, err = theatre.run("--store", url(server, "banledger"), BANLEDGER_PASSWORD=SECRET)
    assert (code, err) == (0, "")
    assert "199 new bans." in out


def test_the_services_user_imports_with_the_import_rights(
    server: StoreServer, banledger: Banledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    predecessor_keys(server.url)
    monkeypatch.setenv("BANLEDGER_IMPORT_URL", server.url_as("banledger", SECRET))
    words = ("import", "--server", "old1")
    code, _, said = banledger(url(server, "banledger"), *words)
    assert code == 5 and "can't read the source" in said and WHERE in said, said
    allow(server, "banledger", FOR_IMPORT)
    assert banledger(url(server, "banledger"), *words)[0] == 0
    assert banledger(url(server, "banledger"), "record", "--once")[1].startswith("499 new bans")
    before = server.cli("ACL", "GETUSER", "banledger")
    allow(server, "banledger", AFTER_IMPORT)
    assert server.cli("ACL", "GETUSER", "banledger") != before
    assert banledger(url(server, "banledger"), *words)[0] == 5
    assert banledger(url(server, "banledger"), "store", "check")[0] == 0


def test_the_readers_acl_has_exactly_the_commands_reading_needs(
    server: StoreServer, banledger: Banledger, tmp_path: Path
) -> None:
    write_all_sorts(url(server, "banledger"))
    write_more_days(url(server, "banledger"))
    server.cli("CONFIG", "RESETSTAT")
    store = url(server, "reader")
    read_all_sorts(banledger, store)
    assert banledger(store, "store", "copy", store, str(tmp_path / "copy.db"))[0] == 0
    assert used(server) == granted("reader")


def test_no_documented_acl_user_reaches_other_keys(server: StoreServer) -> None:
    for user in USERS:
        assert server.cli("HGETALL", "bans:meta", user=user, password=SECRET) == ""
        with pytest.raises(ServerError, match="NOPERM"):
            server.cli("HGETALL", "others", user=user, password=SECRET)


# What they are told.


def test_a_write_by_the_reader_is_refused_and_names_the_missing_right(
    server: StoreServer, banledger: Banledger, tmp_path: Path
) -> None:
    write_all_sorts(url(server, "banledger"))
    writer = Writer(tmp_path / "spool")
    writer.raw(encode(ban("192.0.2.77", T0 + 5)))
    writer.close()
    with closing(open_to_write(str(tmp_path / "other.db"), "bans", "UTC")) as other:
        other.record([ban()], nowhere)
    store = url(server, "reader")
    for words, right in (
        (("record", "--once"), "hscan"),
        (("record", "--adopt", "web1"), "hscan"),
        (("store", "rebuild"), "evalsha"),
    ):
        code, _, said = banledger(store, *words)
        assert code == 5, (words, said)
        assert f"'{right}' command" in said and f"hint: it lacks +{right}; {WHERE}" in said, (words, said)
    assert server.cli("EXISTS", "bans:ip:192.0.2.77") == "0"
    server.flush()
    code, _, said = banledger(store, "store", "copy", str(tmp_path / "other.db"), store)
    assert code == 5 and f"hint: it lacks +evalsha; {WHERE}" in said, said
    assert server.cli("DBSIZE") == "0"


def test_a_missing_acl_right_is_named_and_nothing_is_half_written(server: StoreServer) -> None:
    for right in sorted(granted("banledger") - NOT_NEEDED - granted("reader") | {"hgetall", "multi", "exec", "type"}):
        server.flush()
        server.cli("SCRIPT", "FLUSH")
        allow(server, "banledger", f"{USERS['banledger']} -{right}")
        with pytest.raises(StoreError) as caught:
            write_all_sorts(url(server, "banledger"), addresses=9)
        assert right in str(caught.value).lower(), right
        assert WHERE in caught.value.hint and f"+{right}" in caught.value.hint.lower(), (right, caught.value.hint)
        allow(server, "banledger", USERS["banledger"])
        write_all_sorts(url(server, "banledger"), addresses=9)
        with closing(open_to_read(server.url, "bans")) as ledger:
            assert list(check(ledger.store(), ledger.keys)) == [], right


def test_optional_commands_may_be_forbidden(server: StoreServer) -> None:
    allow(server, "banledger", " ".join(f"-{right}" for right in NOT_NEEDED))
    write_all_sorts(url(server, "banledger"))


def test_a_key_that_is_not_allowed_is_named(server: StoreServer, banledger: Banledger) -> None:
    write_all_sorts(url(server, "banledger"))
    code, _, said = banledger(url(server, "reader"), "kv", "TYPE", "others")
    assert code == 5
    assert "TYPE others" in said and WHERE in said


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_forbidden_socket_is_reported_as_such_not_as_a_server_down(server: StoreServer) -> None:
    server.socket_path.chmod(0o600)
    for folder in server.socket_path.parents:
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    said = said_to_nobody(f"unix://{server.socket_path}")
    assert "does not let this system user open its socket" in said


def said_to_nobody(store: str) -> str:
    """Why user `nobody` can't read a ledger; asked in a child, as that user may not enter where our Python lies."""

    readable, writable = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            open_to_read(store, "bans")
        except StoreError as error:
            os.write(writable, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said
