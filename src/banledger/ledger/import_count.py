"""How many bans of an import were new, and how a ledger keeps it. Pure.

Theory of operation. An import has the name of the writer of its lines, which is drawn for each run of the command. Its
recorder counts what each of its bans did, and stores the count after the batch, together with the number of the last
line counted (`seq`): a line that is read again later is recorded again and not counted again. Only the batch that was
under way when a recorder or its connection died may be recorded and not counted. So a count has the name of the run
that made it, drawn whenever a ledger is opened: another run that finds it unfinished continues it as *approximate*,
because up to one batch of bans may now be counted as known that were new or amended.
"""

import re

from msgspec import Struct
from msgspec.structs import replace

KEPT = 16
"""Imports of a server that are kept: the latest."""

_FORM = re.compile(r"(?:\d{1,16} ){6}(?:\d{1,16}|-) (?:counted|approximate) [0-9a-f]{8}")


class LineCounts(Struct, frozen=True, gc=False):
    """What ban lines of an import did.

    new      their ban was not in the ledger
    amended  it was, and was changed: also the ban that only logs told of, and that is now another one
    known    it was, with all that the line says
    aside    they were set aside, because the hash of their ban is damaged
    """

    new: int = 0
    amended: int = 0
    known: int = 0
    aside: int = 0

    def __add__(self, more: "LineCounts") -> "LineCounts":
        return LineCounts(
            self.new + more.new, self.amended + more.amended, self.known + more.known, self.aside + more.aside
        )

    @property
    def total(self) -> int:
        """All of them."""
        return self.new + self.amended + self.known + self.aside


class ImportCount(Struct, frozen=True, gc=False):
    """The count of one import.

    seq          number of the last line that is counted
    begun        when its first line was recorded, UTC epoch second
    lines        what its ban lines did so far
    bans         how many it has; None: its last line is not recorded yet
    approximate  whether a batch may be counted wrongly
    run          which opening of the ledger counted
    """

    seq: int = 0
    begun: int = 0
    lines: LineCounts = LineCounts()
    bans: int | None = None
    approximate: bool = False
    run: str = "00000000"

    @property
    def exact(self) -> bool:
        """Whether these are the true numbers. Lines that were lost or set aside in the spool are counted nowhere."""
        return not self.approximate and self.bans in (None, self.lines.total)


def continued(count: ImportCount, run: str) -> ImportCount:
    """Return the count as this run goes on with it."""
    if count.bans is not None or count.run == run:
        return count
    return replace(count, run=run, approximate=True)


def to_text(count: ImportCount) -> str:
    """Return the field's value. It begins with the number that grows."""
    lines, state = count.lines, "approximate" if count.approximate else "counted"
    bans = "-" if count.bans is None else count.bans
    return (
        f"{count.seq} {count.begun} {lines.new} {lines.amended} {lines.known} {lines.aside} {bans} {state} {count.run}"
    )


def from_text(text: str) -> ImportCount | None:
    """Return the count in such a field; None: it is none."""
    if len(text) > 200 or not text.isascii() or not _FORM.fullmatch(text):
        return None
    seq, begun, new, amended, known, aside, bans, state, run = text.split(" ")
    return ImportCount(
        int(seq),
        int(begun),
        LineCounts(int(new), int(amended), int(known), int(aside)),
        None if bans == "-" else int(bans),
        state == "approximate",
        run,
    )
