"""`banledger setup`: what it refuses before it looks at the machine."""

import os
import sys

import pytest

from banledger.cli.main import run


def test_setup_needs_root(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    monkeypatch.setattr(sys, "argv", ["/home/me/.local/bin/banledger", "setup", "--server", "my server"])

    assert run(sys.argv[1:]) == 1

    hint = "sudo /home/me/.local/bin/banledger setup --server 'my server'"
    assert capsys.readouterr().err == f"error: setup needs root\nhint: {hint}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--purge"], "--purge belongs to --undo"),
        (["--keep-mended"], "--keep-mended belongs to --undo"),
        (["--server", ""], "a server label is printable text"),
        (["--server", "a\nb"], "a server label is printable text"),
    ],
)
def test_wrong_options_are_refused(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    assert run(["setup", "--root", "/nowhere", *words]) == 2

    assert message in capsys.readouterr().err
