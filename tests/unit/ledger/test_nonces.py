"""Nonces that are kept on disk."""

import os
from pathlib import Path

import pytest

from banledger.ledger.nonces import KEPT, Nonces


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "labels"


def test_the_newest_nonces_of_each_lease_outlive_the_process(folder: Path) -> None:
    nonces = Nonces(folder)
    drawn = [f"{number:04x}" for number in range(KEPT + 5)]
    for nonce in drawn:
        nonces.add("one\n/a", nonce)
    nonces.add("two", "ffff")
    again = Nonces(folder)
    assert again.of("one\n/a") == tuple(drawn[5:])
    assert again.of("two") == ("ffff",)
    assert again.of("three") == ()


def test_only_the_service_can_read_them(folder: Path) -> None:
    Nonces(folder).add("one", "1")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make files of other owners")
def test_files_of_root_get_the_owner_of_the_state_directory(folder: Path) -> None:
    os.chown(folder.parent, 12345, 23456)
    Nonces(folder).add("one", "1")
    assert {(path.stat().st_uid, path.stat().st_gid) for path in (folder, *folder.iterdir())} == {(12345, 23456)}


def test_without_a_state_directory_nonces_are_in_memory_with_one_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.touch()  # no directory
    nonces = Nonces(folder)
    nonces.add("one", "1")
    nonces.add("one", "2")
    assert nonces.of("one") == ("1", "2")
    assert len(caplog.records) == 1 and str(folder) in caplog.text


@pytest.mark.parametrize("rubbish", [b"", b"\xff\xfe", b"\0" * 10_000_000])
def test_a_damaged_file_is_no_error(folder: Path, rubbish: bytes) -> None:
    Nonces(folder).add("one", "1")
    (path,) = folder.iterdir()
    path.write_bytes(rubbish)
    nonces = Nonces(folder)
    assert "1" not in nonces.of("one")
    nonces.add("one", "2")
    assert Nonces(folder).of("one")[-1] == "2"
