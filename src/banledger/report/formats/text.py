"""Answers for people at a terminal."""

from banledger.report.answers import Listed, Report, Shown, Top
from banledger.report.formats.base import Answer, Presentation
from banledger.report.formats.screen import Screen


class TextFormat:
    """Tables and charts; `table` draws counts, `listing` bans and networks. See Format."""

    def __init__(self, screen: Screen | None = None) -> None:
        self._screen = screen or Screen()

    def write(self, answer: Answer, view: Presentation) -> None:
        """See Format.write."""
        screen = self._screen
        if isinstance(answer, Report | Top):
            from banledger.report.formats import table

            if isinstance(answer, Report):
                table.report(answer, screen)
            else:
                table.top(answer, str(view.zone), screen)
            return
        from banledger.report.formats import listing

        match answer:
            case Listed():
                listing.bans(list(answer.bans), view.zone, view.now, screen, view.stopped)
            case Shown():
                listing.show(answer, view.zone, view.now, screen, view.count, view.stopped)
            case _:
                listing.whois(answer, view.now, screen)
