"""Looks over a directory that others may write to."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from banledger.spool import directory as module
from banledger.spool.directory import Directory

NAME = "1700000000000-abcdef01-1.jsonl"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[int]:
    """A descriptor of an empty directory."""
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_segment_is_identified_by_its_inode_and_checked_once(tmp_path: Path, opened: int) -> None:
    looks = Directory(tmp_path)
    (tmp_path / NAME).touch()
    assert looks.look(opened, 0, ()) == {NAME: (tmp_path / NAME).stat().st_ino}
    assert looks.look(opened, 0, {NAME}) == {NAME: 0}


@pytest.mark.parametrize(
    "name", ["notes", NAME + "\n", "\u0661" * 13 + NAME[13:], NAME.upper(), "x" + NAME, NAME + "x"]
)
def test_other_names_are_not_segments(tmp_path: Path, opened: int, name: str) -> None:
    (tmp_path / name).touch()
    assert Directory(tmp_path).look(opened, 0, ()) == {}


def test_ignored_files_are_logged_once_an_hour(tmp_path: Path, opened: int, caplog: pytest.LogCaptureFixture) -> None:
    looks = Directory(tmp_path)
    for number in range(200):
        os.mkfifo(tmp_path / f"{number:013d}-abcdef01-1.jsonl")
        (tmp_path / f"{number:013d}-abcdef01-2.jsonl").symlink_to("nowhere")
        looks.look(opened, number, ())
    (one,) = caplog.messages
    assert one.startswith("ignoring files in spool that are not readable segments: 2, ")
    caplog.clear()
    looks.look(opened, 3600, ())
    looks.look(opened, 3700, ())
    assert [message.partition("segments: ")[2][:4] for message in caplog.messages] == ["400,"]


def test_a_large_directory_is_listed_less_often_and_logged_once(
    tmp_path: Path, opened: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "NAMES_PER_S", 1000)
    looks = Directory(tmp_path)
    for number in range(2500):
        (tmp_path / f"n{number}").touch()
    with caplog.at_level(logging.WARNING):
        moments = [number / 10 for number in range(100) if looks.look(opened, number / 10, ()) is not None]
    assert moments == [0.0, 2.5, 5.0, 7.5]
    assert caplog.messages == ["2500 files are in the spool: new bans are noticed every 2 s"]


def test_a_listing_ends_while_names_are_added(tmp_path: Path, opened: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 10)
    for number in range(20):
        (tmp_path / f"{number:013d}-abcdef01-1.jsonl").touch()
    assert len(Directory(tmp_path).look(opened, 0, ()) or ()) == 10


def test_a_segment_with_a_second_link_is_refused_when_it_is_opened_too(tmp_path: Path, opened: int) -> None:
    looks = Directory(tmp_path)
    (tmp_path / NAME).touch()
    assert looks.look(opened, 0, ())
    os.link(tmp_path / NAME, tmp_path / "second")
    assert looks.open_segment(opened, NAME, 0) is None
    assert looks.open_segment(opened, "gone", 0) is None
