"""The tables of a run, in Markdown. Pure."""

from collections.abc import Callable, Iterator, Sequence

from bench.proof.drains import Drained
from bench.proof.processes import Used
from bench.proof.questions import Asked, Question

_FIGURES: tuple[tuple[str, Callable[[Drained], float], int], ...] = (
    ("bans/s, durable", lambda done: done.whole.bans_s, 0),
    ("– of the first {window:,}", lambda done: done.first.bans_s, 0),
    ("– of the last {window:,}", lambda done: done.last.bans_s, 0),
    ("CPU a ban, µs", lambda done: done.whole.cpu_us, 1),
    ("– of the first {window:,}", lambda done: done.first.cpu_us, 1),
    ("– of the last {window:,}", lambda done: done.last.cpu_us, 1),
    ("bytes a ban on disk", lambda done: done.size / done.bans, 0),
    ("peak of memory, MB", lambda done: done.peak_mb, 0),
)


def filling(columns: Sequence[tuple[str, Drained | None]]) -> Iterator[str]:
    """Yield the table of how stores were filled: a column each, and the ratio of the last to the one before it."""
    names, window = [name for name, _ in columns], max(done.window for _, done in columns if done)
    yield f"| | {' | '.join(names)} | {names[-1]} / {names[-2]} |"
    yield "| --- |" + " --- |" * (len(names) + 1)
    for name, figure, digits in _FIGURES:
        values = [figure(done) if done else None for _, done in columns]
        cells = [_number(value, digits) for value in values]
        row = [name.format(window=window), *cells, _ratio(values[-1], values[-2])]
        yield f"| {' | '.join(row)} |"


def answers(asked: Sequence[Question], before: Sequence[Asked], now: Sequence[Asked], limit_s: float) -> Iterator[str]:
    """Yield the table of what each question took. `before` may be empty. The ratio is of CPU: clocks are noisy."""
    yield "| command | span | wanted, s | before: s, CPU s, MB | now: s, CPU s, MB | CPU, now / before | same answer |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for number, question in enumerate(asked):
        old, new = before[number] if before else None, now[number]
        was = cells(old.used, limit_s) if old else "–"
        ratio = same = "–"
        if old and old.used and new.used:
            ratio, same = _ratio(new.used.cpu_s, old.used.cpu_s), "yes" if old.answer == new.answer else "**no**"
        row = [f"`{question.words}`", question.span, str(question.wanted_s), was, cells(new.used, limit_s), ratio, same]
        yield f"| {' | '.join(row)} |"


def cells(used: Used | None, limit_s: float) -> str:
    """Return what a command took as one cell."""
    return f"{used.wall_s:.3f}, {used.cpu_s:.3f}, {used.peak_mb:.0f}" if used else f"over {limit_s:g} s"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _ratio(value: float | None, other: float | None) -> str:
    return f"{value / other:.2f}" if value and other else "–"
