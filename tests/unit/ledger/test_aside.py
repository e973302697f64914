"""Lines about a ban whose hash is damaged are set aside, and recorded when it is mended."""

import pytest

from banledger.ledger.aside import line_of, text_of
from banledger.ledger.keys import Keyspace
from banledger.stores.fields import Damaged
from tests.support.lines import ban, ended_ticket, held_ticket, prolong, unban


@pytest.mark.parametrize(
    "line", [ban(users=("é\x1b",), at=7.5, writer="w"), prolong(), unban(), held_ticket(), ended_ticket()]
)
def test_a_line_set_aside_round_trips(line: object) -> None:
    text = text_of(line)  # type: ignore[arg-type]
    assert text.isascii() and text.isprintable()
    assert line_of(text) == line


@pytest.mark.parametrize("text", ["", "{", "\x1b[31m", '{"kind":"ban"}', "[" * 100_000])
def test_invalid_text_is_not_a_line(text: str) -> None:
    assert line_of(text) is None


def test_damage_names_the_field_without_its_value() -> None:
    keys = Keyspace("bans")
    with pytest.raises(Damaged, match=r"^failures is not a whole number") as caught:
        keys.entries_of(keys.ban("26112307t0a54g3thx7a"), {**HASH, "failures": "\x1b[31m"})
    assert "\x1b" not in str(caught.value)


HASH = {
    "server": "web1", "jail": "sshd", "ip": "192.0.2.1", "scope": "public", "time": "1795400000",
    "day": "2026-11-23", "hour": "3", "origin": "live", "seen": "1795400001.000000", "failures": "5",
    "bantime": "600", "bancount": "1", "expires": "1795400600",
}  # fmt: skip
