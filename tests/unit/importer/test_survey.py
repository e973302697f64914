"""All sources of a server's past together."""

import errno
import gzip
import io
import json
import os
from itertools import permutations
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.importer.database import DatabaseRow
from banledger.importer.edges import Edges
from banledger.importer.past_ban import PastBan
from banledger.importer.paths import NamedFile
from banledger.importer.row_file import RowFile
from banledger.importer.sorted_events import SortedEvents
from banledger.importer.survey import Survey, _Reading, survey
from banledger.ledger.progress import silent
from tests.support.disk import fill
from tests.support.lines import T0
from tests.unit.importer.test_database import FOUR, database
from tests.unit.importer.test_journal import FIELDS, exported

UTC = ZoneInfo("UTC")
JOURNALCTL = Path(__file__).parent / "journalctl"
LOG = """\
2026-11-23 02:00:00,000 fail2ban.server         [4]: INFO    Starting Fail2ban v1.0.2
2026-11-23 02:13:20,100 fail2ban.filter         [4]: INFO    [sshd] Found 192.0.2.1 - 2026-11-23 02:13:19
2026-11-23 02:13:20,123 fail2ban.actions        [4]: NOTICE  [sshd] Ban 192.0.2.1
2026-11-23 02:13:21,123 fail2ban.actions        [4]: NOTICE  [web] Ban 192.0.2.1
2026-11-23 02:23:20,123 fail2ban.actions        [4]: NOTICE  [sshd] Unban 192.0.2.1
"""


def surveyed(*paths: Path | str) -> tuple[Survey, list[PastBan | DatabaseRow]]:
    taken: list[PastBan | DatabaseRow] = []
    found = survey([str(path) for path in paths], UTC, T0 + 86_400.0, taken.append, silent)
    return found, taken


@pytest.fixture
def mixture(tmp_path: Path) -> list[Path]:
    """A log cut in two, its second half compressed and repeated; a database; the journal; something else."""
    lines = LOG.splitlines(keepends=True)
    (tmp_path / "z").write_text("".join(lines[:2]))
    (tmp_path / "a").write_bytes(gzip.compress("".join(lines[2:]).encode()))
    (tmp_path / "b").write_text("".join(lines[3:]))
    database(tmp_path / "d", FOUR, ("sshd", "192.0.2.1", T0 - 1, 600, 2, None))
    (tmp_path / "j").write_bytes(exported(FIELDS) + exported(FIELDS | {"MESSAGE": "[web] Ban 192.0.2.3"}))
    (tmp_path / "x").write_text("something else\n")
    return sorted(tmp_path.iterdir())


def test_sources_of_all_kinds_tell_one_history(mixture: list[Path]) -> None:
    found, taken = surveyed(*mixture)

    assert sorted(one for one in taken if isinstance(one, PastBan)) == [
        PastBan(T0 + 0.123, "sshd", "192.0.2.1", T0 - 1, T0 + 600.123, failures=1, source=0),
        PastBan(T0 + 0.25, "web", "192.0.2.3", source=3),
        PastBan(T0 + 1.123, "web", "192.0.2.1", source=0),
    ]
    assert [one for one in taken if isinstance(one, DatabaseRow)] == [DatabaseRow(T0 - 1, "sshd", "192.0.2.1", 600, 2)]
    assert [source.kind for source in found.sources] == [
        "log of fail2ban",
        "log of fail2ban",
        "database of fail2ban, schema 4",
        "journal export of fail2ban",
        "log of fail2ban 1.0.2",
    ]
    assert [source.lines for source in found.sources] == [3, 2, 1, 2, 2]
    assert [(file.path, file.reason) for file in found.refused] == [
        (str(mixture[4]), "it is not a log or database of fail2ban")
    ]
    assert found.bans == 4


def test_the_order_of_paths_has_no_influence(mixture: list[Path]) -> None:
    first = surveyed(*mixture)
    for paths in [*permutations(mixture)][::97]:
        assert surveyed(*paths) == first


@given(st.permutations(LOG.splitlines(keepends=True)))
def test_the_order_of_lines_in_a_file_has_no_influence(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    path = tmp_path_factory.mktemp("x") / "log"
    path.write_text("".join(lines))
    bans = surveyed(path)[1]
    path.write_text(LOG)
    assert bans == surveyed(path)[1]


def test_syslog_without_fail2ban_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "syslog"
    path.write_text("Nov 23 02:13:20 web1 CRON[7]: (root) CMD\n" * 20_000)
    assert surveyed(path)[0].refused[0].reason == "it has no line of fail2ban"
    with path.open("a") as file:
        file.write("Nov 23 02:13:20 web1 fail2ban.actions[504]: NOTICE [sshd] Ban 192.0.2.1\n")
    found, taken = surveyed(path)
    assert found.refused == [] and len(taken) == 1


def test_a_log_without_bans_is_a_source(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(LOG.splitlines()[0].replace("Starting Fail2ban v1.0.2", "rollover performed") + "\n")
    found, taken = surveyed(path)
    assert (found.refused, found.sources[0].lines, taken) == ([], 1, [])


def test_a_cut_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress((LOG * 20_000).encode())[:-9])
    found, taken = surveyed(path)
    assert found.sources[0].trouble == "its gzip data is damaged or cut"
    assert len(taken) == 2


def test_json_of_the_journal_is_read(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_text(json.dumps(FIELDS) + "\n" + json.dumps(FIELDS | {"SYSLOG_IDENTIFIER": "x", "_SYSTEMD_UNIT": "y"}))
    found, taken = surveyed(path)
    assert taken == [PastBan(T0 + 0.25, "sshd", "192.0.2.1")]
    assert found.sources[0].lines == 2


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"__REALTIME_TIMESTAMP": "9" * 19}, {"its time is out of range": 1}),
        ({"__REALTIME_TIMESTAMP": "9" * 200}, {"its time is out of range": 1}),
        ({"__REALTIME_TIMESTAMP": "-5"}, {"its time is out of range": 1}),
        ({"__REALTIME_TIMESTAMP": "9" * 400}, {}),  # no number: it is no entry
        ({"MESSAGE": "[sshd] Found 192.0.2.1 - 2026-99-99 00:00:00"}, {"its time is invalid": 1}),
        ({"MESSAGE": "[sshd] Increase Ban 192.0.2.1 (2 # 20m -> 2026-02-30 00:00:00)"}, {"its time is invalid": 1}),
    ],
)
def test_an_entry_of_the_journal_with_an_impossible_time_is_left_out(
    tmp_path: Path, change: dict[str, str], refused: dict[str, int]
) -> None:
    as_json, as_export = tmp_path / "json", tmp_path / "export"
    as_json.write_text(json.dumps(FIELDS) + "\n" + json.dumps(FIELDS | change))
    as_export.write_bytes(exported(FIELDS) + exported(FIELDS | change))
    for path in (as_json, as_export):
        found, taken = surveyed(path)
        assert taken == [PastBan(T0 + 0.25, "sshd", "192.0.2.1")]
        assert (found.sources[0].lines, found.sources[0].refused) == (2, refused)


def test_a_database_may_have_a_name_of_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff%41?#\n")
    database(tmp_path / "x", FOUR, ("sshd", "192.0.2.1", T0, 600, 2, None)).rename(path)
    assert surveyed(path)[1] == [DatabaseRow(T0, "sshd", "192.0.2.1", 600, 2)]


def test_the_bans_of_a_damaged_database_are_counted_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    path = database(
        tmp_path / "x", FOUR, *(("sshd", f"10.0.{n >> 8}.{n & 255}", T0, 600, 1, None) for n in range(2000))
    )
    whole = bytearray(path.read_bytes())
    at = len(whole) // 2 // 4096 * 4096
    whole[at : at + 4096] = bytes(4096)
    path.write_bytes(whole)
    found, taken = surveyed(path)
    assert "malformed" in found.sources[0].trouble
    assert found.bans == found.sources[0].rows == len(taken) > 100


class Failing(io.FileIO):
    """A file on a disk that fails behind its beginning."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(size) or b""


def test_a_file_that_cannot_be_read_to_its_end_is_read_as_far_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("banledger.importer.content._open_regular", Failing)
    (tmp_path / "log").write_text(LOG)
    found, taken = surveyed(tmp_path / "log")
    assert found.sources[0].trouble == "it can't be read: Input/output error"
    assert found.bans == len(taken) == 2


def test_without_temporary_room_no_file_is_refused(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other lines would be lost without a word, if there is room again for those of the next file."""
    (tmp_path / "log").write_text(LOG)
    fill(small_disk / "filler")
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    with SortedEvents(in_memory=2) as events, RowFile() as rows, pytest.raises(OSError, match="No space"):
        _Reading(Survey(), events, rows, UTC, T0 + 86_400.0, silent, 0).read(NamedFile(str(tmp_path / "log")))


def test_lines_that_are_too_long_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(LOG + "x" * 3_000_000 + "\n" + LOG)
    found, _ = surveyed(path)
    assert found.sources[0].refused == {"it is too long": 1}


@pytest.mark.parametrize("form", sorted(path.name for path in JOURNALCTL.iterdir()))
def test_what_journalctl_writes_is_read(form: str) -> None:
    """What `journalctl -o` of systemd 252 wrote of one journal. Only some forms say which user sent a message."""
    found, taken = surveyed(JOURNALCTL / form)
    says_sender = form in ("export", "json")
    precise = form in ("export", "json", "short-iso-precise", "short-unix")
    tenths = {"first": 0.3, "other": 0.6, "unban": 0.4} if precise else {"first": 0.0, "other": 0.0, "unban": 0.0}
    assert [(one.jail, one.fid) for one in taken if one.fid == "192.0.2.66"] == [("sshd", "192.0.2.66")] * (
        not says_sender
    )
    assert sorted(one for one in taken if isinstance(one, PastBan) and one.fid != "192.0.2.66") == [
        PastBan(T0 + 1 + tenths["first"], "sshd", "192.0.2.1", T0, T0 + 601 + tenths["unban"], failures=1),
        PastBan(T0 + 2 + tenths["other"], "web-auth", "2001:db8::1"),
    ]
    assert found.sources[0].kind.endswith(" of fail2ban 1.0.2")
    assert (found.sources[0].lines, found.sources[0].failures) == (7, 2)


_CUT = "2026-11-23 02:13:25,123 fail2ban.actions        [4]: NOTICE  [sshd] Ban 192.0.2.4"  # perhaps of 192.0.2.45


@pytest.mark.parametrize("packed", [False, True])
def test_a_last_line_without_its_line_feed_is_left_out_with_its_reason(tmp_path: Path, packed: bool) -> None:
    text = (LOG + _CUT).encode()
    (tmp_path / "log").write_bytes(gzip.compress(text) if packed else text)
    found, taken = surveyed(tmp_path / "log")
    (source,) = found.sources
    assert len(taken) == found.bans == 2
    assert (source.lines, source.refused) == (6, {"its last line is not complete yet": 1})
    assert source.examples == {"its last line is not complete yet": _CUT}


def test_a_last_line_of_standard_input_without_its_line_feed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((LOG + _CUT).encode())))
    found, taken = surveyed("-")
    assert len(taken) == 2 and found.sources[0].refused == {"its last line is not complete yet": 1}


def test_files_without_their_last_line_feed_are_not_joined(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(LOG + _CUT)
    (tmp_path / "b").write_text(LOG.replace("192.0.2.1", "192.0.2.7"))
    _, taken = surveyed(tmp_path / "a", tmp_path / "b")
    assert sorted({ban.fid for ban in taken}) == ["192.0.2.1", "192.0.2.7"]


def test_a_log_of_one_line_that_is_not_complete_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(_CUT)
    found, taken = surveyed(tmp_path / "log")
    assert taken == [] and found.refused[0].reason == "it has no complete line of fail2ban"


def test_a_last_entry_of_json_that_is_whole_needs_no_line_feed(tmp_path: Path) -> None:
    text = "\n".join(json.dumps(FIELDS | {"MESSAGE": f"[sshd] Ban 192.0.2.{n}"}) for n in (1, 2))
    for cut, count in ((0, 2), (3, 1)):
        (tmp_path / "json").write_text(text[: len(text) - cut])
        found, taken = surveyed(tmp_path / "json")
        assert len(taken) == count and found.sources[0].lines == 2


def test_rows_come_only_after_everything_is_read(mixture: list[Path]) -> None:
    said: list[object] = []
    survey([str(path) for path in mixture], UTC, T0 + 86_400.0, said.append, silent, said.append)
    edges = said[0]
    assert isinstance(edges, Edges)
    assert {one.fid for one in edges.first} == {one.fid for one in edges.last} == {"192.0.2.1", "192.0.2.3"}
