"""Filters of bans by a dimension: the flag, and the meaning of its values. Used by `--help`: no slow imports."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from banledger.errors import QuestionError

if TYPE_CHECKING:
    from banledger.stores.selection import Condition

PRIVATE = "private"
"""Value of the country filter for private and other special addresses."""

SCOPE = "scope"
"""The column of a ban's scope."""

_LONGEST = 20  # digits: Python refuses to read a number of thousands


class Filter(NamedTuple):
    """The filter of a dimension. Its flag has the dimension's name.

    metavar  the flag's argument in the help
    help     the flag's help
    spelled  return a typed value in canonical form; raises QuestionError
    beyond   return the condition of a value that selects more bans than those with its token; None for all other values
    """

    metavar: str
    help: str
    spelled: Callable[[str], str] = str
    beyond: Callable[[str], "Condition | None"] = lambda _: None


def country(value: str) -> str:
    """Return a country code in capitals; `private` as it is. Raises QuestionError."""
    if value.lower() == PRIVATE:
        return PRIVATE
    if len(value) != 2 or not value.isascii() or not value.isalpha():
        raise QuestionError(f"invalid country {value!r}", hint="two letters such as CN, XX for unknown, or private")
    return value.upper()


def private(value: str) -> "Condition | None":
    """Return the condition for bans of special addresses if `value` is `private`."""
    from banledger.stores.selection import Is

    return Is(SCOPE, frozenset((PRIVATE,))) if value == PRIVATE else None


def address(value: str) -> str:
    """Return an address or network in canonical form. Raises QuestionError."""
    from banledger.net.address import canonical_address

    found = canonical_address(value.strip())
    if found is None:
        raise QuestionError(
            f"invalid address {value!r}", hint="an address or a network such as 192.0.2.7 or 192.0.2.0/24"
        )
    return found


def inside(value: str) -> "Condition | None":
    """Return the condition for bans inside a network if `value` is one."""
    from banledger.stores.selection import Within

    return Within("ip", value) if "/" in value else None


def system(value: str) -> str:
    """Return the number of an autonomous system, from `64496` or `AS64496`. Raises QuestionError."""
    number = value.strip().upper().removeprefix("AS")
    if not (number.isascii() and number.isdecimal() and len(number) <= _LONGEST and int(number) < 2**32):
        raise QuestionError(f"invalid autonomous system {value!r}", hint="a number such as 64496, or AS64496")
    return str(int(number))
