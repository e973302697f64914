"""A configuration of fail2ban, as fail2ban itself reads it: the answer of `jail_probe.py` as a value."""

from typing import Any

import msgspec
from msgspec import Struct

ACTION = "banledger"
"""The name of our action in a jail."""


class ReadJail(Struct, frozen=True):
    """A section of `jail.conf` and its companions.

    own: its own `action` as written, None: it has none. known: what `%(known/action)s` in it stands for. action: its
    action with all references resolved, None: that fails. error: why fail2ban can't use the jail. missing_log: why the
    server would refuse it for want of a log. stream: what the server is told about it, if it is enabled.
    """

    name: str
    own: str | None
    known: str | None
    enabled: bool
    action: str | None
    error: str
    missing_log: str
    stream: list[list[Any]]

    def reads_journal(self) -> bool:
        """Whether it is told to read systemd's journal."""
        return any(words[0] == "add" and str(words[2]).startswith("systemd") for words in self.stream)

    def actions(self) -> list[str]:
        """The names of its actions, in order."""
        return [str(words[3]) for words in self.stream if words[0] == "set" and words[2] == "addaction"]

    def options(self) -> dict[str, str] | None:
        """The options of our action, None: it has no such action."""
        for words in self.stream:
            if words[0] == "set" and words[2:4] == ["addaction", ACTION] and len(words) > 5:
                return msgspec.json.decode(words[5], type=dict[str, str])
        return None

    def without_ours(self) -> list[list[Any]]:
        """The stream without our action."""
        return [words for words in self.stream if words[2:4] != ["addaction", ACTION]]


class JailConfiguration(Struct, frozen=True):
    """Everything that setup asks of a configuration. default: the default `action` as written."""

    version: str
    journal: bool
    database: str
    default: str | None
    jails: list[ReadJail]

    def enabled(self) -> list[ReadJail]:
        """The jails that are enabled, in fail2ban's order."""
        return [jail for jail in self.jails if jail.enabled]

    def running(self) -> list[str]:
        """The names of the jails that a server runs with it."""
        return [jail.name for jail in self.enabled() if not jail.error]

    def broken(self) -> dict[str, str]:
        """The jails for which a server refuses to start, each with the reason."""
        return {jail.name: jail.missing_log for jail in self.enabled() if jail.missing_log}

    def options(self) -> dict[str, str]:
        """The options that our action has in the first jail that has it."""
        return next((options for jail in self.jails if (options := jail.options()) is not None), {})
