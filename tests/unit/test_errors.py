"""Errors and exit codes: the table, and what repeats it."""

import inspect
import re
from pathlib import Path

import pytest

from banledger import errors
from banledger.cli.main import commands
from banledger.errors import EXIT_CODES, BanledgerError

ROOT = Path(__file__).parents[2]
OURS = [(code, error, meaning) for code, error, meaning in EXIT_CODES if error]
CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, BanledgerError)]


def test_the_docstring_draws_the_tree_of_classes_with_the_tables_codes_and_meanings() -> None:
    lines = re.findall(r"(?m)^    ([│├└─ ]*)(\w+) +(?:exit (\d+) +)?(.*)$", (errors.__doc__ or "").split("\n\n")[1])
    drawn: dict[str, str] = {}
    above: list[str] = []
    for bars, name, _, _ in lines:
        del above[len(bars) // 4 :]
        drawn[name] = above[-1] if above else "Exception"
        above.append(name)
    again = " (`retryable`)"

    assert drawn == {kind.__name__: kind.__base__.__name__ for kind in CLASSES if kind.__base__}
    assert [(int(code), name) for _, name, code, _ in lines if code] == sorted(
        ((code, error.__name__) for code, error, _ in OURS), key=lambda row: [*drawn].index(row[1])
    )
    said = {name: text.removesuffix(again) for _, name, _, text in lines}
    assert {name: said[name] for name in (error.__name__ for _, error, _ in OURS)} == {
        error.__name__: meaning.partition(";")[0] for _, error, meaning in OURS
    }
    assert {name for _, name, _, text in lines if text.endswith(again)} == {
        kind.__name__ for kind in CLASSES if kind.retryable
    }


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_has_the_code_of_the_nearest_class_in_the_table(kind: type[BanledgerError]) -> None:
    codes = {error: code for code, error, _ in OURS}

    assert kind("why").exit_code == next(codes[one] for one in kind.__mro__ if one in codes)


def test_the_help_lists_every_exit_code_and_which_may_pass() -> None:
    listed = re.findall(r"(?m)^  (\d+) +(.*)$", commands.help or "")

    assert [(int(code), meaning.removesuffix("; trying again may help")) for code, meaning in listed] == [
        (code, meaning) for code, _, meaning in EXIT_CODES
    ]
    assert {int(code) for code, meaning in listed if meaning.endswith("try again") or "trying again" in meaning} == {
        code for code, error, _ in OURS if error.retryable
    }


def test_operations_lists_every_exit_code() -> None:
    page = (ROOT / "docs/operations.md").read_text()

    listed = re.findall(r"(?m)^\| (\d+) \| (\w+) \| (.*) \|$", page)

    assert [(int(code), name) for code, name, _ in listed] == [(code, error.__name__) for code, error, _ in OURS]
    assert {int(code) for code, _, meaning in listed if "(try again" in meaning} == {
        code for code, error, _ in OURS if error.retryable
    }
    assert all(re.search(rf"\b{code} (is|one)\b", page) for code, error, _ in EXIT_CODES if code and not error)
