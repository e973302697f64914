"""sd_notify over a real datagram socket."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from banledger.service.systemd import Notifier, from_environment, state_directory


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The service manager's socket and what NOTIFY_SOCKET would hold."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@banledger-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("\0" + address[1:] if address.startswith("@") else address)
        channel.settimeout(5)
        yield address, channel


def test_each_message_arrives_as_one_datagram(manager: tuple[str, socket.socket]) -> None:
    address, channel = manager
    notifier = Notifier(address)
    notifier.ready("recording")
    notifier.alive()
    notifier.status("waiting: the disk is full")
    notifier.stopping()
    assert [channel.recv(4096) for _ in range(4)] == [
        b"READY=1\nSTATUS=recording",
        b"WATCHDOG=1",
        b"STATUS=waiting: the disk is full",
        b"STOPPING=1",
    ]


def test_a_status_cannot_inject_another_message(manager: tuple[str, socket.socket]) -> None:
    """The text of an error may hold a file name with a line feed; a message is lines of NAME=value."""
    address, channel = manager
    Notifier(address).status("can't read a\nSTOPPING=1")
    (line,) = channel.recv(4096).split(b"\n")
    assert line.startswith(b"STATUS=can't read a")


def test_text_that_is_not_unicode_is_sent(manager: tuple[str, socket.socket]) -> None:
    address, channel = manager
    Notifier(address).status("spool \udcff")
    assert channel.recv(4096).startswith(b"STATUS=spool ")


def test_the_address_is_removed_from_the_environment(
    manager: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, channel = manager
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    from_environment().alive()
    assert "NOTIFY_SOCKET" not in os.environ
    assert channel.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "@nobody-listens-here", "/" + "x" * 300])
def test_a_missing_socket_is_ignored(address: str) -> None:
    notifier = Notifier(address)
    notifier.ready("recording")
    notifier.alive()
    notifier.stopping()


def test_a_manager_that_does_not_read_delays_us_briefly_and_gets_later_messages(
    manager: tuple[str, socket.socket],
) -> None:
    """Its queue holds few datagrams; the recorder must go on when it is full, and not be killed when it is not."""
    address, channel = manager
    _fill(address)
    notifier = Notifier(address)
    start = time.monotonic()
    notifier.alive()
    assert time.monotonic() - start < 4
    channel.setblocking(False)
    with suppress(BlockingIOError):
        while channel.recv(4096):
            pass
    notifier.stopping()
    assert channel.recv(4096) == b"STOPPING=1"


def _fill(address: str) -> None:
    """Say so much that no more fits."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as noisy, suppress(BlockingIOError):
        noisy.setblocking(False)
        while True:
            noisy.sendto(b"noise", "\0" + address[1:] if address.startswith("@") else address)


def test_the_state_directory_is_the_first_that_systemd_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two")
    assert state_directory() == Path("/var/lib/one")
    monkeypatch.setenv("STATE_DIRECTORY", "")
    assert state_directory() is None
    monkeypatch.delenv("STATE_DIRECTORY")
    assert state_directory() is None


def test_the_watchdog_is_fed_while_a_step_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("banledger.service.systemd._ALIVE_S", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        notifier = Notifier(str(tmp_path / "notify"))
        with notifier.kept_alive():
            assert [manager.recv(100) for _ in range(2)] == [b"WATCHDOG=1"] * 2
        manager.setblocking(False)
        with suppress(BlockingIOError):
            while manager.recv(100):
                pass
        with Notifier("").kept_alive():
            pass
