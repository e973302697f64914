"""What a recorder remembers over its restarts."""

import json
import os
from pathlib import Path

import pytest

from banledger.service.memory import Memory
from banledger.spool.position import Position

ONE = Position("web1", "abcdef01", "sshd", 1, 20, 5.0)


def remembered(path: Path) -> Memory:
    memory = Memory(path, "redis://a#bans")
    memory.ledger, memory.incarnation = "0123456789abcdef", "run"
    memory.positions.raise_to([ONE])
    memory.save()
    return memory


def test_memory_survives_a_restart(tmp_path: Path) -> None:
    remembered(tmp_path / "recorder.json")
    again = Memory(tmp_path / "recorder.json", "redis://a#bans")
    assert (again.ledger, again.incarnation, list(again.positions)) == ("0123456789abcdef", "run", [ONE])


def test_memory_of_another_store_is_ignored(tmp_path: Path) -> None:
    remembered(tmp_path / "recorder.json")
    other = Memory(tmp_path / "recorder.json", "redis://b#bans")
    assert (other.ledger, list(other.positions)) == ("", [])


def test_memory_of_a_store_whose_path_is_not_text_survives_a_restart(tmp_path: Path) -> None:
    path, store = tmp_path / "recorder.json", os.fsdecode(b"/\xff.db#bans")
    memory = Memory(path, store)
    memory.positions.raise_to([ONE])
    memory.save()
    assert list(Memory(path, store).positions) == [ONE]


def test_an_invalid_file_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "recorder.json"
    nested = b'{"store":"redis://a#bans","x":' + b"[" * 100_000
    for text in (b"", b"{}", b"\xff", b'{"store": 5}', b"[" * 100_000, nested, b'{"store":"\xff"}'):
        path.write_bytes(text)
        assert list(Memory(path, "redis://a#bans").positions) == []


def test_a_file_that_is_too_long_is_not_read_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "recorder.json"
    remembered(path)
    os.truncate(path, 1 << 40)
    assert list(Memory(path, "redis://a#bans").positions) == []


@pytest.mark.parametrize(
    "damaged",
    [
        {"first": -5}, {"first": 21}, {"last": 1 << 60}, {"last": 1 << 63}, {"seen": -1.0}, {"seen": 1e300},
        {"writer": ""}, {"writer": "a b"}, {"writer": "\x1b[31m"},
    ],
)  # fmt: skip
def test_a_position_that_no_writer_can_have_is_forgotten(tmp_path: Path, damaged: dict[str, object]) -> None:
    path = tmp_path / "recorder.json"
    remembered(path)
    saved = json.loads(path.read_bytes())
    positions = [saved["positions"][0] | damaged, saved["positions"][0]]
    path.write_text(json.dumps(saved | {"positions": positions, "unrecorded": positions}))
    again = Memory(path, "redis://a#bans")
    assert (list(again.positions), again.unrecorded) == ([ONE], (ONE,))


def test_a_directory_that_cannot_be_written_is_logged_once(tmp_path: Path, caplog) -> None:  # type: ignore[no-untyped-def]
    memory = remembered(tmp_path / "gone" / "recorder.json")
    memory.incarnation = "another"
    memory.save()
    assert len(caplog.records) == 1


def test_what_could_not_be_written_is_written_when_it_can_be(tmp_path: Path) -> None:
    memory = remembered(tmp_path / "gone" / "recorder.json")
    (tmp_path / "gone").mkdir()
    memory.save()
    assert list(Memory(tmp_path / "gone" / "recorder.json", "redis://a#bans").positions) == [ONE]


def test_a_link_beside_it_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "recorder.new").symlink_to(tmp_path / "elsewhere")
    remembered(tmp_path / "recorder.json")
    assert not (tmp_path / "elsewhere").exists()


def test_lines_that_wait_are_remembered_and_a_file_of_an_older_version_has_none(tmp_path: Path) -> None:
    path = tmp_path / "recorder.json"
    memory = remembered(path)
    older = path.read_bytes().replace(b',"unrecorded":[]', b"")
    memory.unrecorded = (ONE,)
    memory.save()
    assert Memory(path, "redis://a#bans").unrecorded == (ONE,)
    path.write_bytes(older)
    again = Memory(path, "redis://a#bans")
    assert b"unrecorded" not in older and (list(again.positions), again.unrecorded) == ([ONE], ())
