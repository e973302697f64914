"""Progress of long work on stderr: bars on a terminal, otherwise nothing, so that cron sends no mail."""

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import Task, TaskID

_SILENT_S = 0.5


class ProgressBars:
    """A `Progress` with a bar for each kind of work, shown after half a second. A context; bars vanish at its end."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._show_at = time.monotonic() + _SILENT_S
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._said: set[str] = set()

    def __enter__(self) -> "ProgressBars":
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove the bars, before anything else is printed: a bar that is drawn again overwrites the line above it."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._tasks.clear()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show how much is done."""
        if not self._terminal or time.monotonic() < self._show_at:
            return
        if self._bars is None:
            self._bars = _bars()
            self._bars.start()
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what)
        self._bars.update(self._tasks[what], completed=done, total=total or None)

    def say(self, what: str) -> None:
        """Say once what the work waits for, even without a terminal."""
        if self._terminal:
            self(what, 0, 0)
        elif what not in self._said:
            self._said.add(what)
            sys.stderr.write(f"{what}\n")
            sys.stderr.flush()


def _bars() -> "Bars":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Rate(ProgressColumn):
        """Items a second."""

        def render(self, task: "Task") -> "Text":
            return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")

    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
