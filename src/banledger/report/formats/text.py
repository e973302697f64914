"""Answers for people at a terminal."""

from banledger.report.answers import Listed, Report, Shown, Top
from banledger.report.formats.base import AnyAnswer, Presentation
from banledger.report.formats.screen import Screen


class TextFormat:
    """Tables and charts; `table` draws counts, `listing` bans and networks; each is imported if needed. See Format."""

    def __init__(self, screen: Screen | None = None) -> None:
        self._screen = screen or Screen()

    def write(self, answer: AnyAnswer, view: Presentation) -> None:
        """See Format.write."""
        match answer:
            case Report():
                from banledger.report.formats.table import report

                report(answer, self._screen)
            case Top():
                from banledger.report.formats.table import top

                top(answer, view, self._screen)
            case Listed():
                from banledger.report.formats.listing import newest

                newest(list(answer.bans), view, self._screen)
            case Shown():
                from banledger.report.formats.listing import show

                show(answer, view, self._screen)
            case _:
                from banledger.report.formats.listing import whois

                whois(answer, view, self._screen)
