"""The fail2ban action: loaded as fail2ban loads it, writing to real directories."""

import ast
import contextlib
import errno
import fcntl
import hashlib
import importlib.util
import itertools
import json
import logging
import os
import stat
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import banledger
from banledger.spool.events import HeldLine, decode
from tests.support.lines import T0

SOURCE = Path(banledger.__file__).parent / "action" / "banledger.py"

Line = dict[str, Any]


def load() -> Any:
    """The action's module as fail2ban 1.1 loads it: executed, not in sys.modules."""
    spec = importlib.util.spec_from_loader("banledger_action", SourceFileLoader("banledger_action", str(SOURCE)))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(module)
    return module


module = load()


class Actions:
    """What the action looks at of fail2ban's Actions."""

    def __init__(self) -> None:
        self.active = False  # as while a jail is configured
        self.banManager: list[Any] = []
        self.bantime = 600

    def getBanTime(self) -> int:  # fail2ban's name
        return self.bantime


class Jail:
    """What the action looks at of fail2ban's Jail."""

    def __init__(self, name: str = "sshd") -> None:
        self.name = name
        self.actions = Actions()


def ticket(fid: object = "192.0.2.1", **values: object) -> dict[str, object]:
    """What fail2ban hands to `ban`."""
    usual: dict[str, object] = {
        "fid": fid,
        "ip": fid,
        "time": 1763869999.5,
        "failures": 5,
        "bantime": 600,
        "bancount": 1,
        "restored": 0,
        "matches": "one\ntwo\nthree\nfour",
        "F-*": {"failures": 5, "user": "root"},
    }
    return usual | values


def read(spool: Path) -> list[Line]:
    """All lines of the spool in the order of each writer's segments."""
    segments = sorted(spool.glob("*.jsonl"), key=lambda path: (path.name[14:22], int(path.stem.split("-")[2])))
    text = b"".join(path.read_bytes() for path in segments)
    assert text == b"" or text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def held(action: Any) -> int:
    return len(action._spool._held)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    directory = tmp_path / "spool"
    directory.mkdir()
    directory.chmod(0o2770)
    return directory


Make = Callable[..., Any]


@pytest.fixture
def make(spool: Path) -> Iterator[Make]:
    """An action on the spool; stopped at the end."""
    made: list[Any] = []

    def build(given: Any = None, **options: object) -> Any:
        jail = given or Jail()
        action = module.Action(jail, "banledger", **({"spool": str(spool), "server": "web1"} | options))
        jail.actions.active = True
        made.append(action)
        return action

    yield build
    for action in made:
        action.stop()


# Loading


def test_the_source_is_python_3_6_and_imports_only_the_standard_library() -> None:
    tree = ast.parse(SOURCE.read_text(), feature_version=(3, 6))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= set(sys.stdlib_module_names) - {"__future__"}


def test_it_has_every_attribute_that_fail2ban_reads_unguarded() -> None:
    for name in ("start", "stop", "ban", "reban", "unban", "prolong", "flush", "reload", "clearAllParams"):
        assert callable(getattr(module.Action, name))
    assert module.Action._prolongable is True
    assert module.Action.banEpoch == 0


def test_executing_the_module_again_does_not_change_existing_actions(spool: Path) -> None:
    again = load()
    first = again.Action(Jail("one"), "banledger", spool=str(spool))
    first.ban(ticket())
    assert again.__spec__ is not None
    again.__spec__.loader.exec_module(again)
    second = again.Action(Jail("two"), "banledger", spool=str(spool))
    first.ban(ticket())
    second.ban(ticket())
    first.stop()
    second.stop()
    assert sorted((line["jail"], line["seq"]) for line in read(spool)) == [("one", 1), ("one", 2), ("two", 1)]


# Lines


def test_a_ban_is_one_line_with_every_field(make: Make, spool: Path) -> None:
    before = time.time()
    make().ban(ticket("session-7", ip="192.0.2.1", **{"F-*": {"users": {"root", "bob"}, "user": "root"}}))
    [line] = read(spool)
    assert before - 0.001 <= line.pop("seen") <= time.time()
    [segment] = spool.iterdir()
    assert line.pop("writer") == segment.name.split("-")[1]
    assert line == {
        "v": 1,
        "kind": "ban",
        "seq": 1,
        "server": "web1",
        "jail": "sshd",
        "fid": "session-7",
        "ip": "192.0.2.1",
        "time": 1763869999.5,
        "failures": 5,
        "bantime": 600,
        "bancount": 1,
        "users": ["bob", "root"],
        "matches": ["two", "three", "four"],
    }


def test_empty_fields_are_left_out(make: Make, spool: Path) -> None:
    make().ban(ticket(matches="", **{"F-*": None}))
    [line] = read(spool)
    assert set(line) == {
        *("v", "kind", "seen", "writer", "seq", "server", "jail", "fid", "time", "failures", "bantime", "bancount"),
    }


def test_unban_and_prolong_have_neither_users_nor_matches(make: Make, spool: Path) -> None:
    action = make()
    action.unban(ticket())
    action.prolong(ticket(bantime=-1, bancount=2))
    unban, prolong = read(spool)
    assert (unban["kind"], prolong["kind"]) == ("unban", "prolong")
    assert (prolong["bantime"], prolong["bancount"]) == (-1, 2)
    assert not {"users", "matches"} & (set(unban) | set(prolong))


def test_a_reban_writes_no_ban(make: Make, spool: Path) -> None:
    action = make()
    action.reban(ticket())
    assert read(spool) == []


def test_a_restored_ban_is_marked_and_has_no_matches(make: Make, spool: Path) -> None:
    action = make()
    action.ban(ticket(restored=1, time=1763870000))
    action.unban(ticket(restored=1))
    ban, unban = read(spool)
    assert (ban["restored"], ban["time"], unban["restored"]) == (1, 1763870000, 1)
    assert "matches" not in ban


def users_of(make: Make, spool: Path, data: object, restored: int = 1) -> object:
    """The `users` of the line that a ticket with this data becomes."""
    action = make()
    action.ban(ticket(restored=restored, **{"F-*": data}))
    action.stop()
    [line] = read(spool)
    for segment in spool.iterdir():
        segment.unlink()
    return line.get("users")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("['root', 'pi']", ["pi", "root"]),
        ("['root']", ["root"]),
        (str(["it's", 'a "b"', 'it\'s "c"', "d\\", "e, f", "['g']", "h]"]), None),
        (str(["é", "用户", "\U0001f600", "a\nb\t\x00\x1b[31m", "\udc80", "\u200b", ""]), None),
        (str(["['root', 'pi']"]), ["['root', 'pi']"]),
    ],
)
def test_the_user_names_of_a_restored_ticket_are_parsed_from_list_text(
    make: Make, spool: Path, text: str, names: list[str] | None
) -> None:
    expected = sorted(name[:256] for name in ast.literal_eval(text)) if names is None else names
    assert users_of(make, spool, {"users": text, "user": "pi"}) == expected


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "[]",
        "root",
        "[root]",
        "['root'",
        "['root', ",
        "['root']]",
        "['root'] ",
        "['root' 'pi']",
        "['root',]",
        "['root', 7]",
        "['\\N{BULLET}']",
        "['\\x4']",
        "['\\Uffffffff']",
        "[" * 300,
        "[['root'], 'pi']",
    ],
)
def test_text_that_is_not_a_list_of_names_stays_one_name(make: Make, spool: Path, text: str) -> None:
    assert users_of(make, spool, {"users": text}) == [text[:256]]


@pytest.mark.parametrize(
    ("data", "restored"),
    [({"users": {"['root']"}}, 0), ({"users": "['root']"}, 0), ({"user": "['root']"}, 0), ({"user": "['root']"}, 1)],
)
def test_a_user_named_like_a_list_keeps_the_name(make: Make, spool: Path, data: object, restored: int) -> None:
    assert users_of(make, spool, data, restored) == ["['root']"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.text(st.characters() | st.sampled_from("\\'\"[], \udc80é")), max_size=12))
def test_any_user_names_are_the_same_restored_as_live(make: Make, spool: Path, names: set[str]) -> None:
    live = users_of(make, spool, {"users": names}, restored=0)
    assert users_of(make, spool, {"users": str(list(names)) if names else None}) == live


def test_a_huge_text_gives_its_first_names_in_bounded_time(make: Make, spool: Path) -> None:
    began = time.perf_counter()
    for text in ("['" + "a" * 10**7, "['" + "\\\\" * 10**6, "[" + "'', " * 10**6, "[" * 10**7):
        users_of(make, spool, {"users": text})
    assert time.perf_counter() - began < 2
    listed = str([f"{number:06}" for number in range(20_000)])
    assert users_of(make, spool, {"users": listed}) == [f"{number:06}" for number in range(10)]


@pytest.mark.parametrize(("option", "expected"), [("0", None), ("1", ["four"]), ("9", ["one", "two", "three", "four"])])
def test_the_option_matches_limits_the_matches(make: Make, spool: Path, option: str, expected: object) -> None:
    make(matches=option).ban(ticket())
    assert read(spool)[0].get("matches") == expected


def test_long_texts_are_cut_and_long_ids_stay_distinct(make: Make, spool: Path) -> None:
    action = make(Jail("j" * 10_000))
    ids = ["x" * 10_000 + end for end in "ab"]
    users = {f"{n:03}" + "u" * 1000 for n in range(50)}
    for fid in ids:
        action.ban(ticket(fid, matches="m" * 5000, **{"F-*": {"users": users}}))
    lines = read(spool)
    assert [line["fid"] for line in lines] == [
        "x" * 4096 + "...sha256:" + hashlib.sha256(fid.encode()).hexdigest() for fid in ids
    ]
    assert lines[0]["jail"].startswith("j" * 4096 + "...sha256:")
    assert [len(match) for match in lines[0]["matches"]] == [1024]
    assert len(lines[0]["users"]) == 10
    assert {len(user) for user in lines[0]["users"]} == {256}


def test_every_line_is_shorter_than_a_mebibyte(make: Make, spool: Path) -> None:
    worst = "\U0001f600"
    action = make(Jail(worst * 9999), server=worst * 255, matches="50")
    users = {worst * 300 + str(n) for n in range(20)}
    action.ban(
        ticket(worst * 9999, ip=worst * 8888, matches="\n".join([worst * 2000] * 60), **{"F-*": {"users": users}})
    )
    [segment] = spool.iterdir()
    assert len(read(spool)[0]["matches"]) == 50
    assert segment.stat().st_size < 1 << 20


@pytest.mark.parametrize("text", ["a\nb", 'q"\\', "\x00\x1b[31m", "\ud800 lone", "é€\U0001f600", "a\r\u2028b"])
def test_hostile_text_is_one_line_and_decodes_unchanged(make: Make, spool: Path, text: str) -> None:
    make(Jail(text)).ban(ticket(text, matches=text.replace("\n", " "), **{"F-*": {"user": text}}))
    [segment] = spool.iterdir()
    assert segment.read_bytes().count(b"\n") == 1
    assert segment.read_bytes().isascii()
    [line] = read(spool)
    assert (line["jail"], line["fid"], line["users"]) == (text, text, [text])


def test_seen_rises_when_the_clock_stands_or_steps_back(
    make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = make()
    for now in (1000.0, 1000.0, 995.0, 2000.0, 1000.0):
        monkeypatch.setattr(module.time, "time", lambda now=now: now)
        action.ban(ticket())
    monkeypatch.undo()
    assert [line["seen"] for line in read(spool)] == [1000.0, 1000.000001, 1000.000002, 2000.0, 1000.0]


def test_an_unreadable_value_does_not_affect_others(make: Make, spool: Path) -> None:
    class Raising(dict[str, object]):
        def __getitem__(self, key: str) -> object:
            if key != "fid":
                raise KeyError(key)
            return "192.0.2.1"

    make().ban(Raising())
    [line] = read(spool)
    assert line["fid"] == "192.0.2.1"
    assert (line["failures"], line["bantime"], line["bancount"]) == (0, 0, 0)
    assert abs(line["time"] - time.time()) < 60


def test_only_cheap_ticket_keys_are_read(make: Make) -> None:
    asked: set[str] = set()

    class Watching(dict[str, object]):
        def __getitem__(self, key: str) -> object:
            asked.add(key)
            return super().__getitem__(key)

    make().ban(Watching(ticket()))
    assert asked <= {"fid", "ip", "time", "failures", "bantime", "bancount", "restored", "matches", "F-*"}


def test_a_ban_without_address_or_id_is_logged_and_not_written(
    make: Make, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make().ban({})
    assert read(spool) == []
    assert "without an address" in caplog.text


class Evil:
    """A value that raises whatever is asked of it."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __float__(self) -> float:
        raise OverflowError("no number")

    def __bool__(self) -> bool:
        raise ValueError("neither")

    def __getattr__(self, name: str) -> object:
        raise AttributeError(name)


GARBAGE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text(st.characters(categories=["Cs", "Cc", "Lu"]))
    | st.binary()
    | st.builds(Evil)
    | st.just(10**4000),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["user", "users", "x"]), inner),
    max_leaves=8,
)
KEYS = st.sampled_from(["fid", "ip", "time", "failures", "bantime", "bancount", "restored", "matches", "F-*"])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(info=st.dictionaries(KEYS, GARBAGE) | GARBAGE, kind=st.sampled_from(["ban", "unban", "prolong", "reban"]))
def test_no_ticket_causes_an_exception_or_a_torn_line(spool: Path, info: object, kind: str) -> None:
    action = module.Action(Jail(), "banledger", spool=str(spool))
    getattr(action, kind)(info)
    action.stop()
    for line in read(spool):
        assert isinstance(line["fid"], str)
        assert isinstance(line["time"], (int, float))
    for path in spool.iterdir():
        path.unlink()


@settings(max_examples=100, deadline=None)
@given(options=st.dictionaries(st.sampled_from(["spool", "server", "matches", "spool_max", "name", "x"]), GARBAGE))
def test_no_option_causes_an_exception(options: dict[str, object]) -> None:
    options["spool"] = "/nonexistent/banledger"
    action = module.Action(Evil(), "banledger", **options)
    action.start()
    action.reload(**options)
    assert action.flush() in (True, False)
    action.ban(ticket())
    action.stop()


# Options, reload and flush


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("matches", "many"),
        ("matches", "-1"),
        ("spool_max", "5x"),
        ("spool_max", "0"),
        ("server", " "),
        ("nmae", "x"),
    ],
)
def test_an_invalid_option_is_logged_and_gets_its_default(
    make: Make, spool: Path, caplog: pytest.LogCaptureFixture, option: str, value: str
) -> None:
    make(**{option: value}).ban(ticket())
    assert len(caplog.records) == 1
    assert option in caplog.text
    assert len(read(spool)) == 1


@pytest.mark.parametrize(("text", "size"), [("7", 7), ("2k", 2048), ("3M", 3 << 20), (" 1g ", 1 << 30)])
def test_sizes_have_suffixes(make: Make, text: str, size: int) -> None:
    assert make(spool_max=text)._spool._max == size


def test_a_relative_spool_is_refused(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    assert make(spool="var/spool")._spool._path == "/var/spool/banledger"
    assert "option spool" in caplog.text


def test_reload_applies_new_options_and_keeps_the_writer(make: Make, spool: Path) -> None:
    action = make()
    action.ban(ticket())
    action.clearAllParams()
    action.reload(spool=str(spool), server="web2", matches="0")
    action.ban(ticket())
    first, second = read(spool)
    assert (first["server"], second["server"]) == ("web1", "web2")
    assert (second["seq"], "matches" in second) == (2, False)
    assert len(list(spool.iterdir())) == 1


def test_reload_to_another_directory_closes_the_segment(make: Make, spool: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir(0o770)
    action = make()
    action.ban(ticket())
    action.reload(spool=str(other))
    action.ban(ticket())
    assert [line["seq"] for line in read(spool)] == [1]
    assert [line["seq"] for line in read(other)] == [2]
    assert not is_locked(next(spool.iterdir()))


def test_flush_skips_unbans_only_when_the_server_or_the_action_ends(make: Make) -> None:
    jail = Jail()
    action = make(jail)
    assert action.flush() is False
    jail.actions._reload_actions = {}  # type: ignore[attr-defined]
    assert action.flush() is True
    del jail.actions._reload_actions  # type: ignore[attr-defined]
    jail.actions.active = False
    assert action.flush() is True


# Segments


def is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_segment_is_private_to_the_group_named_as_promised_and_locked_until_stop(make: Make, spool: Path) -> None:
    old = os.umask(0o077)
    try:
        action = make()
        action.ban(ticket())
    finally:
        os.umask(old)
    [segment] = spool.iterdir()
    millis, writer, number = segment.stem.split("-")
    assert (len(millis), len(writer), number) == (13, 8, "1")
    assert int(writer, 16) >= 0
    assert stat.S_IMODE(segment.stat().st_mode) == 0o640
    assert is_locked(segment)
    action.stop()
    assert not is_locked(segment)


def test_a_full_segment_is_followed_by_another(make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Segment, "ROTATE_BYTES", 1000)
    action = make()
    for _ in range(20):
        action.ban(ticket())
    assert [line["seq"] for line in read(spool)] == list(range(1, 21))
    segments = sorted(spool.iterdir(), key=lambda path: int(path.stem.split("-")[2]))
    assert len(segments) > 3
    assert [is_locked(path) for path in segments] == [False] * (len(segments) - 1) + [True]


def test_a_segment_with_a_second_link_is_closed(make: Make, spool: Path, tmp_path: Path) -> None:
    action = make()
    action.ban(ticket("192.0.2.1"))
    [segment] = spool.iterdir()
    os.link(segment, tmp_path / "stolen")
    action.ban(ticket("192.0.2.2"))
    assert len((tmp_path / "stolen").read_bytes().splitlines()) == 1
    assert [line["seq"] for line in read(spool)] == [1, 2]


def test_a_deleted_segment_is_replaced_and_logged_once(
    make: Make, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    action = make()
    for number in range(3):
        action.ban(ticket(f"192.0.2.{number}"))
        for path in spool.iterdir():
            path.unlink()
    action.ban(ticket("192.0.2.9"))
    assert [(line["seq"], line["fid"]) for line in read(spool)] == [(4, "192.0.2.9")]
    assert caplog.text.count("segments vanished") == 1


@pytest.mark.parametrize("plant", ["symlink", "fifo", "file", "directory"])
def test_an_existing_name_is_skipped(
    make: Make, spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: str
) -> None:
    action = make()
    monkeypatch.setattr(module.time, "time", lambda: 1763870000.0)
    trap = spool / f"1763870000000-{action._spool._segment.writer}-1.jsonl"
    target = tmp_path / "precious"
    target.write_text("precious")
    if plant == "symlink":
        trap.symlink_to(target)
    elif plant == "fifo":
        os.mkfifo(trap)
    elif plant == "file":
        os.link(target, trap)
    else:
        trap.mkdir()
    action.ban(ticket())
    monkeypatch.undo()
    assert target.read_text() == "precious"
    assert len((spool / trap.name.replace("-1.", "-2.")).read_bytes().splitlines()) == 1


def test_foreign_files_in_the_spool_have_no_effect(make: Make, spool: Path) -> None:
    (spool / "notes.txt").write_text("x")
    (spool / "old.jsonl").symlink_to("/nonexistent")
    os.mkfifo(spool / "pipe.jsonl")
    (spool / "folder.jsonl").mkdir()
    make().ban(ticket())
    [segment] = spool.glob("*-*-1.jsonl")
    assert len(segment.read_bytes().splitlines()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away")
def test_only_segments_of_trusted_owners_count_towards_the_limit(
    make: Make, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("notes.txt", "notes.jsonl", "1763870000000-abcdef01-1.jsonl", "1763870000000-abcdef01-2.jsonl"):
        (spool / name).touch()
        os.truncate(spool / name, 513 << 20)
    os.chown(spool / "1763870000000-abcdef01-1.jsonl", 65534, -1)
    os.chown(spool / "1763870000000-abcdef01-2.jsonl", 65534, -1)
    (spool / "1763870000000-abcdef01-3.jsonl").symlink_to(spool / "notes.txt")
    action = make()
    for number in range(20):
        action._spool._look_due = 0.0
        action.ban(ticket(f"192.0.2.{number}"))
    assert held(action) == 0
    lines = (spool / action_segment(action)).read_bytes().splitlines()
    assert ["matches" in json.loads(line) for line in lines] == [True] * 20
    assert caplog.text.count("banledger: ") == caplog.text.count("ignoring files in spool") == 1


def test_a_segment_with_many_links_counts_once(make: Make, spool: Path) -> None:
    first = spool / "1763870000000-abcdef01-1.jsonl"
    first.write_bytes(b"x" * 900)
    for number in range(2, 50):
        os.link(first, spool / f"1763870000000-abcdef01-{number}.jsonl")
    action = make(spool_max="10000")
    action.ban(ticket())
    assert held(action) == 0
    assert action._spool._used < 2000


def test_a_call_reads_few_names_and_our_thread_reads_all(
    make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module.Spool, "RETRY_S", 0.02)
    monkeypatch.setattr(module, "_PAUSE_S", 0.0)
    for number in range(9_000):
        (spool / f"{number:013d}-abcdef01-1.jsonl").write_bytes(b"x")
    for number in range(2_000):
        (spool / f"n{number}").touch()
    looked: dict[int, int] = {}
    scan = module._scan

    @contextlib.contextmanager
    def counted(directory: int) -> Iterator[Iterator[os.DirEntry[str]]]:
        def entries(found: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
            for entry in found:
                looked[threading.get_ident()] = looked.get(threading.get_ident(), 0) + 1
                yield entry

        with scan(directory) as found:
            yield entries(found)

    monkeypatch.setattr(module, "_scan", counted)
    action = make(spool_max="20000")
    for number in range(10):
        action._spool._look_due = 0.0
        action.ban(ticket(f"192.0.2.{number}", matches=""))
    assert looked[threading.get_ident()] <= module.Spool.LOOK_NAMES + 1
    wait_for(lambda: action._spool._segments == 9_001)
    assert action._spool._used == sum(path.stat().st_size for path in spool.glob("*.jsonl"))
    assert looked[threading.get_ident()] <= module.Spool.LOOK_NAMES + 1
    wait_for(lambda: "2000 files in spool" in caplog.text)
    for path in spool.glob("0*.jsonl"):
        path.unlink()
    action._spool._count_due = 0.0
    wait_for(lambda: action._spool._segments == 1)
    assert caplog.text.count("banledger: ") == 1


def test_an_endless_count_is_stopped_after_held_events_are_written(
    make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.Spool, "RETRY_S", 0.02)
    monkeypatch.setattr(module.Spool, "COUNT_S", 0.05)
    monkeypatch.setattr(module.Spool, "REST", 0)
    for number in range(module.Spool.LOOK_NAMES + 1):
        (spool / f"n{number}").touch()
    scan = module._scan

    @contextlib.contextmanager
    def endless(directory: int) -> Iterator[Iterator[os.DirEntry[str]]]:
        with scan(directory) as found:
            yield itertools.cycle(found)

    monkeypatch.setattr(module, "_scan", endless)
    action = make()
    action.start()
    action.ban(ticket("192.0.2.1"))
    hidden = spool.rename(spool.with_name("hidden"))
    action._spool._look_due = 0.0
    action.ban(ticket("192.0.2.2"))
    hidden.rename(spool)
    wait_for(lambda: not held(action))
    assert [line["fid"] for line in read(spool) if line["kind"] == "ban"] == ["192.0.2.1", "192.0.2.2"]
    assert action._spool._crowded


def test_a_segment_is_locked_before_the_group_may_open_it(
    make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    flock = fcntl.flock

    def watch(fd: int, operation: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(fd).st_mode))
        flock(fd, operation)

    monkeypatch.setattr(module.fcntl, "flock", watch)
    make().ban(ticket())
    assert modes == [0o600]


def test_names_that_are_already_taken_do_not_stop_it(make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    action = make()
    monkeypatch.setattr(module.time, "time", lambda: 1763870000.0)
    for number in range(1, 50):
        (spool / f"1763870000000-{action._spool._segment.writer}-{number}.jsonl").touch()
    monkeypatch.setattr(module.os, "urandom", lambda count: b"\x12\x34"[:count])
    action.ban(ticket())
    monkeypatch.undo()
    assert held(action) == 0
    assert [path.name for path in spool.iterdir() if path.stat().st_size] == [action_segment(action)]


def action_segment(action: Any) -> str:
    """The name of the segment that it writes to."""
    return Path(os.readlink(f"/proc/self/fd/{action._spool._segment._fd}")).name


def test_a_short_write_leaves_no_fragment_before_the_next_line(
    make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = make()
    action.ban(ticket("192.0.2.1"))
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda fd, data: write(fd, data[:20]))
    action.ban(ticket("192.0.2.2"))
    monkeypatch.undo()
    assert held(action) == 1
    action.stop()
    assert [(line["seq"], line["fid"]) for line in read(spool)] == [(1, "192.0.2.1"), (2, "192.0.2.2")]


def test_a_fragment_that_cannot_be_removed_ends_its_segment(
    make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = make()
    action.ban(ticket("192.0.2.1"))
    write = os.write

    def fail(fd: int, size: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(module.os, "write", lambda fd, data: write(fd, data[:20]))
    monkeypatch.setattr(module.os, "ftruncate", fail)
    action.ban(ticket("192.0.2.2"))
    monkeypatch.undo()
    action.stop()
    first, second = sorted(spool.iterdir(), key=lambda path: int(path.stem.split("-")[2]))
    assert first.read_bytes().count(b"\n") == 1
    assert [json.loads(line)["seq"] for line in second.read_bytes().splitlines()] == [2]


# The directory


def test_bans_are_held_until_a_missing_directory_appears(
    make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module.Spool, "RETRY_S", 0.02)
    spool.rmdir()
    action = make()
    for number in range(5):
        action.ban(ticket(f"192.0.2.{number}"))
    assert caplog.text.count("can't write to spool") == 1
    assert "No such file or directory; holding" in caplog.text
    spool.mkdir()
    wait_for(lambda: not held(action))
    lines = read(spool)
    assert [(line["seq"], line["fid"]) for line in lines] == [(n + 1, f"192.0.2.{n}") for n in range(5)]
    assert [line["seen"] for line in lines] == sorted(line["seen"] for line in lines)
    wait_for(lambda: "works again; 0 bans and 0 other" in caplog.text)
    action.ban(ticket())
    assert read(spool)[-1]["seq"] == 6


def test_the_start_logs_a_missing_directory(make: Make, spool: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool.rmdir()
    make().start()
    assert "can't write to spool" in caplog.text


def test_a_recreated_directory_is_used(make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Spool, "RETRY_S", 0.02)
    action = make()
    action.ban(ticket("192.0.2.1"))
    for path in spool.iterdir():
        path.unlink()
    spool.rmdir()
    action.ban(ticket("192.0.2.2"))
    assert held(action) == 1
    spool.mkdir()
    wait_for(lambda: read(spool))
    assert [line["seq"] for line in read(spool)] == [2]


def test_a_directory_moved_away_is_noticed(make: Make, spool: Path) -> None:
    action = make()
    action.ban(ticket("192.0.2.1"))
    moved = spool.rename(spool.with_name("moved"))
    spool.mkdir()
    action._spool._look_due = 0.0  # that a look took long puts the next one off
    action.ban(ticket("192.0.2.2"))
    assert [line["seq"] for line in read(moved)] == [1]
    assert [line["seq"] for line in read(spool)] == [2]


def _others_may_write(spool: Path) -> None:
    spool.chmod(0o2777)


def _others_may_write_though_sticky(spool: Path) -> None:
    spool.chmod(0o1777)


def _parent_open_to_the_group(spool: Path) -> None:
    spool.parent.chmod(0o775)


def _a_file(spool: Path) -> None:
    spool.rmdir()
    spool.write_text("")


def _a_symbolic_link(spool: Path) -> None:
    spool.rename(spool.with_name("real"))
    spool.symlink_to(spool.with_name("real"))


def _parent_a_symbolic_link(spool: Path) -> None:
    parent = spool.parent
    parent.rename(parent.with_name(parent.name + "-real"))
    parent.symlink_to(parent.with_name(parent.name + "-real"))


def _of_somebody_else(spool: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    os.chown(spool, 65534, -1)


def _parent_of_somebody_else(spool: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    os.chown(spool.parent, 65534, -1)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_others_may_write, "written to by others"),
        (_others_may_write_though_sticky, "written to by others"),
        (_parent_open_to_the_group, "written to by others"),
        (_a_file, "not a directory, or is a symbolic link"),
        (_a_symbolic_link, "not a directory, or is a symbolic link"),
        (_parent_a_symbolic_link, "not a directory, or is a symbolic link"),
        (_of_somebody_else, "belongs to user 65534"),
        (_parent_of_somebody_else, "belongs to user 65534"),
    ],
)
def test_a_directory_that_others_can_change_is_not_written_to(
    make: Make, spool: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None], reason: str
) -> None:
    action = make()
    spoil(spool)
    action.ban(ticket())
    assert held(action) == 1
    assert reason in caplog.text
    assert list(spool.parent.rglob("*.jsonl")) == []


def test_a_sticky_parent_of_root_is_accepted(make: Make, spool: Path) -> None:
    spool.parent.chmod(0o1777)
    make().ban(ticket())
    assert len(read(spool)) == 1


def test_no_descriptor_is_left_open(make: Make, spool: Path) -> None:
    action = make()
    before = len(os.listdir("/proc/self/fd"))
    spoils: list[Callable[[Path], None]] = [_others_may_write, lambda path: path.chmod(0o770), _a_symbolic_link]
    for spoil in spoils:
        spoil(spool)
        action.ban(ticket())
        action.stop()
    assert len(os.listdir("/proc/self/fd")) == before


# Limits


def test_near_the_limit_lines_lose_their_matches(make: Make, spool: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = spool / "1763870000000-abcdef01-1.jsonl"
    other.write_bytes(b"x" * 9500 + b"\n")
    action = make(spool_max="10000")
    action.ban(ticket())
    other.unlink()
    [line] = read(spool)
    assert "matches" not in line
    assert "users" in line
    assert "without their matched lines" in caplog.text


def test_at_the_limit_bans_are_held_until_the_reader_makes_room(
    make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module.Spool, "RETRY_S", 0.02)
    monkeypatch.setattr(module.Spool, "LOOK_S", 0.0)
    action = make(spool_max="2k")
    for number in range(100):
        action.ban(ticket(f"192.0.2.{number}"))
    assert sum(path.stat().st_size for path in spool.iterdir()) <= 2048
    assert held(action) > 80
    assert "spool_max is reached" in caplog.text
    action.reload(spool=str(spool))
    wait_for(lambda: not held(action))
    assert [line["fid"] for line in read(spool)] == [f"192.0.2.{n}" for n in range(100)]


def test_the_disk_is_checked_at_most_once_a_second(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    fstatvfs = os.fstatvfs

    def watch(fd: int) -> os.statvfs_result:
        looks.append(fd)
        return fstatvfs(fd)

    monkeypatch.setattr(module.os, "fstatvfs", watch)
    action = make()
    began = time.monotonic()
    for _ in range(500):
        action.ban(ticket())
    assert len(looks) <= 1 + (time.monotonic() - began)


def test_memory_is_bounded_and_the_loss_becomes_one_gap_line(
    make: Make, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool.rmdir()
    action = make()
    before = time.time()
    for number in range(1500):
        action.ban(ticket(f"id-{number}"))
    for _ in range(7):
        action.unban(ticket())
    action.prolong(ticket())
    assert held(action) == 1000
    assert caplog.text.count("only counted") == 1
    spool.mkdir()
    action.stop()
    lines = read(spool)
    gap = lines.pop()
    assert [line["fid"] for line in lines] == [f"id-{n}" for n in range(1000)]
    assert "matches" not in lines[0]
    assert before <= gap.pop("since") <= gap.pop("seen")
    reason = gap.pop("reason")
    assert reason.endswith("No such file or directory")
    assert gap.pop("writer") == lines[0]["writer"]
    assert gap == {
        "v": 1,
        "kind": "gap",
        "seq": 1001,
        "server": "web1",
        "jail": "sshd",
        "bans": 500,
        "others": 8,
    }
    assert "500 bans and 8 other events were lost" in caplog.text


def test_large_events_fill_memory_by_their_size(make: Make, spool: Path) -> None:
    spool.rmdir()
    action = make()
    for number in range(400):
        action.ban(ticket(f"{number}" + "x" * 9000))
    assert held(action) < 300
    assert action._spool._held_bytes <= 1 << 20


def test_new_events_queue_behind_held_events(make: Make, spool: Path) -> None:
    spool.rmdir()
    action = make()
    action.ban(ticket("first"))
    spool.mkdir()
    action.ban(ticket("second"))
    assert read(spool) == []
    action.stop()
    assert [line["fid"] for line in read(spool)] == ["first", "second"]


def test_stop_logs_unwritten_events(make: Make, spool: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool.rmdir()
    action = make()
    action.ban(ticket())
    action.stop()
    assert "stopped with 1 unrecorded events" in caplog.text


def test_an_event_after_stop_is_written_and_keeps_no_lock(make: Make, spool: Path) -> None:
    action = make()
    action.stop()
    action.prolong(ticket())
    [segment] = spool.iterdir()
    assert len(read(spool)) == 1
    assert not is_locked(segment)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mountpoint = tmp_path / "disk"
    mountpoint.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs", str(mountpoint)]
    if subprocess.run(words, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield mountpoint
    subprocess.run(["umount", str(mountpoint)], check=False)


def test_a_full_disk_tears_no_line(small_disk: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Spool, "RETRY_S", 0.02)
    monkeypatch.setattr(module.Spool, "LOOK_S", 1000.0)  # the limit must come from the disk itself
    spool = small_disk / "spool"
    spool.mkdir(0o770)
    action = make(spool=str(spool))
    action.ban(ticket("first"))
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    for number in range(200):
        action.ban(ticket(f"id-{number}"))
    assert held(action) > 100
    read(spool)
    ballast.unlink()
    wait_for(lambda: not held(action))
    lines = read(spool)
    assert [line["fid"] for line in lines] == ["first"] + [f"id-{n}" for n in range(200)]
    assert [line["seq"] for line in lines] == list(range(1, 202))


def test_a_nearly_full_disk_is_not_written_to(small_disk: Path, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    spool = small_disk / "spool"
    spool.mkdir(0o770)
    (small_disk / "ballast").write_bytes(b"x" * 4096 * 63)
    action = make(spool=str(spool))
    action.ban(ticket())
    assert held(action) == 1
    assert "the disk is nearly full" in caplog.text


def test_a_read_only_disk_holds_the_bans(small_disk: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Spool, "RETRY_S", 0.02)
    spool = small_disk / "spool"
    spool.mkdir(0o770)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    action = make(spool=str(spool))
    action.ban(ticket())
    assert held(action) == 1
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    wait_for(lambda: not held(action))
    assert len(read(spool)) == 1


# Threads


def test_three_threads_lose_nothing_and_tear_nothing(make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Segment, "ROTATE_BYTES", 20_000)
    action = make()
    calls = [action.ban, action.unban, action.prolong]

    def hammer(which: int) -> None:
        for number in range(400):
            calls[which](ticket(f"{which}-{number}"))

    threads = [threading.Thread(target=hammer, args=(which,)) for which in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = read(spool)
    assert [line["seq"] for line in lines] == list(range(1, 1201))
    seen = [line["seen"] for line in lines]
    assert all(earlier < later for earlier, later in itertools.pairwise(seen))
    for which in range(3):
        mine = [line["fid"] for line in lines if line["fid"].startswith(f"{which}-")]
        assert mine == [f"{which}-{number}" for number in range(400)]


def test_a_log_that_blocks_does_not_hold_the_other_threads(make: Make, spool: Path) -> None:
    free = threading.Event()
    blocked = threading.Event()

    class Blocking(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:  # not `emit`, which is called under the handler's lock
            blocked.set()
            return free.wait(10)

    handler = Blocking()
    logging.getLogger("fail2ban.banledger").addHandler(handler)
    try:
        spool.rmdir()
        action = make()
        thread = threading.Thread(target=action.ban, args=(ticket("first"),))
        thread.start()
        assert blocked.wait(10)
        action.ban(ticket("second"))
        assert held(action) == 2
    finally:
        free.set()
        logging.getLogger("fail2ban.banledger").removeHandler(handler)
    thread.join()


def test_the_retry_thread_ends_when_nothing_is_held(make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Spool, "RETRY_S", 0.02)

    def retrying() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "f2b/banledger"]

    wait_for(lambda: not retrying())
    spool.rmdir()
    action = make()
    action.ban(ticket())
    assert len(retrying()) == 1
    spool.mkdir()
    wait_for(lambda: not retrying())
    assert len(read(spool)) == 1


# Starts, stops and snapshots


class Held:
    """What the action looks at of a ticket that fail2ban holds."""

    def __init__(self, fid: str, time: float = T0, bantime: int | None = None, restored: int = 0) -> None:
        self._fid, self._time, self._bantime, self.restored = fid, time, bantime, restored

    def getID(self) -> str:
        return self._fid

    def getTime(self) -> float:
        return self._time

    def getIP(self) -> str:
        return self._fid

    def getAttempt(self) -> int:
        return 5

    def setBanTime(self, bantime: int) -> None:
        self._bantime = bantime

    def getBanTime(self, default: int) -> int:
        return default if self._bantime is None else self._bantime

    def getBanCount(self) -> int:
        return 2


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes minutes takes no time."""
    monkeypatch.setattr(module.Spool, "RETRY_S", 0.01)
    monkeypatch.setattr(module.Snapshots, "SETTLED_S", 0.05)
    monkeypatch.setattr(module.Snapshots, "AGAIN_S", 0.05)


def kinds(spool: Path) -> list[str]:
    return [line["kind"] for line in read(spool)]


def test_a_start_and_a_stop_name_the_writer_and_the_time(make: Make, spool: Path) -> None:
    jail = Jail()
    action = make(jail)
    action.start()
    jail.actions.active = False
    action.stop()
    started, stopped = read(spool)
    assert started.keys() == {"v", "kind", "seen", "writer", "seq", "server", "jail", "version", "boot", "clock"}
    assert started["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    assert 0 <= time.clock_gettime(time.CLOCK_BOOTTIME) - started["clock"] < 60
    assert {name: stopped[name] for name in ("kind", "server", "jail")} == {
        "kind": "stop",
        "server": "web1",
        "jail": "sshd",
    }
    assert "left" not in stopped


def test_a_start_names_the_process_and_its_fail2ban(
    make: Make, spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def process(database: object, *argv: str) -> str | None:
        monkeypatch.setattr(sys, "argv", ["fail2ban-server", *argv])
        jail = Jail()
        jail.database = database  # type: ignore[attr-defined]
        make(jail).start()
        return max(read(spool), key=lambda line: line["seen"]).get("process")

    one, two = SimpleNamespace(filename="/var/lib/one"), SimpleNamespace(filename="/var/lib/two")
    first = process(one, "start")
    assert first is not None
    assert first.partition(".")[2] == str(os.getpid())
    assert process(one, "start") == first
    assert len({first, process(two, "start"), process(one, "-s", "/run/other", "start")}) == 3
    assert process(None, "start") is None
    there = SimpleNamespace(filename=str(tmp_path / "database"))
    (tmp_path / "database").touch()
    begun = process(there, "start")
    assert process(there, "start") == begun
    (tmp_path / "elsewhere").touch()
    (tmp_path / "elsewhere").rename(tmp_path / "database")  # the file of that name in another root
    assert process(there, "start") not in (None, begun)
    boot = tmp_path / "boot_id"
    boot.write_text("another\n")
    monkeypatch.setattr(module, "_BOOT_ID", str(boot))
    assert process(one, "start") not in (None, first)
    boot.unlink()
    assert process(one, "start") is None


def test_an_action_removed_from_a_running_jail_writes_a_stop_with_left(make: Make, spool: Path) -> None:
    action = make()
    action.start()
    action.stop()
    assert read(spool)[-1]["left"] == 1


def test_an_action_that_never_started_writes_nothing(make: Make, spool: Path) -> None:
    make().stop()
    assert read(spool) == []


def test_an_action_added_to_a_running_jail_starts_by_itself(make: Make, spool: Path, hasty: None) -> None:
    jail = Jail()
    jail.actions.active = True
    make(jail)
    wait_for(lambda: kinds(spool)[:2] == ["start", "held"])
    other = Jail("other")
    other.actions.active = True
    make(other).ban(ticket())
    assert [line["kind"] for line in read(spool) if line["jail"] == "other"][:2] == ["start", "ban"]


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The action's thread sleeps: a test calls `_watch` as the thread would."""
    monkeypatch.setattr(module.Spool, "RETRY_S", 600.0)


def added(make: Make, **options: object) -> Any:
    """An action added to a jail that runs."""
    jail = Jail()
    jail.actions.active = True
    return make(jail, **options)


@pytest.mark.parametrize("began", [True, False])
def test_an_action_added_to_a_running_jail_stays_stopped_if_its_thread_notices_late(
    make: Make, spool: Path, by_hand: None, began: bool
) -> None:
    action = added(make)
    if began:
        action._watch()
    action.stop()
    action._watch()  # the thread was past the question whether it is stopped
    action._begin(late=True)  # or past the one whether it is late
    assert kinds(spool) == (["start", "stop"] if began else [])
    assert action._spool._stopped
    assert action._spool._wake.is_set()
    action.ban(ticket())
    assert kinds(spool)[-1] == "ban"
    assert kinds(spool).count("start") == began


def test_a_stop_during_a_late_start_comes_after_it(
    make: Make, spool: Path, by_hand: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = added(make)
    begin = action._spool.start
    stopping = threading.Thread(target=action.stop)

    def slow() -> None:
        stopping.start()
        stopping.join(0.2)
        begin()

    monkeypatch.setattr(action._spool, "start", slow)
    action._watch()
    stopping.join(10)
    assert kinds(spool) == ["start", "stop"]
    assert action._spool._stopped


def test_concurrent_late_starts_write_one_start(
    make: Make, spool: Path, by_hand: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = added(make)
    begin = action._spool.start
    together = threading.Barrier(2)

    def slow() -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(0.2)
        begin()

    monkeypatch.setattr(action._spool, "start", slow)
    banning = threading.Thread(target=action.ban, args=(ticket(),))
    banning.start()
    action._watch()
    banning.join(10)
    assert kinds(spool) == ["start", "ban"]


def test_the_thread_of_an_action_that_starts_again_sleeps_between_its_rounds(
    make: Make, spool: Path, by_hand: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = make()
    rounds: list[int] = []
    monkeypatch.setattr(action._spool, "look_after", lambda: rounds.append(1))
    action.start()
    action.stop()
    wait_for(lambda: not action._spool._working)
    action.start()
    assert action._spool._working
    time.sleep(0.1)
    assert rounds == []
    assert kinds(spool) == ["start", "stop", "start"]


def test_a_changed_label_writes_a_stop_and_a_start(make: Make, spool: Path) -> None:
    action = make()
    action.start()
    action.reload(spool=str(spool), server="web1")
    action.reload(spool=str(spool), server="web2")
    assert [(line["kind"], line["server"]) for line in read(spool)] == [
        ("start", "web1"),
        ("stop", "web1"),
        ("start", "web2"),
    ]


def test_a_snapshot_follows_the_last_restored_ban(make: Make, spool: Path, hasty: None) -> None:
    jail = Jail()
    jail.actions.banManager = [Held("192.0.2.1"), Held("192.0.2.2", T0 + 0.6, -1, 1), Held('a"b\u00e9', bantime=9)]
    action = make(jail)
    action.start()
    action.ban(ticket(restored=1))
    wait_for(lambda: "held" in kinds(spool))
    began, restored, snapshot = read(spool)[:3]
    assert restored["seen"] < snapshot["as_of"] < snapshot["seen"]
    assert (snapshot["part"], snapshot["parts"]) == (0, 1)
    assert snapshot["bans"] == [["192.0.2.1", T0, 600, 2], ["192.0.2.2", T0 + 1, -1, 1], ['a"b\u00e9', T0, 9, 2]]
    assert began["seq"] + 2 == snapshot["seq"]
    time.sleep(0.2)
    assert kinds(spool).count("held") == 1
    jail.actions.bantime = -1  # fail2ban-client set JAIL bantime -1
    wait_for(lambda: kinds(spool).count("held") == 2)
    action.ban(ticket(restored=1))
    wait_for(lambda: kinds(spool).count("held") == 3)


def test_a_snapshot_waits_for_queued_tickets_and_skips_an_ending_jail(make: Make, spool: Path, hasty: None) -> None:
    jail: Any = Jail()
    jail.hasFailTickets = True
    action = make(jail)
    action.start()
    time.sleep(0.2)
    assert kinds(spool) == ["start"]
    jail.actions.active = False
    jail.hasFailTickets = False
    time.sleep(0.2)
    assert kinds(spool) == ["start"]


def test_the_parts_of_a_large_snapshot_are_valid_by_themselves(
    make: Make, spool: Path, hasty: None, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module.Snapshots, "PART_BYTES", 20_000)
    jail = Jail()
    names = [f"192.0.{n >> 8}.{n & 255}" for n in range(5000)] + ["x" * 3000]
    jail.actions.banManager = [Held(name) for name in names]
    make(jail).start()
    wait_for(lambda: "held" in kinds(spool) and read(spool)[-1]["part"] == read(spool)[-1]["parts"] - 1)
    parts = [line for line in read(spool) if line["kind"] == "held"]
    assert {len(json.dumps(part)) < 40_000 for part in parts} == {True}
    assert sorted(entry[0] for part in parts for entry in part["bans"]) == sorted(names)
    assert len({part["as_of"] for part in parts}) == 1
    for part in parts:
        assert {zlib.crc32(entry[0].encode()) % part["parts"] for entry in part["bans"]} <= {part["part"]}


def test_a_snapshot_waits_for_room(make: Make, spool: Path, hasty: None) -> None:
    action = make()
    action.start()
    for segment in spool.iterdir():
        segment.unlink()
    spool.rmdir()
    action.ban(ticket())
    assert held(action) == 1
    spool.mkdir()
    wait_for(lambda: "held" in kinds(spool))
    assert kinds(spool)[:2] == ["ban", "held"]


@pytest.fixture
def clock(by_hand: None, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds since boot, as a test sets them."""
    clock = [10_000.0]
    monkeypatch.setattr(module, "_since_boot", lambda: clock[0])
    return clock


def test_a_snapshot_leaves_the_room_for_bans_and_is_repeated(
    make: Make, spool: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.Snapshots, "PART_BANS", 40)
    jail = Jail()
    jail.actions.banManager = [Held(f"192.0.2.{n}") for n in range(100)]  # some 4,000 bytes, in three parts
    copies: list[float] = []
    copy = module.Snapshots._read

    def counted(*args: Any) -> Any:
        copies.append(clock[0])
        return copy(*args)

    monkeypatch.setattr(module.Snapshots, "_read", counted)
    action = make(jail, spool_max="40000")
    other = spool / "1600000000000-0badbad0-1.jsonl"  # of another writer
    other.write_bytes(b"x" * 33_000)
    action.start()
    for _ in range(12):  # a minute, and two minutes, after the first
        clock[0] += 15
        action._watch()
    assert copies == [10_030.0, 10_090.0, 10_150.0]
    assert kinds_of(spool, action) == ["start"]
    for number in range(12):
        action.ban(ticket(f"198.51.100.{number}"))  # there is as much room as before
    assert held(action) == 0
    other.unlink()
    clock[0] += 60
    action._watch()
    assert kinds_of(spool, action) == ["start"] + 12 * ["ban"] + 3 * ["held"]


def test_a_snapshot_waits_until_held_bans_are_written(
    make: Make, spool: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    jail = Jail()
    action = make(jail, spool_max="40000")
    action.start()
    jail.actions.banManager = [Held("192.0.2.1")]
    other = spool / "1600000000000-0badbad0-1.jsonl"  # of another writer
    other.write_bytes(b"x" * 40_000)
    action._spool._look_due = 0.0
    clock[0] += 30
    action.ban(ticket())
    assert held(action) == 1
    other.unlink()
    assert not action._spool.has_room(100)
    assert not action._spool.add_if_room("held", "")
    action._watch()
    assert kinds(spool) == ["start", "ban", "held"]


def kinds_of(spool: Path, action: Any) -> list[str]:
    """The same of the action's own segments."""
    writer = action._spool._segment.writer
    texts = [path.read_text() for path in sorted(spool.glob(f"*-{writer}-*.jsonl"))]
    return [json.loads(line)["kind"] for text in texts for line in text.splitlines()]


def test_a_ban_prolonged_without_a_call_writes_one_prolong(make: Make, spool: Path, clock: list[float]) -> None:
    jail = Jail()
    plain, restored, prolonged = Held("192.0.2.1"), Held("192.0.2.2", T0, 3600, 1), Held("192.0.2.3")
    jail.actions.banManager = [plain, restored, prolonged]
    action = make(jail)

    def rounds() -> list[tuple[object, ...]]:
        """What is written in a minute."""
        before = len(read(spool))
        for _ in range(12):
            clock[0] += 5
            action._watch()
        return [(line["kind"], line.get("fid"), line.get("bantime")) for line in read(spool)[before:]]

    action.start()
    plain.setBanTime(700)  # the snapshot that comes has it
    assert rounds() == [("held", None, None)]
    assert rounds() == []
    plain.setBanTime(900)
    restored.setBanTime(-1)
    prolonged.setBanTime(1200)
    action.prolong(ticket("192.0.2.3", bantime=1200))
    assert rounds() == [("prolong", "192.0.2.1", 900), ("prolong", "192.0.2.2", -1)]
    lines = [line for line in read(spool) if line["kind"] == "prolong"]
    assert [(line["fid"], line["bantime"]) for line in lines] == [
        ("192.0.2.3", 1200),
        ("192.0.2.1", 900),
        ("192.0.2.2", -1),
    ]
    assert (lines[2]["time"], lines[2]["failures"], lines[2]["bancount"]) == (T0, 5, 1)
    jail.actions.banManager = [plain, Held("192.0.2.4", bantime=5000)]  # banned, and prolonged at once
    assert rounds() == [("prolong", "192.0.2.4", 5000)]
    assert rounds() == []


def test_a_reported_prolong_with_a_fraction_is_written_once(make: Make, spool: Path, clock: list[float]) -> None:
    jail = Jail()
    longer: Any = Held("192.0.2.1")
    jail.actions.banManager = [longer]
    action = make(jail)
    action.start()
    clock[0] += 30
    action._watch()
    longer.setBanTime(700.5)
    action.prolong(ticket("192.0.2.1", bantime=700))
    for _ in range(12):
        clock[0] += 5
        action._watch()
    assert kinds(spool) == ["start", "held", "prolong"]


def test_memory_of_prolongs_is_bounded_without_snapshots(make: Make, monkeypatch: Any) -> None:
    monkeypatch.setattr(module.Snapshots, "TOLD_MAX", 10)
    action = make()
    for number in range(100):
        action.prolong(ticket(f"192.0.2.{number}"))
    assert len(action._snapshots._told) == 10


def test_the_end_of_a_restored_ban_causes_no_snapshot(make: Make, spool: Path, clock: list[float]) -> None:
    jail = Jail()
    action = make(jail)
    action.start()
    clock[0] += 30
    action._watch()
    action.unban(ticket(restored=1))
    for _ in range(12):
        clock[0] += 5
        action._watch()
    assert kinds(spool) == ["start", "held", "unban"]


@pytest.mark.parametrize("broken", [object(), [Held("x", float("nan"))], [object()]])
def test_an_invalid_list_of_bans_has_no_effect(
    make: Make, spool: Path, hasty: None, broken: Any, caplog: pytest.LogCaptureFixture
) -> None:
    jail = Jail()
    jail.actions.banManager = broken
    action = make(jail)
    action.start()
    time.sleep(0.2)
    action.ban(ticket())
    assert kinds(spool) == ["start", "ban"]
    assert len([one for one in caplog.records if "snapshot" in one.getMessage()]) == 1


def test_a_fail2ban_without_a_list_of_bans_is_logged_and_gets_no_snapshots(
    make: Make, spool: Path, hasty: None, caplog: pytest.LogCaptureFixture
) -> None:
    jail = Jail()
    del jail.actions.banManager
    make(jail).start()
    wait_for(lambda: "no snapshot" in caplog.text)
    time.sleep(0.1)
    assert kinds(spool) == ["start"]
    assert len(caplog.records) == 1


def test_a_failed_snapshot_is_repeated_soon(
    make: Make, spool: Path, hasty: None, caplog: pytest.LogCaptureFixture
) -> None:
    jail = Jail()
    jail.actions.banManager = [object()]
    make(jail).start()
    wait_for(lambda: "snapshot" in caplog.text)
    jail.actions.banManager = [Held("192.0.2.1")]
    wait_for(lambda: "held" in kinds(spool))


def test_a_ticket_that_fits_no_line_is_left_out_of_a_snapshot(make: Make, spool: Path, hasty: None) -> None:
    jail = Jail()
    jail.actions.banManager = [Held(""), Held("192.0.2.1", 0), Held("192.0.2.2", 1e12), Held("192.0.2.3", T0, 10**30)]
    make(jail).start()
    wait_for(lambda: "held" in kinds(spool))
    (line,) = [line for line in read(spool) if line["kind"] == "held"]
    assert line["bans"] == [["192.0.2.3", T0, 2**53 - 1, 2]]
    assert isinstance(decode(json.dumps(line).encode()), HeldLine)


def test_a_lasting_error_of_the_thread_is_logged_once(
    make: Make, spool: Path, hasty: None, caplog: pytest.LogCaptureFixture
) -> None:
    jail: Any = Jail()
    make(jail).start()
    wait_for(lambda: "held" in kinds(spool))
    jail.actions.getBanTime = None
    wait_for(lambda: "while checking the spool" in caplog.text)
    time.sleep(0.2)
    assert len(caplog.records) == 1


def test_an_old_segment_is_closed_for_the_reader(make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Spool, "RETRY_S", 0.01)
    monkeypatch.setattr(module.Spool, "OPEN_S", 0.3)
    action = make()
    action.start()
    action.ban(ticket())
    assert not free(spool)
    wait_for(lambda: free(spool))
    action.ban(ticket())
    assert len(list(spool.glob("*.jsonl"))) == 2


def free(spool: Path) -> bool:
    """Whether nobody holds the lock of a segment."""
    (path,) = spool.glob("*.jsonl")
    with path.open() as file, contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


@pytest.mark.parametrize("step", [-3600, -30, 30, 3600, 10 * 365 * 86_400])
def test_setting_the_clock_keeps_lines_in_order(
    make: Make, spool: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    offset = [0]
    real = time.time
    monkeypatch.setattr(module.time, "time", lambda: real() + offset[0])
    action = make()
    for number in range(6):
        offset[0] = step if 2 <= number < 4 else 0
        action.ban(ticket())
    lines = read(spool)
    orders = [float(line.get("at") or line["seen"]) for line in lines]
    assert orders == sorted(set(orders))
    assert orders[-1] - orders[0] < 5
    assert ["at" in line for line in lines] == [False, False, True, True, False, False] or step == -30 or step > 0
    assert abs(lines[2]["seen"] - lines[1]["seen"] - step) < 5
