"""Filters of bans by a dimension: the flag, and the meaning of its values. Used by `--help`: no slow imports."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from banledger.errors import QuestionError

if TYPE_CHECKING:
    from banledger.ledger.ban import Ban

PRIVATE = "private"
"""Value of the country filter for private and other special addresses."""

_LONGEST = 20  # digits: Python refuses to read a number of thousands

Test: TypeAlias = Callable[["Ban"], bool]


class Filter(NamedTuple):
    """The filter of a dimension. Its flag has the dimension's name.

    metavar  the flag's argument in the help
    help     the flag's help
    spelled  return a typed value in canonical form; raises QuestionError
    wide     return the test for a value that selects bans not only by its token; None for all other values
    """

    metavar: str
    help: str
    spelled: Callable[[str], str] = str
    wide: Callable[[str], Test | None] = lambda _: None


def country(value: str) -> str:
    """Return a country code in capitals; `private` as it is. Raises QuestionError."""
    if value.lower() == PRIVATE:
        return PRIVATE
    if len(value) != 2 or not value.isascii() or not value.isalpha():
        raise QuestionError(f"invalid country {value!r}", hint="two letters such as CN, XX for unknown, or private")
    return value.upper()


def private(value: str) -> Test | None:
    """Return the test for bans of special addresses if `value` is `private`."""
    return (lambda ban: ban.scope == "private") if value == PRIVATE else None


def address(value: str) -> str:
    """Return an address or network in canonical form. Raises QuestionError."""
    from banledger.net.address import canonical_address

    found = canonical_address(value.strip())
    if found is None:
        raise QuestionError(
            f"invalid address {value!r}", hint="an address or a network such as 192.0.2.7 or 192.0.2.0/24"
        )
    return found


def inside(value: str) -> Test | None:
    """Return the test for bans inside a network if `value` is one."""
    if "/" not in value:
        return None
    from banledger.net.prefix import block

    network = block(value)
    return lambda ban: ban.ip is not None and network.covers(block(ban.ip))


def system(value: str) -> str:
    """Return the number of an autonomous system, from `64496` or `AS64496`. Raises QuestionError."""
    number = value.strip().upper().removeprefix("AS")
    if not (number.isascii() and number.isdecimal() and len(number) <= _LONGEST and int(number) < 2**32):
        raise QuestionError(f"invalid autonomous system {value!r}", hint="a number such as 64496, or AS64496")
    return str(int(number))
