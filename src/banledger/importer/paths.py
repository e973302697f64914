"""The files that a command's paths name."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from banledger.importer.content import STDIN
from banledger.importer.refusal import unreadable

_MOST_FILES = 100_000


class NamedFile(Struct, frozen=True, order=True):
    """A file to import, or why it can't be (`reason`). `listed`: it was found in a directory, nobody named it."""

    path: str
    reason: str = ""
    listed: bool = False


def named(paths: Iterable[str]) -> list[NamedFile]:
    """Every file of the paths once, sorted; directories stand for all files in them. Links are followed only if named.

    The order of `paths` has no influence on the result.
    """
    found: list[NamedFile] = []
    seen: set[tuple[int, int]] = set()
    given = set(paths)
    for path in sorted(given):
        for file in _files(path):
            one = NamedFile(file.path, file.reason, file.path not in given)
            if one.reason or one.path == STDIN:
                found.append(one)
                continue
            try:
                status = Path(one.path).stat()
            except OSError as error:  # gone meanwhile, as a log that is rotated
                found.append(NamedFile(one.path, unreadable(error), one.listed))
                continue
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                found.append(one)
            if len(found) >= _MOST_FILES:
                return [*sorted(found), NamedFile(path, f"there are more than {_MOST_FILES:,} files")]
    return sorted(found)


def _files(path: str) -> Iterator[NamedFile]:
    """The file at a path, or all in the directory there."""
    if path == STDIN:
        yield NamedFile(path)
        return
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        yield NamedFile(path, unreadable(error))
        return
    if not stat.S_ISDIR(mode):
        yield NamedFile(path)
        return
    troubles: list[OSError] = []
    for directory, _, names in os.walk(path, onerror=troubles.append):
        yield from (_in_directory(os.path.join(directory, name)) for name in names)  # noqa: PTH118 - of any bytes
    yield from (NamedFile(str(error.filename), unreadable(error)) for error in troubles)


def _in_directory(path: str) -> NamedFile:
    try:
        if stat.S_ISLNK(Path(path).lstat().st_mode):
            return NamedFile(path, "it is a link, which is read only if you name it")
        Path(path).stat()
    except OSError as error:
        return NamedFile(path, unreadable(error))
    return NamedFile(path)
