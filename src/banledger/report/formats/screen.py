"""The terminal or its replacement: width, characters, colour."""

import os
import sys
from typing import Literal, TextIO

from rich.console import Console, RenderableType

from banledger.report.formats.chart import ASCII, Glyphs, glyphs_for

_NARROWEST, _WIDEST, _NO_TERMINAL = 40, 200, 100


class Screen:
    """Target of tables. Print only `Text`, never markup."""

    def __init__(self, stream: TextIO | None = None, width: int | None = None) -> None:
        out = stream or sys.stdout
        terminal = out.isatty()
        self.width = max(_NARROWEST, min(_WIDEST, width or _columns(out, terminal=terminal)))
        self.glyphs: Glyphs = glyphs_for(getattr(out, "encoding", None))
        self.overflow: Literal["crop", "ellipsis"] = "crop" if self.glyphs is ASCII else "ellipsis"
        self.console = Console(
            file=out,
            width=self.width,
            color_system="auto" if terminal and not os.environ.get("NO_COLOR") else None,
            force_terminal=terminal,
            markup=False,
            highlight=False,
            emoji=False,
            legacy_windows=False,
        )

    def print(self, *things: RenderableType) -> None:
        """Print them below each other; without trailing blanks where lines may be copied or compared."""
        if self.console.is_terminal:
            self.console.print(*things, sep="\n", overflow=self.overflow)
            return
        with self.console.capture() as caught:
            self.console.print(*things, sep="\n", overflow=self.overflow)
        self.console.file.write("".join(f"{line.rstrip()}\n" for line in caught.get().splitlines()))


def _columns(stream: TextIO, *, terminal: bool) -> int:
    if (told := os.environ.get("COLUMNS", "")).isdecimal():
        return int(told)
    try:
        return os.get_terminal_size(stream.fileno()).columns if terminal else _NO_TERMINAL
    except (OSError, ValueError):
        return _NO_TERMINAL
