"""Write the man pages and the shell completions from the commands themselves: `make docs`. A test compares the pages.

Each command has a page of its own, and the settings file has one. The completions are click's: a script for each
shell, which asks `banledger` for the words that may follow.
"""

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import ShellComplete, get_completion_class

from banledger import settings
from banledger.cli.main import COMMANDS, commands

SHARE = Path("src/banledger/packaging/share")
SCRIPTS = {
    "bash": "bash-completion/completions/banledger",
    "zsh": "zsh/site-functions/_banledger",
    "fish": "fish/vendor_completions.d/banledger.fish",
}
"""Where each shell looks for completions, below /usr/local/share."""
_SECTIONS = {"Example:": "EXAMPLES", "Exit codes:": "EXIT STATUS"}
_MARKED = re.compile(r"`([^`]+)`")
_OPTION = re.compile(r"(?<![\w-])(--?[a-z][\w-]*)")


def documents() -> dict[str, str]:
    """Each file below SHARE, by its name."""
    pages = {f"man/man1/{'-'.join(words)}.1": _page(words, context) for words, context in _every(("banledger",))}
    return {
        **pages,
        "man/man5/banledger.toml.5": _settings_page(),
        **{SCRIPTS[name]: _script(name) for name in SCRIPTS},
    }


def _every(
    words: tuple[str, ...], context: click.Context | None = None
) -> Iterator[tuple[tuple[str, ...], click.Context]]:
    """Each command, as the words that name it and its context; groups too."""
    context = context or click.Context(commands, info_name="banledger", **commands.context_settings)
    yield words, context
    for name, command in _below(context):
        yield from _every((*words, name), click.Context(command, info_name=name, parent=context))


def _below(context: click.Context) -> Iterator[tuple[str, click.Command]]:
    if isinstance(group := context.command, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if command is not None and not command.hidden:
                yield name, command


def _page(words: tuple[str, ...], context: click.Context) -> str:
    command, name = context.command, "-".join(words)
    about, sections = _help(command)
    usage = " ".join(_plain(piece) for piece in command.collect_usage_pieces(context))
    lines = [_title(name, 1, _line(words, command)), ".SH SYNOPSIS", f"\\fB{_plain(' '.join(words))}\\fR {usage}"]
    lines += [".SH DESCRIPTION", *about]
    records = [param.get_help_record(context) for param in command.get_params(context)]
    lines += [
        ".SH OPTIONS",
        *(line for record in records if record and record[1] for line in _item(_flags(record[0]), record[1])),
    ]
    if below := list(_below(context)):
        lines.append(".SH COMMANDS")
        for one, inner in below:
            lines += _item(f"\\fB{_plain(f'{name}-{one}')}\\fR(1)", _line((*words, one), inner))
    for title, block in sections.items():
        lines += [f".SH {title}", *block]
    others = ["-".join(words[:-1])] if len(words) > 1 else []
    also = [f"\\fB{_plain(one)}\\fR(1)" for one in others] + ["\\fBbanledger.toml\\fR(5)", "\\fBfail2ban-client\\fR(1)"]
    return "\n".join([*lines, ".SH SEE ALSO", ", ".join(also)]) + "\n"


def _settings_page() -> str:
    about = (
        "The settings of banledger, in TOML. Without the file, all defaults apply. `systemctl reload banledger` reads "
        "it again. The environment overrides the file, and the flags --store, --spool and --prefix override both."
    )
    lines = [_title("banledger.toml", 5, "settings of banledger"), ".SH SYNOPSIS", f".I {settings.FILE}"]
    lines += [".SH DESCRIPTION", _text(about), ".SH SETTINGS"]
    for one in settings.TABLE:
        head = f"\\fB{_plain(one.name)}\\fR = {_plain(json.dumps(one.default))}"
        lines += [*_item(head, one.doc), ".br", f"In the environment: {_plain(one.variable)}"]
    return "\n".join([*lines, ".SH SEE ALSO", "\\fBbanledger\\fR(1)"]) + "\n"


def _script(shell: str) -> str:
    kind = get_completion_class(shell) or ShellComplete
    script = kind(commands, {}, "banledger", "_BANLEDGER_COMPLETE")
    return (script.source_template % script.source_vars()).strip() + "\n"


def _title(name: str, section: int, line: str) -> str:
    return f'.TH {_plain(name.upper())} {section} "" banledger\n.SH NAME\n{_plain(name)} \\- {_text(line)}'


def _line(words: tuple[str, ...], command: click.Command) -> str:
    """What a command does, in one line."""
    if len(words) == 2:
        return COMMANDS[words[1]]
    line = (command.short_help or inspect.cleandoc(command.help or "").partition("\n")[0]).rstrip(".")
    return line[:1].lower() + line[1:]


def _help(command: click.Command) -> tuple[list[str], dict[str, list[str]]]:
    """A command's help: its paragraphs, and the blocks that have a section of their own."""
    about: list[str] = []
    sections: dict[str, list[str]] = {}
    for part in re.split(r"\n{2,}", inspect.cleandoc(command.help or "").strip()):
        first, _, rest = part.partition("\n")
        if first.strip() != "\b":
            about += [".PP", _text(" ".join(part.split()))]
            continue
        title, _, block = rest.partition("\n")
        if title in _SECTIONS:
            sections[_SECTIONS[title]] = _literal(inspect.cleandoc("\n" + block))
        else:
            about += [".PP", *_literal(rest)]
    return about[1:] if about[:1] == [".PP"] else about, sections


def _literal(block: str) -> list[str]:
    return [".nf", *(_guarded(_plain(line)) for line in block.splitlines()), ".fi"]


def _item(head: str, body: str) -> list[str]:
    return [".TP", head, _text(body)]


def _flags(declared: str) -> str:
    """`-n, --count NUMBER` with its flags in bold."""
    return _OPTION.sub(lambda match: f"\\fB{match[1]}\\fR", declared).replace("-", "\\-")


def _text(words: str) -> str:
    """A paragraph; what is between backticks is bold."""
    return _guarded(_MARKED.sub(r"\\fB\1\\fR", _plain(words)))


def _plain(words: str) -> str:
    """Text as roff prints it unchanged; hyphens stay ASCII, so that a command can be copied."""
    ascii_only = (
        words.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha").replace("'", "\\(aq")
    )
    return "".join(one if one.isascii() else f"\\[u{ord(one):04X}]" for one in ascii_only)


def _guarded(line: str) -> str:
    """A line that begins with a full stop is no request."""
    return f"\\&{line}" if line.startswith(".") else line


if __name__ == "__main__":
    for old in filter(Path.is_file, SHARE.rglob("*")):
        old.unlink()
    for place, document in documents().items():
        path = SHARE / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document, encoding="utf-8")
    sys.stdout.write(f"{len(documents())} files below {SHARE}\n")
