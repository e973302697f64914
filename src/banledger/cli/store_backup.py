"""`banledger store backup`."""

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from banledger.cli import completion
from banledger.cli.options import store_options
from banledger.cli.progress import ProgressBars
from banledger.cli.store_ends import existing, settings_of, source_end, target_end
from banledger.errors import BanledgerError
from banledger.report.formats.escape import many, visible

if TYPE_CHECKING:
    from banledger.settings import Settings

_WORK = ".banledger-backup-"  # the beginning of the names of directories that are worked in
STDIO = "-"
_NAME_IT = "name one with --store and --prefix, or in the settings"


@click.command(short_help="Write a backup of the ledger to a file.")
@click.argument("file", metavar="FILE|-", shell_complete=completion.path)
@store_options
def backup(file: str, **flags: str | None) -> None:
    """Write a backup of the ledger to FILE, or to standard output (-), while the recorder goes on.

    The backup of an embedded ledger is of one moment, verified, and has the ledger's mode and owner. FILE is replaced
    when the new one is complete. It is a zstd frame of an SQLite database: zstd -d makes a ledger of it.

    A ledger on Redis or Valkey is copied key by key, as store copy does: what is recorded meanwhile may be in it or
    not. For one moment, stop the recorders first (bans wait in the spools), or use the server's own snapshot (SAVE).

    The disk of FILE (for -, TMPDIR's) needs room for the ledger twice.

    \b
    Example:
      banledger store backup /var/backups/ledger.zst
      banledger store backup - | ssh backup.example.org 'cat > ledger.zst'
    """
    if file == STDIO and sys.stdout.isatty():
        raise click.UsageError("a backup is not for a terminal: name a file", click.get_current_context())
    chosen = settings_of(flags)
    target = None if file == STDIO else Path(file).absolute()
    with existing(_NAME_IT), ProgressBars() as progress, _written(target), work_in(target) as folder:
        plain = folder / "ledger.db"
        _copy(chosen, plain, progress)
        bans = bans_of(plain, chosen.prefix)
        if target is None:
            _pack(plain, sys.stdout.buffer, progress)
            sys.stdout.buffer.flush()
        else:
            _replace(plain, target, _embedded(chosen), progress)
        progress.clear()
    size = f" ({_shown(target.stat().st_size)})" if target else ""
    where = visible(file) if target else "standard output"
    click.echo(f"backed up {many(bans, 'ban')} to {where}{size}", err=target is None)


@contextmanager
def _written(target: Path | None) -> Iterator[None]:
    """A file that can't be written is an error that the user can mend."""
    try:
        yield
    except OSError as error:
        what = f"{target or 'the output'}: {error.strerror or error}"
        raise BanledgerError(f"can't write {what}", hint="make room, or name another file") from error


@contextmanager
def work_in(target: Path | None) -> Iterator[Path]:
    """A directory of our own beside the target. Those of killed commands are removed."""
    place = target.parent if target else Path(tempfile.gettempdir())
    for left in place.glob(f"{_WORK}*"):
        with suppress(OSError), _locked(left):
            shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=_WORK, dir=place))
    try:
        with _locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock on a directory. Raises OSError if another command does."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def _embedded(chosen: "Settings") -> Path | None:
    from banledger.stores.connect import embedded

    return embedded(chosen.store)


def _copy(chosen: "Settings", plain: Path, progress: ProgressBars) -> None:
    """Write the ledger as a file of its own, and verify it."""
    from banledger.stores.sqlite.snapshot import check_whole, snapshot

    path = _embedded(chosen)
    with source_end(chosen) as source:  # raises if there is no ledger, or one of another layout
        if path is not None:
            progress("copying", 0, 1)
            snapshot(path, plain)
        else:
            from msgspec.structs import replace

            from banledger.ledger import copy as copying

            with target_end(replace(chosen, store=str(plain))) as target:
                copying.copy(source, target, progress=progress)
    check_whole(plain)


def bans_of(plain: Path, prefix: str) -> int:
    """Return the number of bans of a copy. Raises StoreError if it has none of that prefix."""
    from banledger.ledger.opening import open_to_read

    with closing(open_to_read(str(plain), prefix)) as reader:
        return sum(reader.days().values())


def _pack(plain: Path, out: IO[bytes], progress: ProgressBars) -> None:
    from banledger.ledger.archive import pack

    total = plain.stat().st_size
    pack(plain, out, lambda done: progress("compressing", done, total))


def _replace(plain: Path, target: Path, ledger: Path | None, progress: ProgressBars) -> None:
    """Write the archive beside the target, with the ledger's mode and owner, and put it in its place."""
    packed = plain.with_name("packed")
    with private(packed) as out:
        _pack(plain, out, progress)
        out.flush()
        give(out.fileno(), ledger)
        os.fsync(out.fileno())
    packed.replace(target)
    sync(target.parent)


def private(path: Path) -> IO[bytes]:
    """Make a file that nobody else may read, to write to it."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def give(fd: int, like: Path | None) -> None:
    """Give a file the mode and owner of another one, as far as we may; a server's backup is its maker's alone."""
    if like is None:
        return
    status = like.stat()
    own = os.fstat(fd)
    if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):  # a sandbox may forbid even the question
        with suppress(OSError):
            os.fchown(fd, status.st_uid, status.st_gid)
    same = os.fstat(fd).st_gid == status.st_gid
    os.fchmod(fd, status.st_mode & (0o660 if same else 0o600))


def sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _shown(size: int) -> str:
    from banledger.report.formats.size import shown_bytes

    return shown_bytes(size)
