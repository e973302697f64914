"""User names as a record keeps them, and those that fail2ban's database hands back as the text of a list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banledger.ledger.users import tried, whole

NAMES = st.text(st.characters() | st.sampled_from("\\'\"[], \udc80é"), max_size=40)
TEXTS = st.text(st.sampled_from("['\"], \\x41uU0ab"), max_size=300) | st.lists(NAMES, max_size=4).map(str)


def visible(names: list[str]) -> list[str]:
    """As lines with lone surrogates are read."""
    return [name.encode("utf-8", "backslashreplace").decode() for name in names]


def restored(*names: str) -> tuple[str, ...]:
    return tried(names, restored=True)


def test_names_lose_the_filters_prefix() -> None:
    assert tried(("invalid user bob", "bob", ""), restored=False) == ("bob",)
    assert restored("['invalid user bob', 'bob', 'root']") == ("bob", "root")


def test_list_text_is_parsed_only_for_restored_bans() -> None:
    assert restored("['root', 'pi']") == ("pi", "root")
    assert tried(("['root', 'pi']",), restored=False) == ("['root', 'pi']",)
    assert restored("['root', 'pi']", "root") == ("['root', 'pi']", "root")


@given(st.sets(NAMES, min_size=1, max_size=12).map(list).filter(lambda names: len(str(names)) < 256))
def test_any_names_round_trip_through_list_text(names: list[str]) -> None:
    assert restored(str(names)) == restored(*visible(names))


@given(st.lists(NAMES, min_size=2, max_size=40, unique=True).filter(lambda names: len(str(names)) > 256))
def test_whole_names_of_truncated_text_are_kept(names: list[str]) -> None:
    fits = [name for at, name in enumerate(names) if len(str(names[: at + 1]).removesuffix("]")) <= 256]
    assert restored(str(names)[:256]) == restored(*visible(fits))


@pytest.mark.parametrize("length", range(1, 260))
def test_truncated_text_leaves_no_partial_name(length: int) -> None:
    first, second = "a" * length, "b\U000e0001" * 100
    assert restored(str([first, second])[:256]) == ((first,) if length + 3 <= 256 else ())


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "[]",
        "[root]",
        "['root'",
        "['root', ",
        "['root']]",
        "['root' 'pi']",
        "['root',]",
        "['root', 7]",
        r"['\N{BULLET}']",
        r"['\x4']",
        r"['\Uffffffff']",
        "['a\nb']",
        "[['root'], 'pi']",
        "__import__('os')",
    ],
)
def test_text_that_is_not_a_list_stays_a_name(text: str) -> None:
    assert restored(text) == (text,)


@given(st.lists(TEXTS, max_size=3))
def test_stored_names_are_never_list_text(texts: list[str]) -> None:
    users = restored(*texts)
    assert whole(users) is users
    for user in users:
        user.encode()


def test_nested_list_text_is_parsed() -> None:
    assert restored(str([str([str(["root", "pi"])])])) == ("pi", "root")
