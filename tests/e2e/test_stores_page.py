"""What docs/stores.md promises of users and addresses, tried on real servers."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from banledger.network import Pause
from banledger.settings import TABLE
from banledger.store.check import check
from banledger.store.connect import Access, _address, is_server
from banledger.store.ledger import Ledger, open_to_read, open_to_write
from tests.conftest import MakeServer
from tests.documented import in_section
from tests.lines import T0, ban, gap, held, nowhere, prolong, start, stop, unban
from tests.servers import Flavour, ServerError, StoreServer
from tests.world import Clock, World, desk

PAGE = (Path(__file__).parents[2] / "docs/stores.md").read_text()
USERS = dict(line.removeprefix("ACL SETUSER ").split(" ", 1) for line in in_section("stores.md A user of its own"))


def granted(user: str) -> set[str]:
    """The commands that the page lets a user have."""
    return {word[1:] for word in USERS[user].split() if word.startswith("+")}


def used(server: StoreServer) -> set[str]:
    """The commands that were carried out or refused since the count was reset; HELLO is everybody's."""
    return set(re.findall(r"cmdstat_([^:]+):", server.cli("INFO", "commandstats"))) - {"hello", "config|resetstat"}


def write_all_sorts(server: StoreServer) -> None:
    """All that a recorder may have to do, as the user `banledger`."""
    store, access = f"redis://banledger@127.0.0.1:{server.port}", Access("p4ssword")
    with closing(open_to_write(store, "bans", "UTC", access)) as ledger:
        ledger.cautions()
        ledger.record([ban(f"10.0.{n >> 8}.{n & 255}") for n in range(1500)], nowhere)
        ledger.record([prolong("10.0.0.1"), unban("10.0.0.2", seen=T0 + 9), gap()], nowhere)
        ledger.record([unban("10.0.0.2", seen=T0 + 9), unban("192.0.2.1"), unban("192.0.2.2")], nowhere)
        ledger.record([ban("192.0.2.2", users=("root",))], nowhere)
        ledger.record([ban("10.0.0.3", country="CN", origin="import")], nowhere)
        whois_of_all_sorts(ledger)
        ledger.record([start(T0 - 5.0), held(("10.0.0.1", T0, -1, 1), as_of=T0 + 700.0), stop(T0 + 800.0)], nowhere)
        ledger.tidy(T0 + 1e9)
        ledger.adopt("web1")
        assert not ledger.lost()
    open_to_write(store, "bans", "UTC", access).close()


def whois_of_all_sorts(ledger: Ledger) -> None:
    """What whois does to a ledger: one ban that waits is amended, one is given up."""
    world = World({"5.51.0.0/16": ("DE", "Alpha", 64500)}, Clock(T0 + 10.0))
    one = desk(world)
    one.whois.follow(ledger, world.clock.now)
    ledger.record([ban("5.51.1.1")], one.places.locate)
    for _ in range(10):
        one.whois.step(ledger, world.clock.now)
        world.clock.now += 1.0
    ledger.record([ban("9.9.9.9", T0 + 1)], one.places.locate)
    ledger.dismiss(T0 + 9.0, 10, one.places.locate)
    ledger.networks.pause("ripe", Pause(T0 + 99.0))
    ledger.networks.remove(["5.51.0.0/16"], T0 + 9.0)
    one.whois.leave(ledger)
    assert ledger.waiting() == 0 and ledger.sizes("org", ["Alpha"]) == [1]


@pytest.fixture
def server(flavour: Flavour, private_server: MakeServer) -> Iterator[StoreServer]:
    """A server with the page's users."""
    made = private_server(flavour)
    for user, rules in USERS.items():
        made.cli("ACL", "SETUSER", user, *rules.replace("PASSWORD", "p4ssword").split())
    yield made


def test_the_services_user_has_exactly_the_commands_it_needs(server: StoreServer) -> None:
    server.cli("CONFIG", "RESETSTAT")
    write_all_sorts(server)
    assert used(server) == granted("banledger")
    with closing(open_to_read(server.url, "bans")) as ledger:
        assert list(check(ledger.store(), ledger.keys)) == []
        assert sum(ledger.days().values()) == 1503


def test_the_readers_user_has_exactly_the_commands_it_needs(server: StoreServer, tmp_path: Path) -> None:
    write_all_sorts(server)
    with closing(open_to_write(f"redis://banledger@127.0.0.1:{server.port}", "bans", "UTC", Access("p4ssword"))) as one:
        one.record([ban(f"10.2.0.{n}", T0 - day * 86_400) for n in range(9) for day in (1, 2)], nowhere)
    config = tmp_path / "banledger.toml"
    config.touch(mode=0o600)
    config.write_text(f"store = 'redis://reader@127.0.0.1:{server.port}'\npassword = 'p4ssword'\n")
    server.cli("CONFIG", "RESETSTAT")
    for command in (
        ["report", "--since", "all"],
        ["report", "--since", "all", "--country", "DE"],
        ["top", "ip", "--since", "2026-11-23", "--until", "2026-11-23"],
        ["top", "ip", "--since", "2026-11-21", "--until", "2026-11-22"],
        ["top", "country", "--since", "all"],
        ["bans", "--jail", "sshd"],
        ["show", "10.0.0.0/16"],
        ["kv", "ZRANGE", "bans:top:ip", "0", "-1"],
        ["kv", "KEYS", "bans:*"],
        ["kv", "TYPE", "bans:meta"],
        ["kv", "ZSCORE", "bans:top:ip", "10.0.0.1"],
    ):
        words = [sys.executable, "-m", "banledger", command[0], "--config", str(config), *command[1:]]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (command, done.stderr)
    assert used(server) == granted("reader")


def test_no_user_of_the_page_reaches_other_keys(server: StoreServer) -> None:
    for user in USERS:
        assert server.cli("HGETALL", "bans:meta", user=user, password="p4ssword") == ""
        with pytest.raises(ServerError, match="NOPERM"):
            server.cli("HGETALL", "others", user=user, password="p4ssword")


def test_every_address_of_the_page_is_understood() -> None:
    found = re.findall(r"`((?:rediss?|valkeys?|unix)://[\w.@:/?=-]+[\w])`", PAGE)
    assert len(found) >= 4
    for store in found:
        assert is_server(store)
        assert _address(store, Access())["db"] == 0


def test_every_setting_of_the_page_exists() -> None:
    names = set(re.findall(r"^(\w+) = ", PAGE, re.MULTILINE)) | set(re.findall(r"`(tls_\w+|password\w*)`", PAGE))
    assert names <= {setting.name for setting in TABLE}
    assert {"store", "password_file", "tls_ca", "tls_cert", "tls_key"} <= names
