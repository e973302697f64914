"""The predecessor's keys into lines of the spool."""

import json
import os
import pickle
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.importer.predecessor import OldCommand, Summary, ban_line, import_bans, import_networks
from banledger.ledger.network_line import of_line
from banledger.ledger.progress import silent
from banledger.spool.events import BanLine, NetworkLine, decode
from tests.support.lines import T0
from tests.unit.importer.test_networks import FOUND

BAN = {b"jail": b"sshd", b"ip": b"192.0.2.1", b"country": b"CN", b"timestamp": str(T0).encode()}


class FakeStore:
    """Answers as redis-py does, in pages of three keys."""

    def __init__(self, contents: dict[str, object]) -> None:
        self.contents = {key.encode(): value for key, value in contents.items()}

    def scan(self, cursor: int, match: str, count: int) -> tuple[int, list[bytes]]:
        found = sorted(key for key in self.contents if fnmatchcase(key.decode(), match))
        page = found[cursor : cursor + 3]
        return (cursor + 3 if cursor + 3 < len(found) else 0), page

    def ask(self, commands: Sequence[OldCommand]) -> list[Any]:
        return [getattr(self, str(name).lower())(*words) for name, *words in commands]

    def type(self, key: bytes) -> bytes:
        return _TYPES[type(self.contents[key])]

    def hstrlen(self, key: bytes, name: bytes) -> int:
        return len(self.contents[key].get(name, b""))  # type: ignore[attr-defined]

    def hget(self, key: bytes, name: bytes) -> bytes | None:
        return self.contents[key].get(name)  # type: ignore[attr-defined,no-any-return]

    def getrange(self, key: bytes, start: int, end: int) -> bytes:
        return self.contents[key][start : end + 1]  # type: ignore[index,no-any-return]


_TYPES: dict[type, bytes] = {dict: b"hash", set: b"set", list: b"list", bytes: b"string", tuple: b"odd\x1b[31m"}
NOW = T0 + 86_400.0


def imported(contents: dict[str, object]) -> tuple[list[dict[str, Any]], Summary]:
    lines: list[dict[str, Any]] = []
    summary = Summary()
    import_bans(FakeStore(contents), "web1", lines.append, summary, silent, NOW)
    return lines, summary


def test_hashes_become_lines_and_sets_are_skipped() -> None:
    lines, summary = imported(
        {
            "f2b:0123456789": BAN,
            "f2b:postfixsas": {b"0123456789"},  # a jail whose name looks like an id
            "f2b:CN": {b"0123456789"},
            "f2b:2026-11-23": {b"0123456789"},
            "f2b:192.0.2.1": {b"0123456789"},
        }
    )
    assert lines == [
        {
            "v": 1,
            "kind": "ban",
            "seen": float(T0),
            "server": "web1",
            "jail": "sshd",
            "fid": "192.0.2.1",
            "time": float(T0),
            "origin": "import",
            "country": "CN",
        }
    ]
    assert (summary.found, summary.written, summary.without_country) == (1, 1, 0)


def test_all_pages_are_read() -> None:
    lines, summary = imported({f"f2b:{n:010d}": BAN | {b"timestamp": str(T0 + n).encode()} for n in range(100)})
    assert len({line["time"] for line in lines}) == summary.written == 100


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({b"jail": b""}, "it has no jail"),
        ({b"ip": b"host.example"}, "its ip is not an address"),
        ({b"ip": b"\xff"}, "its ip is not UTF-8"),
        ({b"ip": b"1" * 257}, "its ip is too long"),
        ({b"jail": b"j" * 5_000_000}, "its jail is too long"),
        ({b"jail": b"ssh\xffd"}, "its jail is not UTF-8"),
        ({b"jail": b"\x1b[31mssh"}, "its jail has characters that can't be printed"),
        ({b"jail": "ssh\u202ed".encode()}, "its jail has characters that can't be printed"),
        ({b"timestamp": b"9" * 65}, "its timestamp is too long"),
        ({b"timestamp": b"9" * 64}, "its timestamp is more than a year ahead"),
        ({b"timestamp": str(T0 + 400 * 86_400).encode()}, "its timestamp is more than a year ahead"),
        ({b"timestamp": b"0"}, "its timestamp is out of range"),
        ({b"timestamp": b"[1]"}, "its timestamp is not a number"),
        ({b"timestamp": b""}, "its timestamp is not a number"),
        ({b"timestamp": b"today"}, "its timestamp is not a number"),
        ({b"timestamp": b"nan"}, "its timestamp is out of range"),
        ({b"timestamp": b"-5"}, "its timestamp is out of range"),
        ({b"timestamp": b"1e300"}, "its timestamp is more than a year ahead"),
    ],
)
def test_invalid_bans_are_skipped_and_counted(fields: dict[bytes, bytes], reason: str) -> None:
    lines, summary = imported({"f2b:0123456789": BAN | fields, "f2b:abcdefghij": BAN})
    assert (len(lines), summary.found, dict(summary.skipped)) == (1, 2, {reason: 1})


@pytest.mark.parametrize(
    "country",
    [b"", b"XX", b"EU", b"AP", b"ZZ", b"UK", b"A1", b"XK", b"C", b"C" * 1000, b"CHN", b"4D", b"\xc3\xa9e", b"A:"],
)
def test_an_invalid_country_is_left_out(country: bytes) -> None:
    lines, summary = imported({"f2b:0123456789": BAN | {b"country": country}})
    assert "country" not in lines[0]
    assert summary.without_country == 1


@pytest.mark.parametrize("missing", [b"jail", b"ip", b"timestamp"])
def test_a_hash_without_a_field_is_skipped(missing: bytes) -> None:
    lines, summary = imported({"f2b:0123456789": {name: value for name, value in BAN.items() if name != missing}})
    assert (lines, sum(summary.skipped.values())) == ([], 1)


def test_keys_of_a_wrong_type_are_counted_by_type_and_do_not_stop_the_import() -> None:
    lines, summary = imported(
        {"f2b:0000000000": [b"x"], "f2b:0000000001": b"x", "f2b:0000000002": (b"x",), "f2b:0123456789": BAN}
    )
    assert len(lines) == 1
    assert summary.skipped == {"its key holds a list": 1, "its key holds a string": 1, "its key holds another type": 1}


def test_the_number_of_reasons_is_bounded() -> None:
    source = FakeStore({f"cidr:{n}": b"\x80\x02cos\nsystem%d\n." % n for n in range(500)})
    summary = Summary()
    import_networks(source, "web1", lambda _: None, summary, silent, NOW)
    assert sum(summary.refused.values()) == 500
    assert len(summary.refused) <= 101


_bytes = st.binary(max_size=12) | st.sampled_from([b"sshd", b"192.0.2.1", b"::1", b"CN", b"1700000000", b"inf"])


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(BAN, _bytes)))
def test_any_hash_is_refused_or_becomes_a_valid_line(fields: dict[bytes, bytes]) -> None:
    try:
        line = ban_line(fields, "web1", NOW)
    except ValueError:
        return
    event = decode(json.dumps(line | {"seq": 1}).encode())
    assert isinstance(event, BanLine) and event.origin == "import"
    assert event.jail.isprintable() and 1 <= event.time < NOW + 367 * 86_400


_values = st.dictionaries(
    st.sampled_from([*BAN, b"other"]), _bytes | st.binary(min_size=5000, max_size=5000)
) | st.one_of(st.binary(), st.just({b"x"}), st.just([b"x"]), st.just((b"x",)))


@given(st.dictionaries(st.from_regex("f2b:[0-9a-z]{10}", fullmatch=True), _values, max_size=8))
def test_every_key_is_imported_or_counted(contents: dict[str, object]) -> None:
    lines, summary = imported(contents)
    sets = sum(isinstance(value, set) for value in contents.values())
    assert len(lines) + sum(summary.skipped.values()) == len(contents) - sets


def test_networks_are_imported_and_hostile_ones_are_refused_with_a_reason() -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, ("false",)

    summary = Summary()
    source = FakeStore(
        {
            "cidr:192.0.2.0/24": pickle.dumps(FOUND),
            "cidr:198.51.100.0/24": pickle.dumps(Hostile()),
            "cidr:203.0.113.0/24": b"no pickle",
            "cidr:set": {b"x"},
        }
    )
    lines: list[dict[str, Any]] = []
    import_networks(source, "web1", lines.append, summary, silent, NOW)
    event = decode(json.dumps(lines[0] | {"seq": 1}).encode())
    assert isinstance(event, NetworkLine)
    network, cells = of_line(event)
    assert (network.cidrs, network.asn, summary.networks) == (("192.0.2.0/24",), 64496, 1)
    assert [(cell.cidr, cell.asked) for cell in cells] == [("192.0.2.0/24", T0)]
    assert sum(summary.refused.values()) == 3
    assert summary.refused["its key holds a set"] == 1
    assert any("asks for posix.system" in reason for reason in summary.refused)
