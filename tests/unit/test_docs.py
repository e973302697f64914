"""The pages: every command in them exists with its options, every file they point to is there."""

import ast
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from banledger.cli.main import commands
from tests.unit.test_import_order import ORDER

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

_FENCED = re.compile(r"(?ms)^( *)```.*?\n(.*?)^\1```")
_INDENTED = re.compile(r"(?m)^    (.*)$")
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
# Where a command may begin: a line with or without a prompt, `$(`, `&&`, `;`, `|`, perhaps after `sudo`.
_COMMAND = re.compile(
    r"""(?mx) (?: ^\s* (?:[$\#]\s)? | \$\(\s* | [;|&{]\s* )
        (?: sudo \s (?:-u\s\S+\s)? )? (?:[\w./-]+/)?
        banledger [ ]+ (?P<words> (?: '[^'\n]*' | [^;|&)>\n#'] )+ )"""
)
_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)(?:#[^)]*)?\)")


def commands_in(text: str) -> Iterator[list[str]]:
    """The words after `banledger` of every command in a page's code."""
    code = [block for _, block in _FENCED.findall(text)]
    prose = _FENCED.sub("", text)
    for piece in (*code, *_INDENTED.findall(prose), *_SPAN.findall(prose)):
        for match in _COMMAND.finditer(piece):
            words = shlex.split(match["words"].replace('"', ""))
            if words and re.match(r"[a-z-]", words[0]):
                yield words


def fault(words: list[str]) -> str:
    """Why the command line would refuse this, or nothing. Arguments may be left out: pages name commands so."""
    command: click.Command = commands
    context = click.Context(command, info_name="banledger")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            return f"there is no command {words[0]}"
        command, words = found, words[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    try:
        command.make_context(command.name, list(words), parent=context.parent)
    except (click.MissingParameter, click.exceptions.NoArgsIsHelpError, click.exceptions.Exit):
        return ""
    except click.UsageError as error:
        return error.format_message()
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_a_page_exists_with_its_options(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    placeholders = {"COMMAND"}
    wrong = [
        f"banledger {shlex.join(words)}: {reason}"
        for words in commands_in(page.read_text(encoding="utf-8"))
        if words[0] not in placeholders and (reason := fault(words))
    ]
    capsys.readouterr()  # --help prints

    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_is_there(page: Path) -> None:
    missing = [link for link in _LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]

    assert missing == []


def modules_in(text: str) -> Iterator[str]:
    """The paths of Python files that a page names in its code, without those on a machine (`/etc/…`)."""
    for span in _SPAN.findall(_FENCED.sub("", text)):
        yield from re.findall(r"(?<![\w/<*.-])\w[\w./-]*\.py\b", span)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_is_there(page: Path) -> None:
    places = (ROOT / "src" / "banledger", ROOT / "tests", ROOT)
    named = set(modules_in(page.read_text(encoding="utf-8"))) - {"banledger.py"}  # the action, in fail2ban's action.d

    assert [name for name in sorted(named) if not any((place / name).is_file() for place in places)] == []


def test_modules_are_found_in_code_only() -> None:
    text = "`spool/lock.py`, lock.py, `/etc/a.py`, `python tools/x.py > y`\n```\nb.py\n```\n"

    assert list(modules_in(text)) == ["spool/lock.py", "tools/x.py"]


def test_the_import_order_of_the_architecture_is_the_one_that_is_tested() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.partition("## Import order")[2].partition("\n## ")[0]

    assert tuple(re.findall(r"(?m)^\| `(\w+)` \|", section)) == ORDER


@pytest.mark.parametrize("page", ["docs/README.md", "docs/glossary.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_the_readme_links_the_pages_for_readers_and_contributors(page: str) -> None:
    assert f"]({page})" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_shows_every_command() -> None:
    shown = {words[0] for words in commands_in((ROOT / "README.md").read_text(encoding="utf-8"))}

    assert shown >= set(commands.list_commands(click.Context(commands)))


def logged(source: str) -> Iterator[str]:
    """What a module's log calls say, as far as it is written there."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name("_log"), attr="info" | "warning" | "error"),
                args=[ast.Constant(value=str(text)), *_],
            ):
                yield text


def test_the_operations_page_explains_every_line_of_the_journal() -> None:
    pages = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("operations.md", "stores.md")]
    explained = {span for page in pages for row in re.findall(r"(?m)^\|([^|]+)\|", page) for span in _SPAN.findall(row)}
    said = {text for path in (ROOT / "src").rglob("*.py") for text in logged(path.read_text(encoding="utf-8"))}
    said = {
        text for text in said if re.search(r"\w{3}", re.sub(r"%[\w.]*[a-z]", "", text))
    }  # what is left of an error or a notice explains itself

    assert len(said) > 20
    assert [text for text in sorted(said) if not any(span in text for span in explained)] == []


def test_make_targets_in_the_readme_exist() -> None:
    targets = re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"))

    named = re.findall(r"(?m)(?:^    |`)make ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"))

    assert named and set(named) <= set(targets)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("`banledger report --since 7d`", [["report", "--since", "7d"]]),
        ("`banledger:` and user `banledger`, `systemctl restart banledger`", []),
        ("```bash\n$ sudo banledger top ip | head\n```", [["top", "ip"]]),
        ("    $ banledger kv HGETALL 'bans:{2611}:ban:x|y'\n", [["kv", "HGETALL", "bans:{2611}:ban:x|y"]]),
        ('```\ncp "$(banledger action path)" /etc/x; sudo -u banledger sqlite3 x\n```', [["action", "path"]]),
        ("```\nsystemctl status banledger\n# banledger report   # comment\n```", [["report"]]),
        ("```\n/opt/venv/bin/banledger record --once && true\n```", [["record", "--once"]]),
    ],
)
def test_commands_are_found(text: str, found: list[list[str]]) -> None:
    assert list(commands_in(text)) == found


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("report --sinse 7d", "No such option"),
        ("whoami", "there is no command whoami"),
        ("action paths", "there is no command paths"),
        ("top", ""),
        ("top ip --json", ""),
        ("report -n many", "Invalid value"),
        ("--help", ""),
    ],
)
def test_a_command_that_does_not_exist_is_named(words: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = fault(words.split())
    capsys.readouterr()

    assert why in said and bool(why) == bool(said)


def test_roles_that_a_page_finds_in_pyproject_are_named_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked_for = re.compile(r"(maintainers|authors)\s+named\s+in\s+`pyproject\.toml`")

    for page in PAGES:
        for role in asked_for.findall(page.read_text()):
            assert project.get(role), f"{page.name}: pyproject.toml names no {role}"


def test_commands_for_monitoring_find_banledger_wherever_it_is_installed(tmp_path: Path) -> None:
    page = (ROOT / "docs/operations.md").read_text()
    (icinga,) = re.findall(r"(?m)^  command = \[ (.+) \]$", page)
    (nrpe,) = re.findall(r"(?m)^command\[check_banledger\]=(.+)$", page)

    for place in ("usr/local/bin", "usr/bin"):
        command = tmp_path / place / "banledger"
        command.parent.mkdir(parents=True)
        command.write_text("#!/bin/sh\necho $0 $1 $2\n")
        command.chmod(0o755)
        for words in (shlex.split(icinga.replace(",", "")), shlex.split(nrpe)):
            paths = [word.replace("/usr/", f"{tmp_path}/usr/") if word.startswith("PATH=") else word for word in words]
            said = subprocess.run(paths, capture_output=True, text=True, check=True, env={}).stdout
            assert said == f"{command} status --check\n"
        command.unlink()
