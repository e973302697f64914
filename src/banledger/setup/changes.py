"""Changes to a machine's files: each is in the journal before it is made, and is made whole or not at all."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from banledger.setup.journal import Before, Journal, seen, sync

Owner = tuple[int, int]
ROOT: Owner = (0, 0)
STATE = "/var/lib/banledger-setup"


class FileChanges:
    """Files below a root directory. Paths are the machine's own: `/etc/…`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.journal = Journal(self.place(STATE))

    def place(self, path: str) -> Path:
        """Where a path of the machine is."""
        return self.root / path.lstrip("/")

    def has_file(self, path: str, content: bytes, mode: int = 0o644, owner: Owner = ROOT) -> bool:
        """Whether the file is there, exactly so."""
        now = seen(path, self.place(path))
        return now == Before(path, "file", mode, *owner, content)

    def write(self, path: str, content: bytes, mode: int = 0o644, owner: Owner = ROOT) -> None:
        """Write a file."""
        self._remember(path)
        write_whole(self.place(path), content, mode, owner)

    def has_link(self, path: str, target: str) -> bool:
        """Whether the symbolic link is there."""
        now = seen(path, self.place(path))
        return now.kind == "link" and now.target == target

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link."""
        self._remember(path)
        link_whole(self.place(path), target)

    def has_directory(self, path: str, mode: int, owner: Owner) -> bool:
        """Whether the directory is there, exactly so."""
        return seen(path, self.place(path)) == Before(path, "directory", mode, *owner)

    def directory(self, path: str, mode: int, owner: Owner, *, data: bool = False) -> None:
        """Make a directory, or give it its owner and mode. data: it is kept until the data is purged."""
        self._remember(path, data=data)
        place = self.place(path)
        with suppress(FileExistsError):
            place.mkdir(mode=0o700)
        os.chown(place, *owner, follow_symlinks=False)
        place.chmod(mode)

    def new_tree(self, path: str) -> Path:
        """A new empty directory, in which to make one that `put_tree` puts in its place."""
        place = self.place(path)
        if self.journal.entry(path) is None and place.exists():
            self.journal.remember(Before(path, "moved", target=_aside(path)))
        self._remember(path, tree=True)
        new = _new_tree(place)
        remove(new)
        new.mkdir(mode=0o755)
        return new

    def put_tree(self, path: str) -> None:
        """Put the directory that was made in its place. What was there before the first setup is moved aside."""
        place, aside = self.place(path), self.place(_aside(path))
        entry = self.journal.entry(path)
        if place.exists() and entry is not None and entry.kind == "moved" and not aside.exists():
            place.rename(aside)
        os.sync()
        remove(place)
        _new_tree(place).rename(place)
        sync(place.parent)

    def remember(self, path: str) -> None:
        """Note what is at a place that something else will change."""
        self._remember(path)

    def restore(self, entry: Before, *, purge: bool) -> bool:
        """Make a place as it was; return whether it is. False: its data is kept, or it has files of others."""
        if entry.data and not purge:
            return False
        place = self.place(entry.path)
        new_name(place).unlink(missing_ok=True)
        if entry.tree or entry.kind == "moved":
            remove(_new_tree(place))
        owner = (entry.uid, entry.gid)
        match entry.kind:
            case "absent":
                return remove(place) if entry.tree or entry.data else remove_own(place)
            case "file":
                if place.is_dir() and not place.is_symlink():
                    shutil.rmtree(place)
                place.parent.mkdir(parents=True, exist_ok=True)
                write_whole(place, entry.content, entry.mode, owner)
            case "link":
                link_whole(place, entry.target)
            case "directory" if place.is_dir():
                os.chown(place, *owner)
                place.chmod(entry.mode)
            case "moved" if self.place(entry.target).exists():
                remove(place)
                self.place(entry.target).rename(place)
        return True

    def _remember(self, path: str, *, tree: bool = False, data: bool = False) -> None:
        """Journal the place, and directories above it that are missing; make those."""
        place = self.place(path)
        for above in reversed(place.relative_to(self.root).parents):
            name = f"/{above}"
            if not (self.root / above).exists():
                self.journal.remember(Before(name, "absent"))
                (self.root / above).mkdir(mode=0o755)
        self.journal.remember(replace(seen(path, place), tree=tree, data=data))


def write_whole(place: Path, content: bytes, mode: int, owner: Owner) -> None:
    """Write a file so that it is either as before or as it shall be."""
    new = new_name(place)
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        os.fchown(file.fileno(), *owner)
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(place)
    sync(place.parent)


def link_whole(place: Path, target: str) -> None:
    """The same for a symbolic link."""
    new = new_name(place)
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(place)
    sync(place.parent)


def _aside(path: str) -> str:
    return path + ".before-setup"


def _new_tree(place: Path) -> Path:
    return place.with_name(place.name + ".new")


def new_name(place: Path) -> Path:
    """Where a file is written before it takes its place: hidden, so that no program reads it."""
    return place.with_name(f".{place.name}.banledger-new")


def remove(place: Path) -> bool:
    """Remove what is there, with all that is in it."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    return True


def remove_own(place: Path) -> bool:
    """Remove a file, a link or an empty directory; return whether nothing is left."""
    if place.is_dir() and not place.is_symlink():
        with suppress(OSError):
            place.rmdir()
        return not place.exists()
    place.unlink(missing_ok=True)
    return True
