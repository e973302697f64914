"""Results as lines of a terminal, and as JSON. What was found may hold outside text, so it is escaped."""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from banledger.doctor.checks import TABLE, CheckResult
from banledger.doctor.diagnosis import Verdict
from banledger.report.formats.escape import visible


class Symbols(Struct, frozen=True):
    """A character for each verdict, and the one before a remedy."""

    verdicts: dict[Verdict, str]
    remedy: str


_UNICODE = Symbols({Verdict.WELL: "✓", Verdict.UNSEEN: "-", Verdict.CAUTION: "!", Verdict.WRONG: "✗"}, "→")
_ASCII = Symbols({Verdict.WELL: "+", Verdict.UNSEEN: "-", Verdict.CAUTION: "!", Verdict.WRONG: "x"}, "->")
_WIDTH = max(len(check.name) for check in TABLE)


def symbols_for(encoding: str | None) -> Symbols:
    """The symbols that an encoding can write."""
    try:
        "".join((*_UNICODE.verdicts.values(), _UNICODE.remedy)).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _ASCII
    return _UNICODE


def lines(result: CheckResult, symbols: Symbols) -> Iterator[str]:
    """A result, and its remedy below it. The remedy alone can be pasted."""
    diagnosis = result.diagnosis
    yield f"{symbols.verdicts[diagnosis.verdict]} {result.check:<{_WIDTH}}  {visible(diagnosis.found)}"
    if diagnosis.remedy:
        yield f"  {'':<{_WIDTH}}  {symbols.remedy} {visible(diagnosis.remedy)}"


def as_object(results: Iterable[CheckResult]) -> dict[str, Any]:
    """Results for programs."""
    return {
        "checks": [
            {
                "name": one.check,
                "verdict": str(one.diagnosis.verdict),
                "found": one.diagnosis.found,
                "remedy": one.diagnosis.remedy,
            }
            for one in results
        ]
    }
