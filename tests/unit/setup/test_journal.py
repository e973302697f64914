"""The journal of a setup, and places that are put back from it."""

import os
import stat
from pathlib import Path

import pytest

from banledger.errors import BanledgerError
from banledger.setup.changes import STATE, FileChanges
from banledger.setup.journal import Before, Journal, seen

ME = (os.getuid(), os.getgid())


@pytest.fixture
def changes(tmp_path: Path) -> FileChanges:
    (tmp_path / "etc").mkdir()
    (tmp_path / "var/lib").mkdir(parents=True)
    return FileChanges(tmp_path)


def undo(changes: FileChanges, *, purge: bool = False) -> list[bool]:
    """Put everything back, as a later process does."""
    later = FileChanges(changes.root)
    return [later.restore(entry, purge=purge) for entry in reversed(later.journal.entries)]


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.lstat().st_mode))


def test_a_file_is_put_back_with_its_bytes_and_mode(changes: FileChanges) -> None:
    path = changes.place("/etc/a")
    path.write_bytes(b"old \xff bytes")
    path.chmod(0o600)

    changes.write("/etc/a", b"new", 0o644, ME)
    changes.write("/etc/a", b"newer", 0o640, ME)

    assert (path.read_bytes(), mode(path)) == (b"newer", "0o640")
    assert changes.has_file("/etc/a", b"newer", 0o640, ME)
    assert undo(changes) == [True]
    assert (path.read_bytes(), mode(path)) == (b"old \xff bytes", "0o600")


def test_what_was_not_there_is_removed_with_its_directories(changes: FileChanges) -> None:
    changes.write("/etc/new/deep/a", b"x", 0o644, ME)
    changes.link("/etc/new/link", "/nowhere")

    assert changes.has_link("/etc/new/link", "/nowhere")
    assert all(undo(changes))
    assert list(changes.place("/etc").iterdir()) == []


def test_a_directory_with_files_of_others_stays(changes: FileChanges) -> None:
    changes.write("/etc/new/a", b"x", 0o644, ME)
    changes.place("/etc/new/theirs").touch()

    assert undo(changes) == [True, False]
    assert [path.name for path in changes.place("/etc/new").iterdir()] == ["theirs"]


def test_a_link_is_put_back_and_its_target_untouched(changes: FileChanges) -> None:
    changes.place("/etc/target").write_text("theirs")
    changes.place("/etc/a").symlink_to("target")

    changes.write("/etc/a", b"ours", 0o644, ME)

    assert changes.place("/etc/target").read_text() == "theirs"
    undo(changes)
    assert changes.place("/etc/a").readlink() == Path("target")


def test_data_stays_until_it_is_purged(changes: FileChanges) -> None:
    changes.directory("/var/lib/data", 0o750, ME, data=True)
    changes.place("/var/lib/data/ledger").touch()

    assert undo(changes) == [False]
    assert undo(changes, purge=True) == [True]
    assert not changes.place("/var/lib/data").exists()


def test_a_tree_takes_the_place_of_another_which_comes_back(changes: FileChanges) -> None:
    changes.place("/opt/x").mkdir(parents=True)
    changes.place("/opt/x/theirs").touch()

    for name in ("first", "second"):
        new = changes.new_tree("/opt/x")
        (new / name).touch()
        changes.put_tree("/opt/x")

    assert [path.name for path in changes.place("/opt/x").iterdir()] == ["second"]
    undo(changes)
    assert [path.name for path in changes.place("/opt").iterdir()] == ["x"]
    assert [path.name for path in changes.place("/opt/x").iterdir()] == ["theirs"]


def test_an_entry_is_on_the_disk_before_its_change(changes: FileChanges, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("banledger.setup.changes.write_whole", killed)

    with pytest.raises(KeyboardInterrupt):
        changes.write("/etc/a", b"x", 0o644, ME)

    assert [entry.path for entry in FileChanges(changes.root).journal.entries] == ["/etc/a"]


def test_the_end_of_a_line_that_was_not_written_is_dropped(tmp_path: Path) -> None:
    Journal(tmp_path).remember(Before("/a", "absent"))
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'{"path":"/b","ki')

    journal = Journal(tmp_path)
    journal.remember(Before("/c", "absent"))

    assert [entry.path for entry in Journal(tmp_path).entries] == ["/a", "/c"]


def test_only_root_reads_the_journal(changes: FileChanges) -> None:
    changes.remember("/etc/a")

    assert mode(changes.place(STATE)) == "0o700"
    assert mode(changes.place(f"{STATE}/journal.jsonl")) == "0o600"


def test_nothing_remains_of_a_journal_without_entries(changes: FileChanges) -> None:
    changes.remember("/etc/a")
    changes.place(f"{STATE}/restart-service").touch()

    changes.journal.keep(changes.journal.entries)
    assert sorted(path.name for path in changes.place(STATE).iterdir()) == ["journal.jsonl"]
    changes.journal.keep([])
    assert not changes.place(STATE).exists()


def test_two_setups_at_once_are_refused(tmp_path: Path) -> None:
    with (
        Journal(tmp_path / "s").locked(),
        pytest.raises(BanledgerError, match="another banledger setup"),
        Journal(tmp_path / "s").locked(),
    ):
        pass


def test_what_is_neither_file_nor_directory_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(BanledgerError, match="neither a file nor a directory"):
        seen("/fifo", tmp_path / "fifo")
