"""Positions of the spool: never ahead of what was handed out; what a store lost comes again, or is a gap, just once."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from banledger.spool.events import BanLine, GapLine
from banledger.spool.position import Loss, Position
from banledger.spool.reader import SpoolReader
from tests.support.segments import Writer

KEEP_S = 100.0

_steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 6)),
        st.tuples(st.sampled_from(["rotate", "rollback", "rewind", "kind", "age", "age"]), st.just(0)),
        st.tuples(st.just("commit"), st.integers(1, 8)),
        st.tuples(st.just("wait"), st.sampled_from([10, 60, 150])),
    ),
    max_size=16,
)


class _World:
    """A spool with one writer, and what a ledger would hold."""

    def __init__(self, folder: Path) -> None:
        self.spool = SpoolReader(folder, keep_s=KEEP_S)
        self.writer = Writer(folder)
        self.now = 0.0
        self.lines: set[int] = set()  # recorded, or of a kind that is skipped
        self.gaps: list[tuple[int, int]] = []  # first and last line
        self.position = 0
        self.skipped: set[int] = set()

    def do(self, step: str, number: int) -> None:
        if step == "write":
            self.writer.write(*["192.0.2.1"] * number)
        elif step == "kind":
            self.writer.write_kind("begin")
            self.skipped.add(self.writer.seq)
        elif step == "rotate":
            self.writer.rotate()
        elif step == "rewind":
            self.spool.rewind()
        elif step == "age":
            self.writer.rotate()
            self.drain()
            self.now += 2 * KEEP_S
            self.drain()
        elif step == "wait":
            self.now += number
        elif step == "rollback":
            self.spool.read(self.now, 5)
            self.spool.rollback()
        else:
            self.record(number)

    def record(self, limit: int) -> bool:
        """A batch; whether there was anything."""
        self.now += 0.1
        events = self.spool.read(self.now, limit)
        self.lines |= {event.seq for event in events if isinstance(event, BanLine)}
        self.gaps += [(event.seq - event.bans + 1, event.seq) for event in events if isinstance(event, GapLine)]
        for position in self.spool.numbers.positions():
            counted = {number for first, last in self.gaps for number in range(first, last + 1)}
            assert set(range(1, position.last + 1)) <= self.lines | self.skipped | counted
            self.position = max(self.position, position.last)
        self.spool.commit()
        return bool(events) or self.spool.doubtful

    def drain(self) -> None:
        while self.record(50):
            pass

    def close(self) -> None:
        self.spool.close()
        self.writer.close()


@settings(deadline=None)
@given(_steps)
def test_a_position_is_never_ahead_and_present_lines_are_never_missing(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = _World(Path(folder))
        for step in steps:
            world.do(*step)
        world.drain()
        assert world.gaps == []
        assert world.position == world.writer.seq
        assert world.lines | world.skipped == set(range(1, world.writer.seq + 1))
        world.close()


@settings(deadline=None)
@given(_steps, st.integers(0, 60), _steps)
def test_a_lost_line_is_read_again_or_a_gap_and_never_both(
    steps: list[tuple[str, int]], had: int, then: list[tuple[str, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = _World(Path(folder))
        for step in steps:
            world.do(*step)
        had %= world.position + 1
        if had < world.position:
            known = Position("web1", world.writer.name, "sshd", 1, world.position, 5.0)
            world.lines = {number for number in world.lines if number <= had}
            world.position = had
            world.spool.reread([Loss(known, had + 1)])
        for step in then:
            world.do(*step)
        world.drain()
        counted = [number for first, last in world.gaps for number in range(first, last + 1)]
        assert len(counted) == len(set(counted))
        assert not world.lines & set(counted)
        assert world.lines | world.skipped | set(counted) == set(range(1, world.writer.seq + 1))
        world.close()
