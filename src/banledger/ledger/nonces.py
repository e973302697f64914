"""The nonces that this recorder drew for its leases on labels, kept on disk across restarts.

Theory of operation. A recorder that knows the nonce in the store is the one that renewed last, possibly before a
restart. So nonces are written and synced before the store gets them: no crash leaves an unknown nonce in the store.
Each lease has one file, replaced as a whole. Without a directory, or if it can't be written, nonces are kept in memory
only: then a recorder that was killed must wait until its own lease has run out.
"""

import hashlib
import logging
import os
import re
from contextlib import suppress
from pathlib import Path

KEPT = 16
"""How many nonces of a lease are kept: a store that went back may have an older one."""

_LONGEST_FILE = 4096
_NONCE = re.compile("[0-9a-f]{1,32}")

_log = logging.getLogger("banledger")


class Nonces:
    """`directory`: created if it is missing; None: nothing is kept on disk. Used by one thread.

    Never raises OSError: the first failure to write is logged.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._known: dict[str, tuple[str, ...]] = {}
        self._warned = False

    def of(self, lease: str) -> tuple[str, ...]:
        """Return the nonces drawn for a lease, oldest first. `lease`: any text that names it."""
        if lease not in self._known:
            self._known[lease] = self._read(lease)
        return self._known[lease]

    def add(self, lease: str, nonce: str) -> None:
        """Keep a nonce (hexadecimal digits). If possible, it is on disk when this returns."""
        self._known[lease] = (*(one for one in self.of(lease) if one != nonce), nonce)[-KEPT:]
        if self._directory is None:
            return
        try:
            self._write(self._directory, lease)
        except OSError as error:
            if not self._warned:
                self._warned = True
                _log.warning(
                    "can't write to %s (%s): if the recorder is killed, its bans will wait for a minute",
                    self._directory,
                    error.strerror,
                )

    def _read(self, lease: str) -> tuple[str, ...]:
        if self._directory is None:
            return ()
        with suppress(OSError, UnicodeDecodeError), _path(self._directory, lease).open("rb") as file:
            words = file.read(_LONGEST_FILE).decode("ascii").split()
            return tuple(word for word in words if _NONCE.fullmatch(word))[-KEPT:]
        return ()

    def _write(self, directory: Path, lease: str) -> None:
        owner = directory.parent.stat()
        directory.mkdir(mode=0o700, exist_ok=True)
        path = _path(directory, lease)
        draft = path.with_suffix(".new")
        with open(draft, "w", encoding="ascii", opener=_private) as file:  # it needs an opener
            file.write("\n".join(self._known[lease]))
            file.flush()
            os.fsync(file.fileno())
            if os.geteuid() == 0:  # `record --once` as root: the service must be able to read and replace it
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                os.chown(directory, owner.st_uid, owner.st_gid)
        draft.replace(path)
        _sync(directory)


def _path(directory: Path, lease: str) -> Path:
    return directory / hashlib.sha256(lease.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
