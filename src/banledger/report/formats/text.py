"""Answers for people at a terminal."""

from banledger.report.answers import Listed, Report, Shown, Top
from banledger.report.formats.base import AnyAnswer, Presentation
from banledger.report.formats.screen import Screen


class TextFormat:
    """Tables and charts; `table` draws counts, `listing` bans and networks. See Format."""

    def __init__(self, screen: Screen | None = None) -> None:
        self._screen = screen or Screen()

    def write(self, answer: AnyAnswer, view: Presentation) -> None:
        """See Format.write."""
        from banledger.report.formats import listing, table

        match answer:
            case Report():
                table.report(answer, self._screen)
            case Top():
                table.top(answer, view, self._screen)
            case Listed():
                listing.bans(list(answer.bans), view, self._screen)
            case Shown():
                listing.show(answer, view, self._screen)
            case _:
                listing.whois(answer, view, self._screen)
