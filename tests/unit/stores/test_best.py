"""The tokens with most rows, however they are added."""

from collections import Counter
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from banledger.stores.best import Best

_NUMBERS = st.lists(st.integers(0, 40), max_size=200) | st.lists(st.integers(0, 4000), max_size=200)


@given(st.lists(_NUMBERS, max_size=4), st.none() | st.integers(0, 3))
def test_rows_one_by_one_rank_as_counted_ones(parts: list[list[int]], most: int | None) -> None:
    counted, each = Best(most), Best(most)
    for place, part in enumerate(parts):
        keys = [number * 10 + place for number in part]  # a token is in one part
        counted.add(Counter(keys), str)
        each.add_each(iter(keys), str)
    assert each.rank() == counted.rank()


@given(_NUMBERS, st.integers(1, 3))
def test_many_tokens_with_one_row_are_left_out_of_a_short_list(numbers: list[int], most: int) -> None:
    seldom = range(100_000, 103_000)
    best = Best(most)
    best.add_each(seldom, str)
    best.add_each(numbers * 2, str)
    wanted = sorted([(len(list(rows)), str(number)) for number, rows in groupby(sorted(numbers * 2))], reverse=True)
    assert [pair[::-1] for pair in wanted[:most]] == list(best.rank().rows)[: len(wanted[:most])]
    assert best.rank().counted == 3000 + 2 * len(numbers)
