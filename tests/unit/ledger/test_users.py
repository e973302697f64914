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


def test_names_lose_what_the_filter_put_before_them() -> None:
    assert tried(("invalid user bob", "bob", ""), restored=False) == ("bob",)
    assert restored("['invalid user bob', 'bob', 'root']") == ("bob", "root")


def test_the_text_of_a_list_is_its_names_only_where_the_ban_was_restored() -> None:
    assert restored("['root', 'pi']") == ("pi", "root")
    assert tried(("['root', 'pi']",), restored=False) == ("['root', 'pi']",)
    assert restored("['root', 'pi']", "root") == ("['root', 'pi']", "root")


@given(st.sets(NAMES, min_size=1, max_size=12).map(list).filter(lambda names: len(str(names)) < 256))
def test_any_names_come_back_from_the_text_of_their_list(names: list[str]) -> None:
    assert restored(str(names)) == restored(*visible(names))


@given(st.lists(NAMES, min_size=2, max_size=40, unique=True).filter(lambda names: len(str(names)) > 256))
def test_of_a_text_that_was_cut_the_whole_names_are_kept(names: list[str]) -> None:
    fits = [name for at, name in enumerate(names) if len(str(names[: at + 1]).removesuffix("]")) <= 256]
    assert restored(str(names)[:256]) == restored(*visible(fits))


@pytest.mark.parametrize("length", range(1, 260))
def test_no_part_of_a_name_is_left_wherever_the_text_was_cut(length: int) -> None:
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
def test_what_is_no_text_of_a_list_of_names_stays_a_name(text: str) -> None:
    assert restored(text) == (text,)


@given(st.lists(TEXTS, max_size=3))
def test_what_is_kept_is_never_the_text_of_a_list(texts: list[str]) -> None:
    users = restored(*texts)
    assert whole(users) is users
    for user in users:
        user.encode()


def test_the_text_of_a_list_in_the_text_of_a_list_is_read_too() -> None:
    assert restored(str([str([str(["root", "pi"])])])) == ("pi", "root")
