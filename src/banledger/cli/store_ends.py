"""What commands of `banledger store` open: the ledger that is read, and the one that is written."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from banledger.errors import LedgerMissing

if TYPE_CHECKING:
    from banledger.ledger.copy import CopyEnd, Target
    from banledger.settings import Settings
    from banledger.stores.api import Engine


def settings_of(flags: dict[str, str | None], password_file: str | None = None) -> "Settings":
    from msgspec.structs import replace

    from banledger.cli.environment import load

    settings = load(flags)
    return replace(settings, password="", password_file=password_file) if password_file else settings


@contextmanager
def existing(hint: str) -> "Iterator[None]":
    """A ledger that must exist; the hint names the flags, since starting a recorder would not help."""
    try:
        yield
    except LedgerMissing as error:
        raise LedgerMissing(str(error), hint=hint) from error


@contextmanager
def source_end(settings: "Settings", oldest: int | None = None) -> "Iterator[CopyEnd]":
    """A ledger to read; of layout `oldest` or newer, None: of this version's."""
    from banledger.ledger.copy import CopyEnd
    from banledger.ledger.keys import LAYOUT
    from banledger.ledger.opening import open_to_read
    from banledger.stores.connect import access

    with closing(open_to_read(settings.store, settings.prefix, access(settings), oldest or LAYOUT)) as reader:
        yield CopyEnd(reader.store(), reader.keys)


@contextmanager
def target_end(settings: "Settings") -> "Iterator[Target]":
    """The bare engine: a recorder's `Ledger` would take ownership of the copy."""
    from banledger.cli.directory import check_directory
    from banledger.ledger.copy import Target
    from banledger.ledger.keys import Keyspace

    check_directory(settings.store)
    with closing(engine_of(settings)) as engine:
        yield Target(engine, Keyspace(settings.prefix))


def engine_of(settings: "Settings") -> "Engine":
    from banledger.ledger.keys import Keyspace
    from banledger.stores import connect

    return connect.writer(settings.store, Keyspace(settings.prefix), connect.access(settings))
