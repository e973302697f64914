"""Spooled lines for tests: as values, as bytes, and as hypothesis makes them up."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from banledger.geo.place import Place
from banledger.ledger.merge import EndedTicket, HeldTicket
from banledger.spool.events import (
    BanLine,
    Event,
    GapLine,
    HeldLine,
    ProlongLine,
    StartLine,
    StopLine,
    TicketLine,
    UnbanLine,
)

T0 = 1_795_400_000
"""2026-11-23 02:13:20 UTC."""


def ban(fid: str = "192.0.2.1", time: float = T0, seen: float | None = None, **more: object) -> BanLine:
    """A ban with what tests rarely care about filled in."""
    return BanLine(**_ticket(fid, time, seen, {"failures": 5, "bantime": 600, "bancount": 1, **more}))  # type: ignore[arg-type]


def told(fid: str = "192.0.2.1", logged: float = T0, found: int = 0, **more: object) -> BanLine:
    """What a log says of a ban."""
    fields = {"origin": "import", "logged": logged, "found": found, **more}
    return BanLine(**_ticket(fid, found or int(logged), logged, fields))  # type: ignore[arg-type]


def row(fid: str = "192.0.2.1", time: int = T0, **more: object) -> BanLine:
    """A ban of a database that was imported."""
    return BanLine(**_ticket(fid, time, float(time), {"origin": "import", "bantime": 600, "failures": 5, **more}))  # type: ignore[arg-type]


def prolong(fid: str = "192.0.2.1", time: float = T0, seen: float | None = None, **more: object) -> ProlongLine:
    """A prolong likewise."""
    return ProlongLine(**_ticket(fid, time, seen, {"bantime": 1200, "bancount": 2, **more}))  # type: ignore[arg-type]


def unban(fid: str = "192.0.2.1", time: float = T0, seen: float | None = None, **more: object) -> UnbanLine:
    """An unban likewise."""
    return UnbanLine(**_ticket(fid, time, seen, more))  # type: ignore[arg-type]


def held_ticket(fid: str = "192.0.2.1", time: float = T0, seen: float | None = None, **more: object) -> HeldTicket:
    """What a snapshot says of a ban that is in force."""
    return HeldTicket(**_ticket(fid, time, seen, more))  # type: ignore[arg-type]


def ended_ticket(fid: str = "192.0.2.1", time: float = T0, seen: float | None = None, **more: object) -> EndedTicket:
    """What a snapshot says of a ban that is in force no longer."""
    return EndedTicket(**_ticket(fid, time, seen, {"reason": "not held", **more}))  # type: ignore[arg-type]


def start(seen: float = T0, writer: str = "a", **more: object) -> StartLine:
    """The action begins."""
    return StartLine(**_line(seen, {"writer": writer, "version": "1.0.2", **more}))  # type: ignore[arg-type]


def stop(seen: float = T0, writer: str = "a", **more: object) -> StopLine:
    """The action ends."""
    return StopLine(**_line(seen, {"writer": writer, **more}))  # type: ignore[arg-type]


def held(*bans: tuple[str, int, int, int], as_of: float = T0, writer: str = "a", **more: Any) -> HeldLine:
    """A snapshot: (fid, time, bantime, bancount) of each ban."""
    return HeldLine(**_line(more.pop("seen", as_of + 1), {"writer": writer, "as_of": as_of, "bans": bans, **more}))  # type: ignore[arg-type]


def gap(seen: float = T0, bans: int = 3, others: int = 1, seq: int = 9) -> GapLine:
    """A gap likewise."""
    return GapLine(
        v=1, seen=seen, seq=seq, server="web1", jail="sshd", since=seen - 60, bans=bans, others=others, reason="full"
    )


def _line(seen: float, more: dict[str, object]) -> dict[str, object]:
    return {"v": 1, "seq": 1, "server": "web1", "jail": "sshd", "seen": seen, **more}


def _ticket(fid: str, time: float, seen: float | None, more: dict[str, object]) -> dict[str, object]:
    moment = time + 1 if seen is None else seen
    return {"v": 1, "seq": 1, "server": "web1", "jail": "sshd", "fid": fid, "time": time, "seen": moment, **more}


def encode(event: Event) -> bytes:
    """The line that the action would have written."""
    return msgspec.json.encode(event) + b"\n"


def nowhere(_address: str | None, _time: float) -> Place:
    """A place for every address, without asking."""
    return Place("public", "DE", "test") if _address else Place("none")


_fids = st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "198.51.100.0/24", "user:{x} %\n"])
_seen = st.integers(0, 6).map(lambda n: float(T0 + n))
_times = st.sampled_from([T0, T0 + 0.4, T0 + 1, T0 + 40 * 86_400])
_common = {
    "v": st.just(1),
    "seq": st.integers(1, 50),
    "server": st.sampled_from(["web1", "web2"]),
    "jail": st.sampled_from(["sshd", "a|b:{c}"]),
    "fid": _fids,
    "time": _times,
    "seen": _seen,
    "at": st.sampled_from([0.0, 0.0, T0 - 3.0, T0 + 3.0]),
    "bantime": st.sampled_from([-1, 60, 600]),
    "bancount": st.integers(1, 3),
    "failures": st.integers(0, 3),
}

ticket_lines: st.SearchStrategy[BanLine | ProlongLine | UnbanLine] = st.one_of(
    st.builds(
        BanLine,
        **_common,
        restored=st.sampled_from([0, 0, 1]),
        users=st.lists(
            st.sampled_from(["root", "admin", "é x", "invalid user root", "['root', 'é x']"]), max_size=2
        ).map(tuple),
        matches=st.lists(st.sampled_from(["a", "b"]), max_size=1).map(tuple),
        origin=st.sampled_from(["", "", "import"]),
        country=st.sampled_from(["", "CN", "AT", "XX", "x:", "cn"]),
    ),
    st.builds(ProlongLine, **_common),
    st.builds(UnbanLine, **_common),
)
"""What a spool may hold of tickets."""

amendments: st.SearchStrategy[TicketLine] = st.one_of(
    ticket_lines,
    st.builds(HeldTicket, **_common),
    st.builds(EndedTicket, **_common, reason=st.sampled_from(["not held", "not restored"])),
)
"""What may be merged into the record of a ban."""

gap_lines = st.builds(gap, seen=_seen, bans=st.integers(0, 3), others=st.integers(0, 3), seq=st.integers(1, 4))

events: st.SearchStrategy[Event] = st.one_of(ticket_lines, ticket_lines, ticket_lines, gap_lines)
