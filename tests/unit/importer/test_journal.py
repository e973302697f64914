"""The journal's exports, as text that journalctl writes."""

import json
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.importer.journal import Entry, export_entries, json_entries
from banledger.importer.refusal import SourceRefused
from tests.support.lines import T0

FIELDS = {
    "__CURSOR": "s=1;i=1",
    "__REALTIME_TIMESTAMP": str(T0 * 1_000_000 + 250_000),
    "PRIORITY": "5",
    "SYSLOG_IDENTIFIER": "fail2ban",
    "_UID": "0",
    "_SYSTEMD_UNIT": "fail2ban.service",
    "MESSAGE": "[sshd] Ban 192.0.2.1",
}
ENTRY = Entry(T0 + 0.25, b"[sshd] Ban 192.0.2.1")


def exported(fields: dict[str, str], binary: frozenset[str] = frozenset()) -> bytes:
    """One entry as `journalctl -o export` writes it."""
    out = b""
    for name, value in fields.items():
        raw = value.encode("utf-8", "surrogateescape")
        if name in binary or "\n" in value:
            out += name.encode() + b"\n" + struct.pack("<Q", len(raw)) + raw + b"\n"
        else:
            out += name.encode() + b"=" + raw + b"\n"
    return out + b"\n"


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@given(st.integers(1, 200), st.sets(st.sampled_from(sorted(FIELDS))))
def test_an_export_is_read_in_pieces_of_any_size(size: int, binary: set[str]) -> None:
    data = exported(FIELDS, frozenset(binary)) + exported(FIELDS | {"EXTRA": "a\nb" * 70}) + exported(FIELDS)
    assert list(export_entries(pieces(data, size))) == [ENTRY] * 3


def test_json_is_read_line_by_line() -> None:
    as_bytes = FIELDS | {"MESSAGE": list(FIELDS["MESSAGE"].encode()), "SYSLOG_IDENTIFIER": ["fail2ban", "x"]}
    text = "\n".join([json.dumps(FIELDS), "{", "", json.dumps(as_bytes), "[1]", json.dumps({"MESSAGE": "x"})])
    assert list(json_entries([text.encode()])) == [ENTRY, None, ENTRY, None, None]


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({}, True),
        ({"_SYSTEMD_UNIT": "ssh.service"}, True),  # root
        ({"_SYSTEMD_UNIT": "user@1000.service", "_UID": "1000"}, False),
        ({"SYSLOG_IDENTIFIER": "fail2ban.actions", "_SYSTEMD_UNIT": "x"}, True),
        ({"SYSLOG_IDENTIFIER": "sshd", "_SYSTEMD_UNIT": "ssh.service"}, False),
        ({"SYSLOG_IDENTIFIER": "python3"}, True),  # what the unit printed
        ({"_UID": "990"}, True),  # the unit's own user
        ({"__REALTIME_TIMESTAMP": "x"}, False),
    ],
)
def test_only_fail2bans_own_messages_are_taken(change: dict[str, str], taken: bool) -> None:
    wanted = [ENTRY if taken else None]
    assert list(export_entries(iter([exported(FIELDS | change)]))) == wanted
    assert list(json_entries([json.dumps(FIELDS | change).encode()])) == wanted


def test_a_cut_export_gives_what_was_whole() -> None:
    whole = exported(FIELDS, frozenset(["MESSAGE"]))
    for end in range(len(whole) + 1, len(whole) * 2 - 1):
        got = []
        try:
            got += list(export_entries(iter([(whole + whole)[:end]])))
        except SourceRefused as error:
            assert "cut" in str(error)
        assert got in ([], [ENTRY]) or len(got) == 2


@pytest.mark.parametrize(
    "noise", [b"x" * 200_000, b"MESSAGE\n" + b"\xff" * 8, b"MESSAGE\n" + struct.pack("<Q", 1 << 30)]
)
def test_what_is_no_export_is_refused(noise: bytes) -> None:
    with pytest.raises(SourceRefused):
        list(export_entries(pieces(exported(FIELDS) + noise, 1000)))


@given(st.binary(max_size=400))
def test_any_bytes_end_without_another_error(noise: bytes) -> None:
    list(json_entries([noise]))
    with suppress(SourceRefused):
        list(export_entries(iter([noise])))
