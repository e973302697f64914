"""Bans of the past as lines that the recorder reads."""

import json

import pytest

from banledger.importer.database import DatabaseRow
from banledger.importer.past_ban import PastBan
from banledger.importer.past_lines import line_of_ban
from banledger.spool.events import BanLine, Event, Unknown, bears_label, decode
from tests.support.lines import T0


def decoded(ban: PastBan | DatabaseRow) -> Event | Unknown:
    return decode(json.dumps(line_of_ban(ban, "web1") | {"seq": 1}).encode())


def test_a_ban_of_a_log_names_the_moment_of_its_line() -> None:
    ban = PastBan(T0 + 1.1234567, "sshd", "192.0.2.1", T0, T0 + 600.5, -1, 2, 5, source=3)
    wanted = BanLine(
        v=1, seq=1, server="web1", jail="sshd", fid="192.0.2.1", origin="import", seen=T0 + 1.123457, time=T0,
        logged=T0 + 1.123457, found=T0, unbanned=T0 + 600.5, bantime=-1, bancount=2, failures=5,
    )  # fmt: skip
    assert decoded(ban) == wanted
    assert not bears_label(wanted)


def test_a_ban_without_a_failure_has_the_second_of_its_line() -> None:
    line = decoded(PastBan(T0 + 1.9, "sshd", "x"))
    assert isinstance(line, BanLine) and (line.time, line.found) == (T0 + 1, 0)


@pytest.mark.parametrize(("users", "read"), [(("root",), ("root",)), (("['pi', 'root']",), ("pi", "root")), ((), ())])
def test_a_row_of_a_database_is_like_any_ban(users: tuple[str, ...], read: tuple[str, ...]) -> None:
    line = decoded(DatabaseRow(T0, "sshd", "192.0.2.1", 600, 2, 5, users, ("a",)))
    assert isinstance(line, BanLine)
    assert (line.time, line.seen, line.bantime, line.bancount, line.failures) == (T0, T0, 600, 2, 5)
    assert (line.users, line.matches, line.logged, line.origin) == (read, ("a",), 0.0, "import")
