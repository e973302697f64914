"""The settings file that setup writes, and what root may run."""

import tomllib
from pathlib import Path

import pytest

from banledger.setup.command import run, system_command, trusted
from banledger.setup.plan import with_settings

OLD = '# mine\nstore = "/old.db"\npassword = "x"\nprefix = "b"\n\n[whois]\nenabled = false\n'


@pytest.mark.parametrize("text", ["", OLD, "[whois]\nenabled = false\n", 'prefix="b"'])
def test_settings_get_the_store_and_keep_the_rest(text: str) -> None:
    written = with_settings(text, {"store": "redis://h/0"})

    assert tomllib.loads(written) == tomllib.loads(text) | {"store": "redis://h/0"}
    assert with_settings(written, {"store": "redis://h/0"}) == written
    assert all(line in written for line in text.splitlines() if line.startswith(("#", "[", "prefix")))


def test_a_password_file_replaces_a_password() -> None:
    written = with_settings(OLD, {"store": "redis://h/0", "password_file": "/p"})

    assert "password" not in tomllib.loads(written)
    assert tomllib.loads(written)["password_file"] == "/p"


def test_a_file_that_others_may_change_is_not_trusted(tmp_path: Path) -> None:
    assert trusted(Path("/usr/bin/env"))
    (tmp_path / "a").touch()
    (tmp_path / "a").chmod(0o666)
    assert not trusted(tmp_path / "a", tmp_path)


def test_a_command_of_the_system_sees_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/tmp")
    monkeypatch.setenv("LD_PRELOAD", "")

    said = run([system_command("env")])

    assert "PATH=/usr/sbin:/usr/bin:/sbin:/bin\n" in said.out
    assert "LD_PRELOAD" not in said.out
    assert system_command("no-such-command") == ""
