"""Lua scripts: files of the package, and their calls."""

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files

from msgspec import Struct

from banledger.stores.redis.entries import Command
from banledger.stores.redis.wire import packed

_LINE = re.compile(r"user_script: ?(\d+)")
_CALL = re.compile(r"call\('(\w+)'")


class Script:
    """A Lua script of the package, and its SHA-1, by which the server identifies it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = files("banledger.stores.redis").joinpath(name).read_text(encoding="utf-8")
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def call(self, keys: Sequence[str], argument: bytes) -> "Call":
        """Return a call with these keys and this argument."""
        return Call(self, (len(keys), *keys, argument))

    def at(self, said: str) -> str:
        """Return where in the script an error arose, for a message: servers seldom name the command."""
        line = _LINE.search(said)
        command = _CALL.search(self.text.splitlines()[int(line[1]) - 1]) if line else None
        return f"{command[1]} in {self.name}" if command else self.name


class Call(Struct, frozen=True):
    """A call of a script."""

    script: Script
    words: Command

    @property
    def packed(self) -> bytes:
        """The bytes of a command that names the script by its SHA-1."""
        return packed([("EVALSHA", self.script.digest, *self.words)])

    @property
    def long(self) -> Command:
        """A command that contains the script's text."""
        return ("EVAL", self.script.text, *self.words)
