import csv as reader
import json as codec
import os
import shutil
import subprocess
import sys
import time
import unicodedata
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import to_builtins

import banledger
from banledger.geo.countries import NAMES, name_of
from banledger.ledger.ban import FIELDS, Ban
from banledger.ledger.opening import open_to_read
from banledger.ledger.reader import LedgerReader
from banledger.report import summary
from banledger.report.answers import Listed
from banledger.report.columns import dimensions
from banledger.report.formats import chart, listing, table
from banledger.report.formats.base import AnyAnswer, Presentation
from banledger.report.formats.csv import CsvFormat
from banledger.report.formats.escape import cell, visible
from banledger.report.formats.json import JsonFormat
from banledger.report.formats.moment import duration
from banledger.report.formats.screen import Screen
from banledger.report.query import Query, Span, question
from banledger.report.show import show
from banledger.report.walk import walk
from banledger.spool.writer import SegmentWriter
from tests.support.lines import T0, ban, gap
from tests.unit.report.conftest import Make, write

BERLIN = ZoneInfo("Europe/Berlin")
NOW = float(T0 + 3600)
VIEW = Presentation(BERLIN, NOW)
CSV, JSON = CsvFormat(), JsonFormat()
EVIL = "\x1b]0;owned\x07\u202e[red]=1\x9b31m\u200b\udc80"


def _object(answer: AnyAnswer) -> Any:
    (text,) = JSON.lines(answer, VIEW)
    return codec.loads(text)


def _evil(text: str) -> bool:
    return any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for char in text.replace("\n", ""))


def _tables(ledger: LedgerReader, asked: str, width: int = 100) -> str:
    out = StringIO()
    screen = Screen(out, width)
    query = Query()
    table.report(summary.report(ledger, query, NOW), screen)
    for dimension in dimensions():
        table.top(summary.top(ledger, dimension, query), VIEW, screen)
    table.top(summary.top(ledger, "ip", question(jail=(asked,), user=(asked,))), VIEW, screen)
    listing.bans(list(walk(ledger, query)), VIEW, screen)
    for what in (asked, "192.0.2.1"):
        listing.show(show(ledger, what, NOW), VIEW, screen)
    return out.getvalue()


@given(st.text(alphabet=st.characters(exclude_categories=())))
@example(EVIL)
def test_escaped_text_has_only_printable_characters(text: str) -> None:
    shown = visible(text)

    assert not _evil(shown) and "\n" not in shown
    shown.encode()


def test_escaped_text_keeps_readable_characters() -> None:
    assert visible("a\x1b[31m\u202eé\U000e0001\ud800") == "a\\x1b[31m\\u202eé\\U000e0001\\ud800"


_texts = st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=30).filter(lambda t: bool(t.strip()))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=_texts, jail=_texts, width=st.integers(60, 200))
@example(text=EVIL[:-1], jail="[bold]x[/bold] :smile:", width=60)
def test_no_table_lets_outside_text_steer_a_terminal(text: str, jail: str, width: int) -> None:
    with TemporaryDirectory() as folder:
        lines = [ban(text, jail=jail, users=(text,), matches=(text,), server=text), ban(jail=jail, users=(jail,))]
        write(Path(folder) / "l.db", [*lines, gap()])
        ledger = open_to_read(str(Path(folder) / "l.db"), "bans")
        try:
            printed = _tables(ledger, text, width)
        finally:
            ledger.close()

    assert not _evil(printed)


def test_markup_in_outside_text_is_printed_as_text(make: Make) -> None:
    printed = _tables(make([ban(users=("[red]x[/red]", ":smile:"))]), "x")

    assert "[red]x[/red]" in printed and ":smile:" in printed


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_tables_fit_the_screen(make: Make, width: int) -> None:
    lines = [ban(f"2001:db8::{n:x}", T0 - n * 9000, server=f"w{n % 3}", users=("u" * 90,)) for n in range(1, 300)]

    printed = _tables(make([*lines, gap()]), "x", width)

    assert max(map(len, printed.splitlines())) <= width
    assert not any(line != line.rstrip() for line in printed.splitlines())


def test_an_encoding_without_blocks_gets_ascii(make: Make) -> None:
    raw = TextIOWrapper(BytesIO(), encoding="ascii")  # raises on anything else
    ledger = make([ban(f"192.0.2.{n}", T0 - n * 9000) for n in range(1, 60)])

    table.report(summary.report(ledger, Query(), NOW), Screen(raw))
    listing.bans(list(walk(ledger, Query())), VIEW, Screen(raw))

    raw.flush()
    assert "#" in raw.buffer.getvalue().decode()


def test_a_report_has_its_span_and_country_names(make: Make) -> None:
    out = StringIO()
    ledger = make([ban("3.0.0.1"), ban("10.0.0.1"), gap(T0, bans=7)])

    table.report(summary.report(ledger, Query(Span("2026-11-22", "2026-11-23")), NOW), Screen(out))

    printed = out.getvalue()
    for text in ("from 2026-11-22 to 2026-11-23, 2 days (Europe/Berlin)", "2 bans of 2 addresses", "2 of all time"):
        assert text in printed
    assert "CN China" in printed or "DE Germany" in printed or "XX unknown" in printed
    assert "1 ban has no country: the address is private or special, or there is none." in printed
    assert "Lost: 7 bans" in printed


def test_a_chart_of_days_has_the_largest_number_of_addresses(make: Make) -> None:
    day = 86_400
    lines = [ban(f"192.0.2.{n % 2}", T0 - n) for n in range(5)] + [ban("192.0.2.9", T0 - 9 * day)]
    printed = _tables(make(lines), "x")
    assert "Bans per day   at most 2 addresses in one day, on 20" in printed
    one = _tables(make(lines[-1:]), "x")
    assert "Bans per day   at most 1 address in one day, on 20" in one


def test_the_report_of_an_empty_ledger_says_how_to_check_a_jail(make: Make) -> None:
    for lines, said in (
        ([], "A jail is recorded if `fail2ban-client get JAIL actions`"),
        ([ban()], "No bans in this "),
    ):
        out = StringIO()
        query = Query(Span("2020-01-01", "2020-01-02"))
        table.report(summary.report(make(lines), query, NOW), Screen(out))
        assert said in out.getvalue()


def test_show_reports_an_address_without_bans(make: Make) -> None:
    out = StringIO()

    listing.show(show(make([ban()]), "9.9.9.9", NOW), VIEW, Screen(out))

    assert out.getvalue() == "The ledger has no bans of 9.9.9.9.\n"


@pytest.mark.parametrize("start", list("=+-@\t\r"))
def test_csv_cells_are_not_formulas(start: str) -> None:
    assert cell(f"{start}cmd()").startswith("'")


def test_csv_can_be_read_back(make: Make) -> None:
    ledger = make([ban("=cmd()", users=("a,b", "-c"), matches=('say "x"', "two")), ban("3.0.0.1")])

    rows = list(reader.DictReader(CSV.lines(Listed(walk(ledger, Query())), VIEW)))

    assert {row["fid"] for row in rows} == {"'=cmd()", "3.0.0.1"}
    (odd,) = (row for row in rows if row["ip"] == "")
    assert odd["users"] == "'-c a,b" and odd["matches"] == 'say "x"\\x0atwo' and odd["time"] == str(T0)
    report = list(reader.reader(CSV.lines(summary.report(ledger, Query(), NOW), VIEW)))
    assert {len(row) for row in report} == {4}
    assert next(iter(CSV.lines(summary.top(ledger, "country", Query()), VIEW))) == "country,name,bans"


def test_json_is_ascii_and_whole(make: Make) -> None:
    ledger = make([ban("\x1bé", users=("\u202e",), bantime=-1)])

    (line,) = JSON.lines(Listed(walk(ledger, Query())), VIEW)
    one = codec.loads(line)

    assert line.isascii() and line.isprintable()
    assert one["fid"] == "\x1bé" and one["ip"] is None and one["expires"] is None and one["unbanned"] is None
    assert one["time"] == T0 and one["time_iso"] == "2026-11-23T03:13:20+01:00" and one["state"] == "banned for ever"
    answer = _object(summary.report(ledger, Query(), NOW))
    assert answer["total"] == 1 and answer["days"] == [{"day": "2026-11-23", "bans": 1, "offenders": 0}]
    assert _object(summary.top(ledger, "id", Query()))["rows"] == [{"name": "\x1bé", "bans": 1}]
    assert _object(show(ledger, "\x1bé", NOW))["total"] == 1


def test_columns_and_bars_show_small_values() -> None:
    assert chart.bar(0.00001, 10, chart.UNICODE) == "▏"
    assert chart.bar(1, 3, chart.ASCII) == "###"
    assert chart.columns([0, 1, 1000], 2, 1, chart.UNICODE) == ["  █", " ▁█"]
    assert chart.bundled([1] * 10, 4) == ([3, 3, 3, 1], 3)
    assert chart.strip([0, 4], 2, chart.UNICODE) == "  ██"


def test_durations_are_short() -> None:
    assert [duration(s) for s in (-1, 0, 600, 5400, 604_800)] == ["for ever", "0s", "10m", "1h 30m", "7d"]


def test_country_names_are_plain() -> None:
    assert len(NAMES) > 249 and all(len(code) == 2 and name.isascii() for code, name in NAMES.items())
    assert (name_of("CN"), name_of("XX"), name_of("Q9")) == ("China", "unknown", "Q9")


def test_json_and_csv_have_the_same_columns_of_a_ban(make: Make) -> None:
    ledger = make([ban("4.0.0.1", users=("root",))])

    (one,) = (codec.loads(line) for line in JSON.lines(Listed(walk(ledger, Query())), VIEW))
    (row,) = reader.DictReader(CSV.lines(Listed(walk(ledger, Query())), VIEW))

    assert list(row) == list(one) and {"whois", "located_from", "network", "state"} <= row.keys()
    assert (row["whois"], row["located_from"]) == (one["whois"], one["located_from"]) == ("proven", "mine")


class _Noted(Ban, frozen=True, gc=False):
    """A ban with a field more."""

    note: str | None = None


def test_a_new_field_of_the_ledgers_table_is_in_json_and_csv(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FIELDS, "note", "what somebody said of it")
    (one,) = walk(make([ban()]), Query())
    noted = _Noted(**{name: getattr(one, name) for name in one.__struct_fields__}, note="=x")

    (line,) = JSON.lines(Listed([noted]), VIEW)
    (row,) = reader.DictReader(CSV.lines(Listed([noted]), VIEW))

    assert codec.loads(line)["note"] == "=x" and row["note"] == "'=x"


_FIELD = '    note: Annotated[str, Field(TEXT, "what was noted")] = "strange"\n'
_ROW = """\
        Dimension("note", "note", attrgetter("note"), filter=Filter("WORD", "Bans with this note."), encoded=True),
"""


def test_a_field_and_a_dimension_are_everywhere_once_the_ledgers_tables_have_them(tmp_path: Path) -> None:
    """The package is copied, and gets two lines."""
    package = Path(banledger.__file__).parent
    shutil.copytree(package, tmp_path / "banledger", ignore=shutil.ignore_patterns("__pycache__"))
    _insert(tmp_path / "banledger/ledger/ban.py", _FIELD, before="    prolonged: Annotated[")
    _insert(tmp_path / "banledger/ledger/dimensions.py", _ROW, before='        Dimension("id", ')
    with SegmentWriter(tmp_path) as writer:
        writer.write(to_builtins(ban("8.8.8.8", time=time.time())))

    def python(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "BANLEDGER_STORE": str(tmp_path / "ledger.db")}
        command = [sys.executable, *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout

    def run(*words: str) -> str:
        return python("-m", "banledger", *words)

    keyspace = python(str(package.parents[1] / "tools/keyspace_doc.py"))
    assert "| `note` | what was noted |" in keyspace and "| `bans:note:<value>` | set | ids by note |" in keyspace

    run("record", "--once", "--spool", str(tmp_path))
    (id_,) = run("kv", "SMEMBERS", "bans:note:strange").split()
    assert run("kv", "HGET", f"bans:{{{id_[:4]}}}:ban:{id_}", "note") == "strange\n"
    assert run("kv", "ZSCORE", "bans:top:note", "strange") == "1\n"
    (tally,) = run("kv", "KEYS", "bans:*:count:*:note").split()
    assert run("kv", "ZSCORE", tally, "strange") == "1\n"

    assert "--note WORD" in run("bans", "--help") and "Bans with this note." in run("bans", "--help")
    assert " note," in run("top", "--help")
    assert run("top", "note", "--csv") == run("top", "note", "--note", "strange", "--csv") == "note,bans\nstrange,1\n"
    (one,) = run("bans", "--note", "strange", "--json").splitlines()
    (row,) = reader.DictReader(run("bans", "--csv").splitlines())
    assert (codec.loads(one)["note"], row["note"]) == ("strange", "strange")
    assert run("bans", "--note", "other", "--json") == ""

    assert "Notes" in run("report") and "note,strange,1," in run("report", "--csv")
    report = codec.loads(run("report", "--json", "--note", "strange"))
    assert report["notes"] == [{"name": "strange", "bans": 1}] and report["query"]["filters"] == {"note": ["strange"]}


def _insert(path: Path, line: str, before: str) -> None:
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, line + before))
