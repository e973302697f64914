"""The contract of a format: write an answer."""

import sys
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast
from zoneinfo import ZoneInfo

from msgspec import Struct

from banledger.report.answers import Listed, Report, Shown, Top
from banledger.report.show import NONE_STOPPED, Stopped

if TYPE_CHECKING:
    from banledger.whois.stored import WhoisAnswer

AnyAnswer: TypeAlias = "Report | Top | Listed | Shown | WhoisAnswer"


class Presentation(Struct, frozen=True):
    """Context of an answer: time zone, time (UTC epoch `now`), stopped jails, number of bans to list (None: all)."""

    zone: ZoneInfo
    now: float
    stopped: Stopped = NONE_STOPPED
    count: int | None = None


class Format(Protocol):
    """Write answers. A new format is a class with this method, and a line in `_CLASSES`."""

    def write(self, answer: AnyAnswer, view: Presentation) -> None:
        """Write the answer. Bans one by one are written as they are found."""


class Lines:
    """A format that consists of lines, made by `lines`."""

    def lines(self, answer: AnyAnswer, view: Presentation) -> Iterable[str]:
        """The lines of an answer, without line ends."""
        raise NotImplementedError

    def write(self, answer: AnyAnswer, view: Presentation) -> None:
        """See Format.write."""
        for line in self.lines(answer, view):
            sys.stdout.write(line + "\n")


_CLASSES = {"text": "text.TextFormat", "json": "json.JsonFormat", "csv": "csv.CsvFormat", "raw": "json.RawFormat"}


def named(name: str) -> Format:
    """The format with this name, on stdout. Its module is imported now."""
    module, _, kind = _CLASSES[name].partition(".")
    return cast(Format, getattr(import_module(f"banledger.report.formats.{module}"), kind)())
