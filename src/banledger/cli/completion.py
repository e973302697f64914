"""Words that a shell offers for a value: dimensions, and jails, servers and the like that the ledger has.

A shell puts a word into the command line as it is, so names that a shell would read as more than a word are left out.
"""

import re
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import islice

import click
from click.shell_completion import CompletionItem

from banledger.errors import BanledgerError
from banledger.ledger.dimensions import TABLE

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@/-]*")
_MOST = 500


def dimensions(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The dimensions that begin so."""
    names = {row.name: row.noun for row in TABLE.values() if "+" not in row.name}
    return [CompletionItem(name, help=noun or None) for name, noun in names.items() if name.startswith(begun)]


def path(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """A file, by the shell itself."""
    return [CompletionItem(begun, type="file")]


def directory(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """A directory, by the shell itself."""
    return [CompletionItem(begun, type="dir")]


def recorded(dimension: str) -> Complete:
    """The values of a dimension with most bans. None of a ledger on a server, which may be slow, or of a broken one."""

    def complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        with suppress(BanledgerError, OSError):
            return [CompletionItem(name) for name in _values(context, dimension) if name.startswith(begun)]
        return []

    return complete


def _values(context: click.Context, dimension: str) -> list[str]:
    from banledger import settings
    from banledger.ledger.opening import open_to_read
    from banledger.ledger.tokens import text_of
    from banledger.stores.connect import access, is_server

    known = settings.load({name: context.params.get(name) for name in ("store", "prefix", "config")})
    if is_server(known.store):
        return []
    with closing(open_to_read(known.store, known.prefix, access(known))) as reader:
        names = [text_of(token) for token, _ in islice(reader.ranked(dimension), _MOST)]
    return [name for name in names if _WORD.fullmatch(name)]
