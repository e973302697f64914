"""What a format is: a way to write an answer."""

import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Protocol, TypeAlias, cast
from zoneinfo import ZoneInfo

from msgspec import Struct

from banledger.report.answers import Listed, Report, Shown, Top
from banledger.report.show import NONE_STOPPED, Stopped
from banledger.whois.stored import WhoisAnswer

Answer: TypeAlias = Report | Top | Listed | Shown | WhoisAnswer


class Presentation(Struct, frozen=True):
    """How an answer is seen: in which time zone and when (UTC epoch `now`), which jails stopped, how many bans."""

    zone: ZoneInfo
    now: float
    stopped: Stopped = NONE_STOPPED
    count: int = 50


class Format(Protocol):
    """A way to write answers. A new format is a class with this method, and a line in `_CLASSES`."""

    def write(self, answer: Answer, view: Presentation) -> None:
        """Write the answer. Bans one by one are written as they come."""


class Lines:
    """A format made of lines, which `lines` makes."""

    def lines(self, answer: Answer, view: Presentation) -> Iterable[str]:
        """The lines of an answer, without their ends."""
        raise NotImplementedError

    def write(self, answer: Answer, view: Presentation) -> None:
        """See Format.write."""
        for line in self.lines(answer, view):
            sys.stdout.write(line + "\n")


_CLASSES = {"text": "text.TextFormat", "json": "json.JsonFormat", "csv": "csv.CsvFormat", "raw": "json.RawFormat"}


def named(name: str) -> Format:
    """The format of that name, to stdout. Its module is imported now."""
    module, _, kind = _CLASSES[name].partition(".")
    return cast(Format, getattr(import_module(f"banledger.report.formats.{module}"), kind)())
