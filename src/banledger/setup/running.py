"""The running fail2ban-server: the answer of `server_probe.py` as a value."""

from msgspec import Struct


class RunningJail(Struct, frozen=True):
    """A jail that runs. banned: what it holds in force. total: its bans since the server's start."""

    name: str
    actions: list[str] = []
    banned: list[str] = []
    total: int = 0


class RunningServer(Struct, frozen=True):
    """alive: whether it answers. why: why not. log: where it writes its log."""

    alive: bool = False
    why: str = ""
    version: str = ""
    log: str = ""
    jails: list[RunningJail] = []
