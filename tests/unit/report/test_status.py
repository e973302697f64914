"""The status of a ledger: what is wrong, the screen, and the line for monitoring."""

from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from banledger.ledger.gap import Gap
from banledger.ledger.heartbeat import Heartbeat, HeldLabel, RegistryTrouble
from banledger.ledger.recorder_health import healths
from banledger.ledger.source import RUNNING, STOPPED, Source
from banledger.ledger.writer import open_to_write
from banledger.report.formats.base import Presentation
from banledger.report.formats.escape import visible
from banledger.report.formats.screen import Screen
from banledger.report.formats.status import check_line, failed_line, status, status_object
from banledger.report.status import AgeLimits, LedgerStatus, Level, UnrecordedJail, alarm, judged
from banledger.report.status import status as ask
from banledger.stores.api import StoreDetails
from tests.support.lines import ban, nowhere

NOW = 1_795_442_400.0  # 2026-11-23 14:00 UTC
HOUR_S = 3600.0
FILE = StoreDetails("/var/lib/banledger/ledger.db", "SQLite 3.40.1", 361_234_567, of_server=False, clock=NOW)
SERVER = StoreDetails("redis://db.example.org", "Valkey 9.0.1", 1_712_345_678, of_server=True, clock=NOW)
VIEW = Presentation(ZoneInfo("UTC"), NOW)
EVIL = "\x1b]0;owned\x07|\n\u202e"


def beat(**fields: Any) -> Heartbeat:
    made: dict[str, Any] = {
        "written": NOW - 5, "since": NOW - 76 * HOUR_S, "host": "web1", "pid": 7, "version": "1", "id": "0123456789ab",
        "labels": ("web1",), "last_id": "x", "last_ban": NOW - 130, "last_recorded": NOW - 129.9, "delay_s": 0.14,
        "whois": "asks",
    }  # fmt: skip
    return Heartbeat(**made | fields)


def found(*beats: Heartbeat, **fields: Any) -> LedgerStatus:
    made: dict[str, Any] = {
        "store": FILE, "now": NOW, "bans": 1_012_345, "in_force": 312, "recorders": tuple(healths(beats, NOW)),
        "sources": (Source("web1", "sshd", RUNNING), Source("web1", "nginx", STOPPED)),
        "waiting": 3, "gaps": (), "aside": 0,
    }  # fmt: skip
    return judged(LedgerStatus(**made | fields))


def screen(answer: LedgerStatus, width: int = 80) -> str:
    raw = BytesIO()
    out = TextIOWrapper(raw, "utf-8")
    status(answer, VIEW, Screen(out, width))
    out.flush()
    return raw.getvalue().decode()


def wrong(answer: LedgerStatus) -> list[tuple[Level, str]]:
    return [(one.level, one.what) for one in answer.findings]


def test_the_screen_of_one_recorder() -> None:
    assert screen(found(beat())) == (
        "Recording · last ban 2 min ago\n"
        "Ledger /var/lib/banledger/ledger.db\n"
        "1,012,345 bans · 312 in force now · 361 MB (SQLite 3.40.1)\n"
        "\n"
        "recorder  state      since              last ban  delay  waiting\n"
        "web1      recording  2026-11-20 10:00  2 min ago  0.1 s        0\n"
        "\n"
        "jails      1 recorded, 1 stopped\n"
        "whois      3 bans wait\n"
        "lost       nothing in the last week\n"
        "set aside  nothing\n"
        "\n"
        "Nothing is wrong.\n"
    )


def test_the_screen_of_a_fleet_with_trouble() -> None:
    answer = found(
        beat(),
        beat(host="web2", id="1" * 12, labels=("web2",), written=NOW - 3 * HOUR_S, stopped=NOW - 3 * HOUR_S),
        beat(
            host="web3", id="2" * 12, labels=("web3",), waiting=1234, oldest_s=700.0, last_ban=0.0, delay_s=None,
            registries=(RegistryTrouble("lacnic", "rate limited, for 600 s", NOW - 2 * HOUR_S),), rejected=2,
        ),
        store=SERVER,
        gaps=(Gap("web3", "sshd", NOW - 600, NOW - 500, 4, 1, "the disk is full"),),
        unrecorded=(UnrecordedJail("postfix", 12, 40),),
    )  # fmt: skip
    assert screen(answer) == (
        "Recording on 2 of 3 · last ban 2 min ago\n"
        "Ledger redis://db.example.org\n"
        "1,012,345 bans · 312 in force now · Valkey 9.0.1 (the whole server uses 1.7 GB)\n"
        "\n"
        "recorder  state      since              last ban  delay  waiting\n"
        "web2      stopped    2026-11-23 11:00  2 min ago  0.1 s        ?\n"
        "web3      recording  2026-11-20 10:00          ?           1,234\n"
        "web1      recording  2026-11-20 10:00  2 min ago  0.1 s        0\n"
        "\n"
        "jails      1 recorded, 1 stopped; not recorded: postfix (12 banned now, 40 since\n"
        "           fail2ban started)\n"
        "whois      3 bans wait; lacnic: rate limited, for 600 s, since 2026-11-23 12:00\n"
        "lost       4 bans and 1 other event in the last week\n"
        "set aside  2 invalid lines (rejected, in the spool)\n"
        "\n"
        "Critical: recording stopped 3 h ago on web2\n"
        "Warning: about 1,234 lines wait in the spool on web3, the oldest for 11 min\n"
        "Warning: whois gets no answers from lacnic: rate limited, for 600 s, for 1 h\n"
        "Warning: 4 bans and 1 other event could not be recorded in the last day\n"
        "Warning: not recorded: postfix (banledger setup)\n"
    )


def test_no_line_is_wider_than_the_screen() -> None:
    answer = found(beat(host="x" * 200), beat(host="y" * 90, id="1" * 12, waits="z" * 200, waits_since=NOW - 60))
    assert max(len(line) for line in screen(answer).splitlines()) <= 80


def test_nothing_of_outside_is_printed_raw() -> None:
    answer = found(
        beat(host=EVIL, waits=EVIL, waits_since=NOW - HOUR_S, labels=(EVIL,)),
        beat(host=EVIL, id="1" * 12, held=(HeldLabel(EVIL, EVIL),), registries=(RegistryTrouble(EVIL, EVIL, 1.0),),
             whois_trouble=EVIL, oldest_s=9e9),
        store=StoreDetails(EVIL, EVIL, 1, of_server=True, clock=None),
        unrecorded=(UnrecordedJail(EVIL, 1, 1),),
    )  # fmt: skip
    for text in (screen(answer), check_line(answer), failed_line(Level.CRITICAL, EVIL)):
        assert text.replace("\n", "").isprintable()
    assert check_line(answer).count("|") == 1
    assert "|" not in failed_line(Level.CRITICAL, EVIL)
    assert "\n" not in check_line(answer)


def test_without_a_heartbeat_nothing_is_known() -> None:
    answer = found()
    assert (answer.level, screen(answer).splitlines()[0]) == (Level.UNKNOWN, "Unknown whether bans are recorded")


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({}, Level.OK),
        ({"stopped": NOW - 10, "written": NOW - 10}, Level.WARNING),
        ({"stopped": NOW - 310, "written": NOW - 310}, Level.CRITICAL),
        ({"written": NOW - 130}, Level.WARNING),
        ({"written": NOW - 310}, Level.CRITICAL),
        ({"waits": "no spool", "waits_since": NOW - 400}, Level.WARNING),
        ({"waits": "no spool", "waits_since": NOW - 3700}, Level.CRITICAL),
        ({"oldest_s": 299.0}, Level.OK),
        ({"oldest_s": 301.0}, Level.WARNING),
        ({"oldest_s": 3601.0}, Level.CRITICAL),
        ({"held": (HeldLabel("web1", "belongs to another"),)}, Level.WARNING),
        ({"held": (HeldLabel("web1", "belongs to another"),), "oldest_s": 3601.0}, Level.CRITICAL),
        ({"registries": (RegistryTrouble("arin", "down", NOW - 60),)}, Level.OK),
        ({"registries": (RegistryTrouble("arin", "down", NOW - 3700),)}, Level.WARNING),
        ({"whois_trouble": "full"}, Level.WARNING),
        ({"written": NOW + HOUR_S}, Level.WARNING),
        ({"rejected": 5}, Level.OK),
    ],
)
def test_the_level_of_a_recorder(fields: dict[str, Any], level: Level) -> None:
    assert found(beat(**fields)).level is level


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({"aside": 1}, Level.WARNING),
        ({"gaps": (Gap("web1", "sshd", NOW - 60, NOW - 50, 1, 0, "full"),)}, Level.WARNING),
        ({"gaps": (Gap("web1", "sshd", NOW - 3e5, NOW - 2e5, 1, 0, "full"),)}, Level.OK),
        ({"unrecorded": ()}, Level.OK),
        ({"unrecorded": (UnrecordedJail("sshd", 1, 1),)}, Level.WARNING),
    ],
)
def test_the_level_of_a_ledger(fields: dict[str, Any], level: Level) -> None:
    assert found(beat(), **fields).level is level


def test_limits_can_be_chosen() -> None:
    limits = AgeLimits(10.0, 20.0)
    assert found(beat(oldest_s=15.0), limits=limits).level is Level.WARNING
    assert found(beat(oldest_s=25.0), limits=limits).level is Level.CRITICAL


def test_the_line_for_monitoring() -> None:
    assert check_line(found(beat())) == (
        "BANLEDGER OK - recording on web1, last ban 2 min ago | oldest=0s;300;3600;0 waiting=0;;;0 delay=0.140s;;;0"
        " bans=1012345c in_force=312;;;0 whois=3;;;0 recorders=1;;;0"
    )


def test_json_has_every_field_of_a_heartbeat() -> None:
    answer = status_object(found(beat()))
    assert set(Heartbeat.__struct_fields__) <= answer["recorders"][0].keys()
    assert (answer["state"], answer["wrong"]) == ("ok", [])


def test_a_ledger_is_asked(tmp_path: Path) -> None:
    ledger = open_to_write(str(tmp_path / "ledger.db"), "bans", "UTC")
    ledger.beat(beat())
    answer = judged(ask(ledger, NOW))
    assert (answer.level, answer.bans, answer.store.where) == (Level.OK, 0, str(tmp_path / "ledger.db"))
    assert alarm(ledger, NOW + 100) == ""
    ledger.close()


def test_what_no_heartbeat_tells_is_what_the_ledger_knows(tmp_path: Path) -> None:
    ledger = open_to_write(str(tmp_path / "ledger.db"), "bans", "UTC")
    ledger.beat(beat(last_ban=0.0, last_id=""))
    ledger.record([ban("192.0.2.1", time=int(NOW) - 60), ban("192.0.2.2", time=int(NOW) - 9)], nowhere)
    answer = judged(ask(ledger, NOW))
    assert answer.newest == NOW - 9
    assert screen(answer).startswith("Recording · last ban 9 s ago\n")
    assert "last ban 9 s ago |" in check_line(answer)
    ledger.beat(beat(last_ban=NOW - 40))
    assert screen(judged(ask(ledger, NOW))).startswith("Recording · last ban 40 s ago\n")
    ledger.close()


def test_of_several_recorders_the_ledger_knows_no_last_ban() -> None:
    answer = found(beat(last_ban=0.0), beat(id="1" * 12, last_ban=0.0), newest=NOW - 9)
    assert [line.split()[4] for line in screen(answer).splitlines() if line.startswith("web1")] == ["?", "?"]
    assert screen(answer).startswith("Recording · last ban 9 s ago\n")


def test_what_waits_is_unknown_where_the_spool_was_not_seen() -> None:
    answer = found(beat(waiting=5, unseen=True))
    assert " ?\n" in screen(answer)
    assert " waiting=U;;;0 " in check_line(answer)


def test_settings_of_the_store_are_told_once_for_all_recorders() -> None:
    evil, gone = f"the store may evict keys {EVIL}", beat(id="2" * 12, cautions=("gone",), written=NOW - 9999)
    answer = found(beat(cautions=(evil,)), beat(id="1" * 12, cautions=(evil,)), gone)
    assert wrong(answer) == [(Level.WARNING, visible(evil))]
    assert check_line(answer).count("|") == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"stopped": NOW - 3 * HOUR_S, "written": NOW - 3 * HOUR_S}, "recording stopped 3 h ago on web1"),
        ({"stopped": NOW - 200, "written": NOW - 200}, ""),
        ({"waits": "no spool", "waits_since": NOW - HOUR_S}, "recording waits on web1 for 1 h: no spool"),
        ({"oldest_s": 700.0, "waiting": 1}, "about 1 line waits in the spool on web1, not recorded yet"),
    ],
)
def test_a_report_warns_in_one_line(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    ledger = open_to_write(str(tmp_path / "ledger.db"), "bans", "UTC")
    ledger.beat(beat(**fields))
    assert alarm(ledger, NOW) == said
    ledger.close()
