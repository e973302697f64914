"""A jail of a fail2ban that doesn't exist, with clocks of its own: writes the lines that the action would write.

The truth to compare a ledger with is its `bans`: what it holds in force.
"""

from dataclasses import dataclass, field
from itertools import count
from zlib import crc32

from banledger.spool.events import BanLine, Event, HeldLine, ProlongLine, StartLine, StopLine, UnbanLine
from tests.support.lines import T0

_BELIEVED_S = 10.0


@dataclass
class Jail:
    """One source. Every method is something that happens to it, and takes time."""

    wall: float = float(T0)
    clock: float = 1000.0
    boot: int = 1
    bans: dict[str, tuple[int, int]] = field(default_factory=dict)  # fid: time, bantime
    lines: list[Event] = field(default_factory=list)
    silent: bool = False  # an old action, that knows no start, stop and snapshot

    def __post_init__(self) -> None:
        self._writers = count(1)
        self._start()

    def _start(self) -> None:
        self._writer, self._seq, self._last = f"{next(self._writers):08x}", 0, 0.0
        self._epoch = self.wall - self.clock
        self._line(StartLine, version="1.0.2", boot=f"b{self.boot}", clock=self.clock)

    def _order(self) -> float:
        self.passes(0.25)
        straight = self._epoch + self.clock
        order = self.wall if abs(self.wall - straight) < _BELIEVED_S else straight
        self._last = max(order, self._last + 0.000001)
        return self._last

    def _line(self, kind: type[Event], **fields: object) -> None:
        order = self._order()
        self._seq += 1
        at = order if order != self.wall else 0.0
        if self.silent and kind in (StartLine, StopLine, HeldLine):
            return
        common = {"v": 1, "seen": self.wall, "at": at, "seq": self._seq, "server": "web1", "jail": "sshd"}
        self.lines.append(kind(writer=self._writer, **common, **fields))  # type: ignore[arg-type]

    def _ticket(self, kind: type[Event], fid: str, **fields: object) -> None:
        time, bantime = self.bans[fid]
        self._line(kind, fid=fid, time=time, bantime=bantime, bancount=1, **fields)

    def passes(self, seconds: float) -> None:
        """Time passes."""
        self.wall += seconds
        self.clock += seconds

    def steps(self, seconds: float) -> None:
        """Somebody sets the clock."""
        self.wall = max(float(T0) - 10**6, self.wall + seconds)

    def ban(self, fid: str, bantime: int = -1) -> None:
        """An address fails once too often."""
        if fid not in self.bans:
            self.bans[fid] = int(self.wall), bantime
            self._ticket(BanLine, fid, failures=5)

    def unban(self, fid: str) -> None:
        """Somebody lifts the ban."""
        if fid in self.bans:
            self._ticket(UnbanLine, fid)
            del self.bans[fid]

    def prolong(self, fid: str, bantime: int) -> None:
        """The observer makes it longer."""
        if fid in self.bans:
            self.bans[fid] = self.bans[fid][0], bantime
            self._ticket(ProlongLine, fid)

    def changes_unseen(self, fid: str, bantime: int) -> None:
        """The term changes, and no action is called."""
        if fid in self.bans:
            self.bans[fid] = self.bans[fid][0], bantime

    def vanishes_unseen(self, fid: str) -> None:
        """The ban is gone, and no action is called."""
        self.bans.pop(fid, None)

    def stop(self) -> None:
        """The jail goes."""
        self._line(StopLine)

    def restart(
        self, *, killed: bool = False, reboot: bool = False, keeps: int = 99, bantime: int | None = None
    ) -> None:
        """fail2ban starts anew with the first so many of its bans, all of that term if one is given."""
        if not killed:
            self.stop()
        if reboot:
            self.boot, self.clock = self.boot + 1, 5.0
        self.bans = {fid: (t, bantime or old) for fid, (t, old) in sorted(self.bans.items())[:keeps]}
        self._start()
        for fid in self.bans:
            self._ticket(BanLine, fid, restored=1)

    def snapshot(self, parts: int = 1) -> None:
        """The action writes what is held."""
        as_of = self._order()
        held = [(fid, time, bantime, 1) for fid, (time, bantime) in self.bans.items()]
        for part in range(parts):
            some = tuple(ban for ban in held if crc32(ban[0].encode()) % parts == part)
            self._line(HeldLine, as_of=as_of, part=part, parts=parts, bans=some)
