"""Sorting in bounded memory is sorting."""

from hypothesis import given
from hypothesis import strategies as st

from banledger.importer.log_event import LogEvent
from banledger.importer.sorted_events import SortedEvents

_events = st.builds(
    LogEvent,
    st.integers(0, 30).map(float),
    st.integers(1, 14),
    st.sampled_from(["a", "é"]),
    st.sampled_from(["x", "y"]),
    st.sampled_from([0.0, -1.0, 7.5]),
    st.integers(0, 2),
    st.integers(0, 2),
)


@given(st.lists(_events, max_size=60), st.integers(1, 70))
def test_events_come_back_sorted_whatever_fits_in_memory(events: list[LogEvent], in_memory: int) -> None:
    with SortedEvents(in_memory) as kept:
        for event in events:
            kept.add(event)
        assert list(kept) == sorted(events)


def test_runs_of_many_pieces_are_read_whole() -> None:
    events = [LogEvent(float(n * 7919 % 5000), 7, "sshd", str(n)) for n in range(5000)]
    with SortedEvents(1300) as kept:
        for event in events:
            kept.add(event)
        assert list(kept) == sorted(events)
