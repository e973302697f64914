"""Small charts of text: bars, columns and strips, in block characters or in plain ASCII. Pure."""

from collections.abc import Sequence

from msgspec import Struct


class Glyphs(Struct, frozen=True):
    """Characters for charts and tables. `rising`: columns by eighths, `bar`: bars likewise."""

    rising: str
    bar: str
    dash: str
    dot: str
    rule: str
    ellipsis: str


UNICODE = Glyphs(rising=" ▁▂▃▄▅▆▇█", bar=" ▏▎▍▌▋▊▉█", dash="–", dot="·", rule="─", ellipsis="…")
ASCII = Glyphs(rising=" .:#", bar=" -#", dash="-", dot="|", rule="-", ellipsis="~")


def glyphs_for(encoding: str | None) -> Glyphs:
    """The characters that an encoding can write."""
    try:
        "".join((UNICODE.rising, UNICODE.bar, UNICODE.dash, UNICODE.dot, UNICODE.rule)).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def bar(share: float, width: int, glyphs: Glyphs) -> str:
    """A bar from the left: `share` (0 to 1) of `width`, at least the smallest mark if `share` is above 0."""
    return _fill(share, width, glyphs.bar).rstrip()


def _fill(share: float, size: int, steps: str) -> str:
    full = len(steps) - 1
    units = max(round(share * size * full), 1 if share > 0 else 0)
    whole, part = divmod(units, full)
    return (steps[-1] * whole + (steps[part] if part else "")).ljust(size)[:size]


def columns(values: Sequence[int], height: int, width: int, glyphs: Glyphs) -> list[str]:
    """Columns of `width` characters (a gap after them if wider than one), the lines from the top."""
    most = max(values, default=0) or 1
    filled = [_fill(value / most, height, glyphs.rising) for value in values]
    gap = 1 if width > 1 else 0
    return [
        "".join(column[level] * (width - gap) + " " * gap for column in filled) for level in range(height - 1, -1, -1)
    ]


def strip(values: Sequence[int], width: int, glyphs: Glyphs) -> str:
    """One line of small columns, each `width` characters wide."""
    most = max(values, default=0) or 1
    return "".join(_fill(value / most, 1, glyphs.rising) * width for value in values)


def bundled(values: Sequence[int], most: int) -> tuple[list[int], int]:
    """Sum `values` in equal bundles, at most `most` of them (the last may be smaller); return sums and bundle size."""
    size = max(1, -(-len(values) // max(1, most)))
    return [sum(values[start : start + size]) for start in range(0, len(values), size)], size
