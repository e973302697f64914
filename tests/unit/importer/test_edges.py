"""The first and the last bans of all."""

from hypothesis import given
from hypothesis import strategies as st

from banledger.importer.edges import Edges, ToldBan


@given(st.lists(st.integers(0, 300), max_size=300))
def test_the_first_and_the_last_bans_are_kept_in_any_order(moments: list[int]) -> None:
    edges = Edges()
    for moment in moments:
        edges.add(float(moment), "sshd", "192.0.2.1")
    assert [one.moment for one in edges.first] == sorted(moments)[:8]
    assert [one.moment for one in edges.last] == sorted(moments)[-8:]
    assert all(isinstance(one, ToldBan) for one in edges.first)
