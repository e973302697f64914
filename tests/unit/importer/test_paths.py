"""The files that paths name."""

import os
from pathlib import Path

import pytest

from banledger.importer.paths import NamedFile, named


def test_directories_stand_for_all_their_files_in_any_order(tmp_path: Path) -> None:
    for name in ("b/2", "b/c/1", "a"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    wanted = [NamedFile(str(tmp_path / name), listed=True) for name in ("a", "b/2", "b/c/1")]
    a = NamedFile(str(tmp_path / "a"))

    assert named([str(tmp_path)]) == wanted
    assert named([str(tmp_path / "b"), str(tmp_path / "a"), str(tmp_path)]) == [a, *wanted[1:]]
    assert named([str(tmp_path / "a"), "-"]) == [NamedFile("-"), a]


def test_a_file_with_two_names_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    os.link(tmp_path / "a", tmp_path / "b")
    assert named([str(tmp_path / "b"), str(tmp_path / "a")]) == [NamedFile(str(tmp_path / "a"))]


def test_what_cannot_be_read_has_a_reason(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "link").symlink_to("/etc/passwd")
    assert named([str(tmp_path / "d"), str(tmp_path / "none")]) == [
        NamedFile(str(tmp_path / "d" / "link"), "it is a link, which is read only if you name it", listed=True),
        NamedFile(str(tmp_path / "none"), "it can't be read: No such file or directory"),
    ]


def test_a_file_that_is_gone_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("banledger.importer.paths._files", lambda path: [NamedFile(path)])
    gone = str(tmp_path / "log.1")
    assert named([gone]) == [NamedFile(gone, "it can't be read: No such file or directory")]
