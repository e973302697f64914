"""What must be written for entries to follow their hash."""

from hypothesis import given
from hypothesis import strategies as st

from banledger.stores.change import NOTHING, Difference, Entries, Ranking, Score, difference

_names = st.sampled_from("abc")
_states = st.builds(
    lambda sets, scores, tallies: Entries(
        "id",
        tuple(sorted(sets)),
        tuple(Score(key, "id", score) for key, score in sorted(scores.items())),
        tuple(sorted(tallies)),
        tuple(Ranking(f"top:{key}", key, (key,)) for key in sorted(sets)),
    ),
    st.sets(_names),
    st.dictionaries(_names, st.sampled_from([1.0, 2.0])),
    st.sets(st.tuples(_names, _names)),
)


@given(_states, _states)
def test_a_difference_leads_from_one_state_to_the_other(before: Entries, after: Entries) -> None:
    wanted = difference(before, after)
    assert (set(before.sets) | set(wanted.joins)) - set(wanted.leaves) == set(after.sets)
    scores = {score.key: score.score for score in (*before.scores, *wanted.scores)}
    assert {key: score for key, score in scores.items() if score is not None} == {
        score.key: score.score for score in after.scores
    }
    assert set(wanted.fewer) <= set(before.tallies) and not set(wanted.more) & set(before.tallies)
    assert {*before.tallies, *wanted.more} - set(wanted.fewer) == set(after.tallies)
    assert {ranking.member for ranking in wanted.rankings} == {*wanted.joins, *wanted.leaves}
    assert wanted.member == "id"


@given(_states)
def test_from_a_state_to_itself_nothing_is_written(state: Entries) -> None:
    assert difference(state, state) in (Difference("id"), difference(NOTHING, state))
    assert difference(state, state) == Difference("id") or not (state.sets or state.scores or state.tallies)
