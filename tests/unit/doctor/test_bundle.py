"""The bundle: whatever is in what was collected, no address, name or password is in the archive."""

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from banledger.doctor.bundle import members, write
from banledger.doctor.evidence import Evidence
from banledger.doctor.redaction import REMOVED, Redaction, vocabulary
from banledger.errors import OutputError

WORDS = vocabulary()
LETTERS = "abcdefghijklmnopqrstuvwxyz"

words = st.text(LETTERS, min_size=5, max_size=12).filter(lambda word: word not in WORDS)
addresses = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded),
).filter(lambda text: len(text) > 6)
hosts = st.one_of(words, st.lists(words, min_size=2, max_size=4).map(".".join), words.map(lambda word: f"{word}-01"))
passwords = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters='"\\'), min_size=6).filter(
    lambda text: not any(text.lower() in word for word in WORDS) and not text.isdigit()
)
around = st.sampled_from(
    (
        "{}", "ban {}", "[sshd] Ban {}", "can't reach {}: it is down", "{}:6379", "[{}]:6379", "'{}'", '"{}"', "({})",
        "redis://{}/0", "from {}, port 22", "{}/24", "x={}", "{}.", "Failed password for root from {} port 22 ssh2",
    )
)  # fmt: skip


@st.composite
def texts(draw: st.DrawFn, secrets: st.SearchStrategy[str]) -> tuple[str, str]:
    """A secret, and a text with it."""
    secret = draw(secrets)
    return secret, draw(around).format(secret)


def evidence_of(text: str) -> Evidence:
    """That text in every place of every part."""
    anywhere: dict[str, Any] = {"a": text, text: "b", "c": [text, {"d": [text]}], "e": {"f": text}}
    lists = ("jails", "files", "journal", "fail2ban_log")
    parts: Any = {one.name: [anywhere, text] if one.name in lists else anywhere for one in fields(Evidence)}
    return Evidence(**parts)


def archive_of(evidence: Evidence, redaction: Redaction) -> str:
    return b"".join(members(evidence, redaction).values()).decode()


@given(texts(st.one_of(addresses, hosts)))
def test_no_address_and_no_name_that_nobody_knew_of_is_in_a_bundle(case: tuple[str, str]) -> None:
    secret, text = case

    written = archive_of(evidence_of(text), Redaction(WORDS, [], {}))

    assert secret.lower() not in written.lower()


@given(texts(passwords), st.sampled_from(("user", "host", "label")))
def test_known_passwords_and_names_are_in_no_bundle(case: tuple[str, str], kind: str) -> None:
    secret, text = case
    for redaction in (Redaction(WORDS, [secret], {}), Redaction(WORDS, [], {secret: kind})):
        assert secret.lower() not in archive_of(evidence_of(text), redaction).lower()


@given(passwords, st.sampled_from(("password = {}", "BANLEDGER_PASSWORD={}", "token: {}", "Environment=DB_PASS={}")))
def test_what_is_called_a_password_is_removed_whole(secret: str, text: str) -> None:
    said = Redaction(WORDS, [], {}).text(text.format(secret))

    assert secret not in said and REMOVED in said


@given(st.text())
def test_any_text_can_be_redacted(text: str) -> None:
    said = Redaction(WORDS, [], {}).text(text)

    assert "\ue000" not in said and "\ue001" not in said


def test_the_same_text_has_the_same_placeholder_everywhere() -> None:
    redaction = Redaction(WORDS, [], {"web1": "label"})

    said = redaction.value({"x": ["192.0.2.1", "198.51.100.7"], "y": "192.0.2.1 of WEB1 and 2001:db8::1"})

    assert said == {"x": ["ip-1", "ip-2"], "y": "ip-1 of label-1 and ip-3"}


@pytest.mark.parametrize(
    "text",
    [
        "the spool can't be read: Permission denied",
        "banledger.service: active (running), 3 restarts, exit code 12",
        "2026-11-27 14:04:05,303 fail2ban.actions [32]: WARNING the action holds 2.5 MiB at 13:04",
        "/var/lib/banledger/ledger.db-wal has grown to 512 MiB; mode 2770; python3.11; redis 7.0.15",
        "1795788424190-0123abcd-1.jsonl",
    ],
)
def test_what_helps_and_tells_nothing_stays(text: str) -> None:
    assert Redaction(WORDS, [], {}).text(text) == text


@pytest.mark.parametrize(
    "text",
    ["fail2ban.example.org", "ip-192-0-2-1", "192-0-2-1", "web1", "bob@example.org", "fe80::1%eth0", "::ffff:1.2.3.4"],
)
def test_names_made_of_known_words_do_not_stay(text: str) -> None:
    said = Redaction(WORDS, [], {}).text(f"about {text} now")

    assert text not in said and said.startswith("about ") and said.endswith("-1 now")


def test_an_archive_is_readable_by_its_owner_only_and_replaces_nothing(tmp_path: Path) -> None:
    place = tmp_path / "x.tar.gz"
    files = members(evidence_of("plain"), Redaction(WORDS, [], {}))

    write(place, files)

    assert place.stat().st_mode & 0o777 == 0o600
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(place.read_bytes()))) as archive:
        assert [one.name for one in archive.getmembers()] == [f"banledger-doctor/{name}" for name in files]
    with pytest.raises(OutputError):
        write(place, files)
