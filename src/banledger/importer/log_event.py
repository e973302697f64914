"""What one line of fail2ban's log says, as a value."""

from enum import IntEnum

from msgspec import Struct


class Kind(IntEnum):
    """The kinds of log lines that matter. Of the same moment, the lower kind happened first."""

    SERVER_STARTED = 1
    """`text` is fail2ban's version."""
    JAIL_STARTED = 2
    FOUND = 3
    """A failure: `date` is its own time, 0 if the line has none."""
    STOPPING = 4
    """The server stops all jails; until EXITED or SERVER_STARTED it lifts no ban for good."""
    FLUSH = 5
    """A jail that stops, or `unban --all`, begins to lift all bans."""
    UNBAN = 6
    BAN = 7
    INCREASE = 8
    """A longer ban: `date` is its end (negative: none), `number` how often the offender was banned."""
    RESTORE = 9
    REBAN = 10
    """The firewall was repaired: no new ban."""
    REPEAL = 11
    """From 1.1.1 on: lifted because the server stops."""
    ALREADY = 12
    """Failures of an offender that is banned already."""
    JAIL_STOPPED = 13
    EXITED = 14


class LogEvent(Struct, frozen=True, gc=False, order=True, array_like=True):
    """One line of a log. Events sort by time, then by kind.

    moment  the line's own time, UTC epoch seconds
    date    another time in the line, UTC epoch seconds (see Kind); 0: none
    text    what was banned (`fid`); of a server's start its version
    source  number of the source that the line was read from
    """

    moment: float
    kind: int
    jail: str = ""
    text: str = ""
    date: float = 0.0
    number: int = 0
    source: int = 0

    @property
    def what(self) -> tuple[object, ...]:
        """The event without its source: the same line in two files says the same."""
        return self.moment, self.kind, self.jail, self.text, self.date, self.number
