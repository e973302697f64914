"""`banledger forget`, `store backup`, `restore` and `rename-server`, in this process."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from banledger.clock import ClockWatch
from banledger.ledger.writer import open_to_write
from banledger.service.forgetting import Forgetting, Retention
from banledger.service.recorder import Recorder
from banledger.service.systemd import Notifier
from banledger.spool.lock import SpoolLock
from banledger.spool.reader import SpoolReader
from tests.support.lines import T0, ban, encode, nowhere
from tests.unit.cli.conftest import Run


class Until:
    """Ends the recorder's loop."""

    def __init__(self) -> None:
        self._event = Event()

    @property
    def stopped(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        self._event.wait(min(seconds, 0.02))

    def stop(self) -> None:
        self._event.set()


class Service:
    """A recorder in a thread, over a ledger and a spool of its own."""

    def __init__(self, home: Path, run: Run) -> None:
        self.store, self.spool = str(home / "erasing.db"), home / "spool"
        self.spool.mkdir(exist_ok=True)
        self._run = run
        self._until: Until | None = None
        self._thread: Thread | None = None

    def __call__(self, *words: str) -> tuple[int, str, str]:
        return self._run(*words, "--store", self.store)

    def forget(self, *words: str) -> tuple[int, str, str]:
        return self("forget", *words, "--spool", str(self.spool))

    def write(self, *lines: bytes, number: int = 1) -> None:
        (self.spool / f"{1_700_000_000_000 + number}-abcdef01-{number}.jsonl").write_bytes(b"".join(lines))

    def record(self) -> None:
        assert self._run("record", "--once", "--store", self.store, "--spool", str(self.spool))[0] == 0

    def start(self) -> None:
        self._until = Until()
        self._thread = Thread(target=self._serve, args=(self._until,))
        self._thread.start()

    def _serve(self, until: Until) -> None:
        spool, watch = SpoolReader(self.spool), ClockWatch()
        forgetting = Forgetting(spool, Retention(), watch, "a recorder")
        recorder = Recorder(
            spool, lambda: open_to_write(self.store, "bans", "UTC"), nowhere,
            forgetting=forgetting, watch=watch, lock=SpoolLock(self.spool, "a recorder"),
        )  # fmt: skip
        try:
            recorder.run(until, Notifier(""))
        finally:
            recorder.close()

    def stop(self) -> None:
        if self._until and self._thread:
            self._until.stop()
            self._thread.join()
            self._until = None


@pytest.fixture
def service(tmp_path: Path, banledger: Run) -> Iterator[Service]:
    made = Service(tmp_path, banledger)
    made.write(*[encode(ban(f"192.0.2.{n % 4}", time=T0 + n, users=("pi",), seq=n + 1)) for n in range(40)])
    made.record()
    yield made
    made.stop()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody answers yes."""
    answers = io.StringIO("y\n" * 9)
    answers.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", answers)


# forget


def test_a_dry_run_only_shows(service: Service) -> None:
    code, out, err = service.forget("--ip", "192.0.2.1", "--dry-run")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "bans of 192.0.2.1: 10 bans, 2026-11-23 to 2026-11-23", "  jails    sshd 10", "  servers  web1 10"
    ]  # fmt: skip


def test_what_is_forgotten_is_proven(service: Service, terminal: None) -> None:
    service.start()
    code, out, _ = service.forget("--ip", "192.0.2.1")
    assert code == 0 and "not forgotten: what fail2ban itself keeps" in out
    assert out.endswith(
        "forgotten: 10 bans\nleft: 0 bans, 0 entries of sets, rankings and tallies, 0 lines in the spool\n"
    )
    assert "nothing to forget" in service.forget("--ip", "192.0.2.1", "--yes")[1]
    assert "forgotten: parts of 30 bans" in service.forget("--user", "pi", "--yes")[1]
    assert "matched lines of bans before" in service.forget("--matches-older-than", "1d", "--yes")[1]
    out = service.forget("--older-than", "1d", "--yes")[1]
    assert "except those in force" in out


def test_what_can_not_be_read_is_named(service: Service) -> None:
    ledger = open_to_write(service.store, "bans")
    id_ = next(iter(ledger.ids("ip", "192.0.2.1")))
    engine, key = ledger._engine, ledger.keys.ban(id_)
    engine.put({key: engine.hashes([key])[0] | {"failures": "x"}})
    ledger.close()
    service.start()
    code, out, err = service.forget("--ip", "192.0.2.0/24", "--yes")
    assert code == 1 and "forgotten: 39 bans" in out
    assert err.endswith(
        "error: 1 ban can't be read, and is left\nhint: run banledger store rebuild, and forget again\n"
    )


def test_without_a_recorder_a_request_waits(service: Service) -> None:
    code, out, _ = service.forget("--ip", "192.0.2.1", "--yes")
    assert code == 0 and "no recorder is running" in out and "the recorder goes on with it" in out
    assert "the recorder carries it out" in service.forget("--ip", "192.0.2.2", "--yes", "--no-wait")[1]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "missing one of --ip"),
        (("--ip", "192.0.2.1", "--user", "pi"), 2, "more than one of --ip"),
        (("--ip", "nonsense"), 2, "invalid address"),
        (("--user", ""), 2, "empty --user"),
        (("--older-than", "1h"), 2, "invalid age '1h'"),
        (("--ip", "192.0.2.1"), 1, "nothing is forgotten without a confirmation"),
    ],
)
def test_errors_say_what_to_do(service: Service, words: tuple[str, ...], code: int, message: str) -> None:
    got, _, err = service.forget(*words)
    assert got == code and err.startswith(f"error: {message}") and "\nhint: " in err


# backup and restore


def test_a_backup_is_restored_in_the_place_of_the_ledger(service: Service, tmp_path: Path) -> None:
    file = str(tmp_path / "b.zst")
    code, out, _ = service("store", "backup", file)
    assert code == 0 and out.startswith("backed up 40 bans to ")
    assert service("store", "restore", file)[0] == 4
    code, out, _ = service("store", "restore", file, "--replace")
    assert code == 0 and "the old ledger is kept as" in out and out.endswith(f"restored 40 bans from {file}\n")
    code, out, _ = service("store", "restore", file, "--replace")
    assert code == 0 and len(list(tmp_path.glob("*.before-restore-*"))) == 2
    assert service("store", "check")[:2] == (0, "the ledger is whole\n")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x28\xb5\x2f\xfd\x04\x00"])
def test_a_file_that_is_none_is_refused(service: Service, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad").write_bytes(content)
    code, _, err = service("store", "restore", str(tmp_path / "bad"), "--replace")
    assert code == 1 and err.startswith("error: the backup ")
    assert service("store", "check")[:2] == (0, "the ledger is whole\n")
    assert "can't read" in service("store", "restore", str(tmp_path / "none"), "--replace")[2]


def test_a_backup_that_can_not_be_written_is_an_error(service: Service) -> None:
    code, _, err = service("store", "backup", "/proc/none/b.zst")
    assert code == 1 and err.startswith("error: can't write /proc/none/b.zst")


# rename-server


def test_a_server_is_renamed_after_a_question(service: Service, terminal: None) -> None:
    assert "did you mean 'web1'?" in service("store", "rename-server", "web", "mail")[2]
    assert "'web1' has 40 bans" in service("store", "rename-server", "web1", "mail", "--dry-run")[1]
    code, out, _ = service("store", "rename-server", "web1", "mail")
    assert code == 0 and out.endswith("'mail' has 40 bans; nothing of 'web1' is left in sets and tallies\n")
    assert service("store", "check")[:2] == (0, "the ledger is whole\n")


def test_a_rename_needs_a_label_and_a_yes(service: Service) -> None:
    for words in (("web1", "web1"), ("web1", ""), ("web1", "a\nb"), ("web1", "x" * 256)):
        assert service("store", "rename-server", *words)[0] == 2
    code, _, err = service("store", "rename-server", "web1", "mail")
    assert code == 1 and "--yes gives it" in err


def test_a_rename_leaves_what_can_not_be_read(service: Service) -> None:
    ledger = open_to_write(service.store, "bans")
    id_ = next(iter(ledger.ids("ip", "192.0.2.1")))
    engine, key = ledger._engine, ledger.keys.ban(id_)
    engine.put({key: engine.hashes([key])[0] | {"failures": "x"}})
    ledger.close()
    code, _, err = service("store", "rename-server", "web1", "mail", "--yes")
    assert code == 9 and "1 ban can't be read" in err


def test_an_interrupted_rename_is_finished(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("banledger.ledger.rename.Renaming._end_sources", crash)
        service("store", "rename-server", "web1", "mail", "--yes")
    code, out, _ = service("store", "rename-server", "web1", "mail", "--yes")
    assert code == 0 and out.startswith("'web1' has no ban; its jails are still listed\n")
    assert "no ban by a server 'web1'" in service("store", "rename-server", "web1", "mail", "--yes")[2]
