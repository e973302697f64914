"""Settings: who wins, and what is said of mistakes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import convert

from banledger.errors import SettingsError
from banledger.settings import CONFIG_VARIABLE, TABLE, Settings, age_s, load, machine_zone, without_password

NAMES = [setting.name for setting in TABLE]
TEXTS = [name for name in NAMES if "." not in name]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the settings file is."""
    return tmp_path / "banledger.toml"


def loaded(file: Path, text: str, **environment: str) -> Settings:
    """The settings with such a file (ours alone: it may hold a password) and environment."""
    file.touch(mode=0o600)
    file.write_text(text)
    return load({"config": str(file)}, environment)


def mistakes(file: Path, text: str, **environment: str) -> str:
    """What is said of such a file and environment."""
    with pytest.raises(SettingsError) as caught:
        loaded(file, text, **environment)
    return str(caught.value)


def test_defaults_apply_without_file_environment_and_flags() -> None:
    assert load({}, {CONFIG_VARIABLE: ""}) == convert({setting.field: setting.default for setting in TABLE}, Settings)


def test_a_flag_overrides_the_environment_which_overrides_the_file(file: Path) -> None:
    for name in TEXTS:
        text = f'{name} = "file"'
        variable = f"BANLEDGER_{name.upper()}"
        assert getattr(loaded(file, text), name) == "file"
        assert getattr(loaded(file, text, **{variable: "environment"}), name) == "environment"
        flags = {"config": str(file), name: "flag"}
        assert getattr(load(flags, {variable: "environment"}), name) == "flag"


def test_a_tables_setting_has_a_dot_in_the_file_and_an_underscore_in_the_environment(file: Path) -> None:
    text = "[whois]\nenabled = false\nrefresh_days = 7"
    assert (loaded(file, text).whois_enabled, loaded(file, text).whois_refresh_days) == (False, 7)
    assert loaded(file, "whois.enabled = false").whois_enabled is False
    variables = {"BANLEDGER_WHOIS_ENABLED": "yes", "BANLEDGER_WHOIS_REFRESH_DAYS": "3"}
    both = loaded(file, text, **variables)
    assert (both.whois_enabled, both.whois_refresh_days) == (True, 3)


def test_a_value_of_a_wrong_type_is_reported(file: Path) -> None:
    said = mistakes(
        file,
        '[whois]\nenabled = "maybe"\nrefresh_days = 0\nqueue = true\nbackfill_days = 1.5\nspeed = 1',
        BANLEDGER_WHOIS_ASN="2",
        BANLEDGER_WHOIS_CONTACT="me",
    )
    for part in (
        "whois.enabled must be true or false, not 'maybe'",
        "whois.refresh_days must be a whole number above 0, not 0",
        "whois.queue must be a whole number, not bool",
        "whois.backfill_days must be a whole number, not float",
        "unknown setting 'whois.speed'",
        "whois.asn must be true or false, not '2'",
    ):
        assert part in said


def test_a_proxys_password_is_a_secret_too(file: Path) -> None:
    file.write_text('whois.proxy = "http://me:s3cret@proxy:3128"')
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="holds a password") as caught:
        load({"config": str(file)}, {})
    assert "s3cret" not in str(caught.value)


def test_a_flag_that_is_not_given_overrides_nothing(file: Path) -> None:
    file.write_text('store = "file"')
    assert load({"config": str(file), "store": None}, {}).store == "file"


def test_the_file_is_named_by_the_flag_else_by_the_environment(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    file.write_text('store = "file"')
    other.write_text('store = "other"')
    assert load({}, {CONFIG_VARIABLE: str(other)}).store == "other"
    assert load({"config": str(file)}, {CONFIG_VARIABLE: str(other)}).store == "file"


def test_all_mistakes_are_in_one_message_with_names_and_values_kinds(file: Path) -> None:
    said = mistakes(file, 'store = 5\nsped = "x"\nspool = ["a"]\n[prefix]\na = 1', BANLEDGER_PREFIX="a:b")
    assert "store must be text, not int" in said
    assert "unknown setting 'sped'" in said
    assert "spool must be text, not list" in said
    assert "prefix must be text, not dict" in said
    assert "prefix must be letters" in said
    assert said.count(str(file)) == 4


def test_the_hint_names_every_setting(file: Path) -> None:
    file.write_text("nonsense = 1")
    with pytest.raises(SettingsError) as caught:
        load({"config": str(file)}, {})
    assert caught.value.exit_code == 3
    assert all(name in caught.value.hint for name in NAMES)


@pytest.mark.parametrize("text", ["store = ", "store", 'store = "a"\nstore = "b"', "[[", "\x00"])
def test_invalid_toml_is_reported_with_its_position(file: Path, text: str) -> None:
    assert f"{file} is not TOML" in mistakes(file, text)


def test_a_file_that_is_not_utf_8_is_reported_as_invalid_toml(file: Path) -> None:
    file.write_bytes(b'store = "\xff"')
    with pytest.raises(SettingsError, match="is not TOML"):
        load({"config": str(file)}, {})


def test_a_named_file_must_exist_and_the_default_one_need_not(tmp_path: Path) -> None:
    missing = tmp_path / "no.toml"
    with pytest.raises(SettingsError, match="no settings file"):
        load({"config": str(missing)}, {})
    with pytest.raises(SettingsError, match="no settings file"):
        load({}, {CONFIG_VARIABLE: str(missing)})


def test_a_directory_in_place_of_the_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"can't read .*: Is a directory"):
        load({"config": str(tmp_path)}, {})


def test_a_user_who_may_not_read_the_file_is_told_of_the_group(tmp_path: Path) -> None:
    file = tmp_path / "banledger.toml"
    file.write_text('store = "/x"')
    file.chmod(0)
    with _unprivileged(), pytest.raises(SettingsError, match=r"can't read .*: Permission denied") as caught:
        load({"config": str(file)}, {})
    assert "adduser YOU banledger" in caught.value.hint


@contextmanager
def _unprivileged() -> Iterator[None]:
    """Root may read every file: be another user for a while."""
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("prefix", ["bans", "a", "A.b-c_9", "7"])
def test_a_prefix_may_have_letters_digits_dots_dashes_and_underscores(prefix: str) -> None:
    assert load({"prefix": prefix}, {}).prefix == prefix


@pytest.mark.parametrize("prefix", ["a:b", "{a}", "a b", "a*", "é", "a\n", "%41", ".", "-_"])
def test_a_prefix_with_key_separators_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError, match="prefix must be letters"):
        load({"prefix": prefix}, {})


@pytest.mark.parametrize("name", ["store", "spool", "prefix"])
def test_an_empty_required_setting_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} must not be empty$"):
        load({name: ""}, {})


def test_an_empty_time_zone_is_the_machines() -> None:
    assert load({"timezone": ""}, {}).timezone == ""


@pytest.mark.parametrize("named", ["Europe/Berlin", ":Asia/Tokyo", "UTC"])
def test_the_machines_zone_is_what_tz_names(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", named)
    assert machine_zone() == named.lstrip(":")


@pytest.mark.parametrize("named", ["", ":/etc/localtime"])
def test_without_a_name_in_tz_the_machines_zone_is_one_that_python_knows(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from banledger.ledger.reader import zone_of

    monkeypatch.setenv("TZ", named)
    assert zone_of(machine_zone()).key == machine_zone()


def test_an_invalid_tz_is_an_error(tmp_path: Path) -> None:

    (tmp_path / "spool").mkdir()
    environment = {**os.environ, "TZ": "CET-1CEST,M3.5.0,M10.5.0/3"}
    command = [sys.executable, "-m", "banledger", "record", "--once", "--spool", str(tmp_path / "spool")]
    command += ["--store", str(tmp_path / "ledger.db")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert "unknown time zone: CET-1CEST" in done.stderr


@pytest.mark.parametrize(
    ("store", "shown"),
    [
        ("/var/lib/a:b@c?d=e", "/var/lib/a:b@c?d=e"),
        ("sqlite:///var/lib/ledger.db", "sqlite:///var/lib/ledger.db"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://user@host/0?timeout=1.5&db=2", "redis://user@host/0?timeout=1.5&db=2"),
        ("redis://user:s3cret@host:1/0", "redis://user@host:1/0"),
        ("redis://:s3cret@host", "redis://@host"),
        ("redis://user:s3/cr@e:t?#&@host", "redis://user@host"),
        ("unix://user:s3cret@/run/x.sock?db=0", "unix://user@/run/x.sock?db=0"),
        ("redis://host/0?password=s3cret&db=1", "redis://host/0?…&db=1"),
        ("redis://host/0?timeout=s3cret", "redis://host/0?…"),
    ],
)
def test_a_store_is_shown_without_secrets(store: str, shown: str) -> None:
    assert without_password(store) == shown


@pytest.mark.parametrize(
    ("text", "days"), [("", 0), ("1d", 1), ("2w", 14), ("6m", 180), ("2Y", 730), (" 90 d ", 90), ("99999d", 99_999)]
)
def test_an_age_is_read_in_days_weeks_months_and_years(file: Path, text: str, days: int) -> None:
    assert age_s(text) == days * 86_400
    assert loaded(file, f"[retention]\nbans = '{text}'").retention_bans == text


@pytest.mark.parametrize("text", ["0d", "1", "d", "-1d", "1h", "1.5y", "for ever", "999999d", "²d"])
def test_an_age_that_is_none_is_reported(file: Path, text: str) -> None:
    assert f"retention.matches: invalid age {text!r}" in mistakes(file, f"[retention]\nmatches = '{text}'")
