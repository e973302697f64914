"""`banledger store restore`."""

import itertools
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from banledger.cli import completion
from banledger.cli.options import store_options
from banledger.cli.progress import ProgressBars
from banledger.cli.store_backup import STDIO, bans_of, give, private, sync, work_in
from banledger.cli.store_ends import settings_of, source_end, target_end
from banledger.errors import BanledgerError, LedgerFaulty, LedgerLocked, StoreError, StoreUnavailable
from banledger.report.formats.escape import many, visible

if TYPE_CHECKING:
    from banledger.settings import Settings


@click.command(short_help="Make a ledger of a backup.")
@click.argument("file", metavar="FILE|-", shell_complete=completion.path)
@click.option("--replace", is_flag=True, help="In the place of the ledger that is there, which is kept.")
@store_options
def restore(file: str, *, replace: bool, **flags: str | None) -> None:
    """Make the ledger that the settings or the flags name from the backup FILE, or standard input (-).

    Stop the recorder first (bans wait in the spool). Where a ledger is, --replace puts the backup in its place and
    keeps the old files under another name. On Redis or Valkey no ledger may have that prefix.

    When the recorder starts again, it records what the spool still holds of the time after the backup; the rest is a
    gap in the record.

    \b
    Example:
      systemctl stop banledger
      banledger store restore /var/backups/ledger.zst --replace
      systemctl start banledger
    """
    from banledger.stores.connect import embedded

    chosen = settings_of(flags)
    path = embedded(chosen.store)
    with ProgressBars() as progress:
        if path is None:
            if replace:
                raise click.UsageError("--replace is for embedded ledgers", click.get_current_context())
            bans = _to_server(file, chosen, progress)
        else:
            bans = _to_file(file, path, chosen.prefix, progress, replace=replace)
        progress.clear()
    click.echo(f"restored {many(bans, 'ban')} from {'standard input' if file == STDIO else visible(file)}")


def _unpack(file: str, target: Path, progress: ProgressBars) -> None:
    """Write what the backup holds, and verify it."""
    from banledger.ledger.archive import unpack
    from banledger.stores.sqlite.snapshot import check_whole

    try:
        source = sys.stdin.buffer if file == STDIO else Path(file).open("rb")  # noqa: SIM115  # closed below
    except OSError as error:
        raise BanledgerError(f"can't read {file}: {error.strerror}", hint="check its path and mode") from error
    with source, private(target) as out:
        unpack(source, out, lambda done: progress("restoring: bytes", done, done))
        out.flush()
        os.fsync(out.fileno())
    check_whole(target)


def _to_server(file: str, chosen: "Settings", progress: ProgressBars) -> int:
    """Copy the backup to a server, and verify the copy."""
    from msgspec.structs import replace

    from banledger.ledger import copy as copying

    with work_in(None) as folder:
        plain = folder / "ledger.db"
        _unpack(file, plain, progress)
        bans = bans_of(plain, chosen.prefix)
        with source_end(replace(chosen, store=str(plain))) as source, target_end(chosen) as target:
            copying.copy(source, target, progress=progress)
            wrong = list(copying.verify(source, target, progress))
    if wrong:
        raise LedgerFaulty("the ledger differs from the backup", hint="stop every recorder, and restore again")
    return bans


def _to_file(file: str, path: Path, prefix: str, progress: ProgressBars, *, replace: bool) -> int:
    """Put the backup in the place of an embedded ledger."""
    from banledger.cli.directory import check_directory
    from banledger.stores.sqlite.lock import take

    check_directory(str(path))
    if path.exists() and path.stat().st_size and not replace:
        raise StoreError(f"there is a ledger at {path}", hint="--replace puts the backup in its place, and keeps it")
    _settle(path)
    lock = take(path)
    try:
        fresh = lock.path.with_name(f"{lock.path.name}.restoring")
        fresh.unlink(missing_ok=True)
        try:
            _unpack(file, fresh, progress)
            bans = bans_of(fresh, prefix)
            with fresh.open("rb") as made:
                give(made.fileno(), lock.path)
            _keep(lock.path)
            fresh.replace(lock.path)
            for end in ("-wal", "-shm"):  # they belong to the old one
                lock.path.with_name(lock.path.name + end).unlink(missing_ok=True)
            sync(lock.path.parent)
        finally:
            for name in (fresh.name, f"{fresh.name}-wal", f"{fresh.name}-shm"):
                fresh.with_name(name).unlink(missing_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"can't write {path}: {error.strerror}", hint="make room, or check its owner") from error
    finally:
        lock.close()
    return bans


def _settle(path: Path) -> None:
    """Bring what the old ledger's `-wal` holds into its file, if it can be opened. Raises LedgerLocked."""
    from banledger.stores.sqlite.engine import open_writer

    if path.exists() and path.stat().st_size:
        try:
            open_writer(path).close()
        except LedgerLocked:
            raise
        except StoreError:
            return  # it may be damaged: that is why it is replaced


def _keep(path: Path) -> None:
    """Keep the old ledger under another name, if it has anything; with a `-wal` that could not be brought into it."""
    if not path.stat().st_size:
        return
    name = f"{path.name}.before-restore-{time.strftime('%Y%m%d-%H%M%S')}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    kept = next(one for one in map(path.with_name, names) if not one.exists())
    os.link(path, kept)
    wal = path.with_name(f"{path.name}-wal")
    with suppress(FileNotFoundError):
        if wal.stat().st_size:
            os.link(wal, kept.with_name(f"{kept.name}-wal"))
    click.echo(f"the old ledger is kept as {visible(str(kept))}")
