"""The machine that banledger is put on: its files, users, service manager and fail2ban."""

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import msgspec
from msgspec import Struct

from banledger.demo.installation import unpacked
from banledger.errors import BanledgerError, MissingFail2ban
from banledger.setup.changes import ROOT, STATE, FileChanges, Owner, write_whole
from banledger.setup.command import LONGEST_S, Said, run, system_command, trusted
from banledger.setup.configuration import ACTION
from banledger.setup.fail2ban import Fail2ban
from banledger.setup.mirror import JAIL_FILE

USER, SPOOL_GROUP = "banledger", "banledger-spool"
SPOOL_MODE = 0o2770
FAIL2BAN = "/etc/fail2ban"
STATE_DIRECTORY = "/var/lib/banledger"
UNIT = "/etc/systemd/system/banledger.service"
PACKAGED_UNIT = "/usr/lib/systemd/system/banledger.service"
_CLIENTS = ("/usr/bin/fail2ban-client", "/usr/local/bin/fail2ban-client")
_VARIABLE = "BANLEDGER_FAIL2BAN"
_NO_CLIENT = (
    "apt-get install fail2ban; or name another one's command with --fail2ban-client; or, if it runs in a container, use"
    " --without-fail2ban"
)


class Fail2banPlace(Struct, frozen=True):
    """Where fail2ban is, as paths of the machine. config: its configuration. client: fail2ban-client; empty: search."""

    config: str = FAIL2BAN
    client: str = ""


class Machine:
    """root: the directory that stands for `/`. config, client: as Fail2banPlace; empty: as in the setup before."""

    def __init__(self, root: Path, config: str = "", client: str = "") -> None:
        self.root = root
        self.whole = root == Path("/")
        self._memory = self.place(f"{STATE}/fail2ban.json")
        before = Fail2banPlace()
        with suppress(FileNotFoundError, PermissionError):  # only root may know
            before = msgspec.json.decode(self._memory.read_bytes(), type=Fail2banPlace)
        self._fail2ban = Fail2banPlace(config or before.config, client or before.client)

    @property
    def config(self) -> str:
        """fail2ban's configuration directory."""
        return self._fail2ban.config

    def remember_fail2ban(self) -> None:
        """Let later setups, and the undo, find this fail2ban."""
        if self._fail2ban != Fail2banPlace():
            self._memory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self._memory, msgspec.json.encode(self._fail2ban), 0o600, ROOT)

    @cached_property
    def changes(self) -> FileChanges:
        """Its files, to change them."""
        return FileChanges(self.root)

    @property
    def jail_file(self) -> str:
        """Our file among fail2ban's jails."""
        return f"{self.config}/jail.d/{JAIL_FILE}"

    @property
    def action_file(self) -> str:
        """Our action's file."""
        return f"{self.config}/action.d/{ACTION}.py"

    @property
    def systemd(self) -> bool:
        """Whether systemd runs this machine."""
        return self.whole and Path("/run/systemd/system").is_dir() and bool(system_command("systemctl"))

    @property
    def packaged(self) -> bool:
        """Whether a package has put the program here: its unit is where only packages put units."""
        return self.place(PACKAGED_UNIT).is_file()

    @property
    def unit(self) -> str:
        """The file of the service's unit: the package's, or the one that setup writes."""
        return PACKAGED_UNIT if self.packaged else UNIT

    @property
    def manages_fail2ban(self) -> bool:
        """Whether systemd runs its fail2ban: the one with the system's configuration."""
        return self.systemd and self.config == FAIL2BAN

    def place(self, path: str) -> Path:
        """Where a path of the machine is."""
        return self.root / path.lstrip("/")

    def systemctl(self, *words: str, longest_s: float = LONGEST_S) -> Said:
        """Run systemctl."""
        return run([system_command("systemctl"), *words], longest_s=longest_s)

    def tell_systemd(self, *words: str) -> None:
        """Run systemctl. Raises BanledgerError if that fails."""
        said = self.systemctl(*words)
        if said.code != 0:
            raise BanledgerError(f"systemctl {' '.join(words)}: {said.reason()}", hint=f"journalctl -u {words[-1]}")

    def user(self, name: str) -> int | None:
        """The number of a user of the machine."""
        return self._number("passwd", name)

    def group(self, name: str) -> int | None:
        """The number of a group."""
        return self._number("group", name)

    def owner(self, user: str, group: str) -> Owner:
        """The numbers of both. -1, which no file has, for one that doesn't exist yet."""
        uid, gid = self.user(user), self.group(group)
        return (-1 if uid is None else uid, -1 if gid is None else gid)

    def label(self) -> str:
        """The name of this machine as a server label: the full one, if it knows it, as `hostname -f`."""
        short = socket.gethostname()
        full = socket.getfqdn(short)
        return full if full.startswith(f"{short}.") else short

    def fail2ban(self, longest_s: float = LONGEST_S) -> Fail2ban:
        """Its fail2ban, whose commands end after `longest_s`.

        Raises MissingFail2ban; BanledgerError, if others than root could change what is run.
        """
        config = self.place(self.config)
        if not config.is_dir():
            raise MissingFail2ban(
                f"there is no directory {config}",
                hint="install fail2ban (apt-get install fail2ban), or name its configuration with --fail2ban-config",
            )
        named = os.environ.get(_VARIABLE, "")
        if not self.whole and named and (found := unpacked(Path(named).resolve())):
            return Fail2ban(config, found.client, found.client[0], found.env, longest_s)
        candidates = [self._fail2ban.client] if self._fail2ban.client else _CLIENTS
        client = next((Path(path) for path in candidates if Path(path).is_file()), None)
        if client is None:
            raise MissingFail2ban(f"there is no {' or '.join(candidates)}", hint=_NO_CLIENT)
        python = _interpreter(client)
        for path in (client, Path(python)):
            if not trusted(path):
                raise BanledgerError(
                    f"others than root may change {path}", hint=f"chown root {path}; chmod go-w {path}"
                )
        return Fail2ban(config, [python, str(client)], python, {}, longest_s)

    def _number(self, table: str, name: str) -> int | None:
        for line in _lines(self.place(f"/etc/{table}")):
            words = line.split(":")
            if len(words) > 2 and words[0] == name and words[2].isdecimal():
                return int(words[2])
        return None


def _lines(path: Path) -> Sequence[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ()


def _interpreter(script: Path) -> str:
    """The interpreter that a script names in its first line."""
    first = script.open("rb").readline().decode("utf-8", "replace").split()
    word = first[0].removeprefix("#!") if first else ""
    if word.endswith("/env") and len(first) > 1:
        word = system_command(first[1])
    return word if word.startswith("/") else "/usr/bin/python3"
