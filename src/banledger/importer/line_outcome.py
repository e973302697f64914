"""What became of a line of a log in the history of its server."""

from enum import IntEnum, auto


class LineOutcome(IntEnum):
    """What became of a Ban, Unban or Restore line."""

    BANS = auto()
    """A ban."""
    INEXACT = auto()
    """Besides: one without its ticket's second."""
    UNBANS = auto()
    """The end of a ban."""
    AT_STOP = auto()
    """An unban because the server or its jail stops."""
    RESTORED = auto()
    """A known ban is restored."""
    REPEATED = auto()
    """The same was told before, by another source or by another line of this one."""
    EARLIER = auto()
    """It is about a ban before all that was given."""
