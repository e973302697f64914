"""Files that others than root, or than the user behind sudo, may change."""

import os
from pathlib import Path

import pytest

from banledger.setup.writers import open_to_others

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
SOMEBODY = 65533


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "venv/lib/module.py"
    path.parent.mkdir(parents=True)
    path.touch(0o644)
    return path


def test_files_of_root_are_closed_even_below_tmp(file: Path) -> None:
    assert open_to_others([file]) is None


@pytest.mark.parametrize("name", ["", "..", "../.."])
def test_what_somebody_else_owns_is_found(file: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owned = (file / name).resolve()
    os.chown(owned, SOMEBODY, 0)

    assert open_to_others([file]) == owned
    monkeypatch.setenv("SUDO_UID", str(SOMEBODY))
    assert open_to_others([file]) is None


@pytest.mark.parametrize("mode", [0o646, 0o664])
def test_what_others_may_write_is_found(file: Path, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "0")
    os.chown(file, 0, 1)  # a group that is nobody's own
    file.chmod(mode)

    assert open_to_others([file]) == file


def test_the_own_group_of_a_user_counts_as_the_user(file: Path) -> None:
    file.chmod(0o664)  # of root:root

    assert open_to_others([file]) is None


def test_a_link_is_as_open_as_its_target(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file.parent)
    os.chown(file.parent, SOMEBODY, 0)

    assert open_to_others([link / file.name]) == file.parent
