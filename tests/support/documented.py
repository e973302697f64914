"""Every command that the pages and the helps show, as a line for a shell.

A command is: a line of a `bash` block; what stands after a prompt (`$`, `#`) in any block; and any other line of an
indented block, or text in backticks, that begins with one of PROGRAMS and says more than its name. What begins with
another program that this machine has is a stranger: `tests/e2e/test_documented_commands.py` wants to know what it is.
"""

import re
import shlex
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click

from banledger.cli.main import commands

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = {"banledger", "make", "jq", "redis-cli", "valkey-cli", "sqlite3", "ACL"} | {
    *("adduser", "apt", "apt-get", "chmod", "chown", "cp", "delgroup", "deluser", "du"),
    *("fail2ban-client", "getent", "install", "journalctl"),
    *(
        "kill",
        "nano",
        "pip",
        "pipx",
        "python",
        "python3",
        "rm",
        "runuser",
        "sed",
        "sudo",
        "systemctl",
        "systemd-sysusers",
    ),
    *("systemd-tmpfiles", "timeout", "umask", "uv"),
}

_BLOCK = re.compile(r"(?ms)^( *)```(\w*)\n(.*?)^\1```")
_INDENTED = re.compile(r"(?m)^    (\S.*)$")
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_PROMPT = re.compile(r"\s*[$#] (.*)")


class Documented(NamedTuple):
    """A command, and where it stands: the page and its section, or `banledger top --help`; in a block or in a text."""

    where: str
    line: str
    block: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.line}"


def all_commands() -> list[Documented]:
    """Everything that is shown, without repetitions of a line in one place."""
    return list(dict.fromkeys([*(one for page in PAGES for one in on_page(page)), *in_helps()]))


# Pages


def on_page(page: Path) -> Iterator[Documented]:
    """The commands of a page."""
    for title, text in sections(page.read_text(encoding="utf-8")):
        where = f"{page.name} {title}".strip()
        yield from (Documented(where, line) for line in in_blocks(text))
        yield from (Documented(where, line, block=False) for line in in_text(text))


def in_section(where: str) -> list[str]:
    """The lines of a section's blocks: `install.md Upgrading`."""
    return [one.line for page in PAGES for one in on_page(page) if one.block and one.where == where]


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Titles (of the second level), and each with what stands below it."""
    first, *rest = re.split(r"(?m)^## ", text)
    yield "", first
    for part in rest:
        yield part.partition("\n")[0], part


def in_blocks(text: str) -> Iterator[str]:
    """The commands in the blocks of a text in Markdown."""
    for _, language, block in _BLOCK.findall(text):
        yield from _in_block(block, all_lines=language == "bash")
    for line in _indented(text):
        prompted = _PROMPT.fullmatch(line)
        if prompted or _program(line) in PROGRAMS:
            yield prompted[1] if prompted else line


def in_text(text: str) -> Iterator[str]:
    """The commands in backticks."""
    return (span for span in _spans(text) if _program(span) in PROGRAMS)


def strangers(text: str) -> list[str]:
    """What may be a command, as this machine has a program of that name."""
    return [line for line in (*_indented(text), *_spans(text)) if _is_stranger(_program(line))]


def _indented(text: str) -> list[str]:
    """Lines of indented blocks, without figures."""
    return [line for line in _INDENTED.findall(_BLOCK.sub("", text)) if line.isascii() and "  " not in line]


def _spans(text: str) -> list[str]:
    return [_in_full(span) for span in _SPAN.findall(_BLOCK.sub("", text))]


def _in_block(block: str, *, all_lines: bool) -> Iterator[str]:
    for line in block.splitlines():
        prompted = _PROMPT.fullmatch(line)
        if all_lines and line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()
        elif prompted and not all_lines:
            yield prompted[1]


def _program(line: str) -> str:
    """Its first word, if it has more than one."""
    first, _, rest = line.partition(" ")
    return first if rest and re.fullmatch(r"[\w./-]+", first) else ""


@cache
def _is_stranger(word: str) -> bool:
    return bool(word) and word not in PROGRAMS and shutil.which(word) is not None


def _in_full(text: str) -> str:
    """`store check` stands for `banledger store check`."""
    words = text.split()
    group = commands.get_command(click.Context(commands), words[0]) if len(words) > 1 else None
    return f"banledger {text}" if isinstance(group, click.Group) and words[1] in group.commands else text


# Helps


def in_helps() -> Iterator[Documented]:
    """The examples of every command's help."""
    for words, command in every_command():
        _, found, below = (command.help or "").partition("Example:\n")
        lines = below.partition("\n\n")[0].splitlines() if found else []
        for line in filter(None, map(str.strip, lines)):
            yield Documented(f"{shlex.join(['banledger', *words])} --help", re.split(r"\s{2,}", line)[0])


def every_command(
    words: tuple[str, ...] = (), command: click.Command = commands
) -> Iterator[tuple[list[str], click.Command]]:
    """Every command with the words that name it, groups too."""
    yield list(words), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from every_command((*words, name), inner)
