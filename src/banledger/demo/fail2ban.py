"""A real fail2ban-server of our own, for the demo, the tests and the benches.

    jails = {"sshd": {"filter": "sshd", "logpath": str(log), "action": action_line(spool=spool)}}
    with PrivateServer(directory, jails) as server:
        server.client("set", "sshd", "banip", "192.0.2.1")

Everything it makes (configuration, database, log, pid file) is inside one directory, and it touches no
firewall: its jails have the actions that are given, no other. It runs in the foreground as our child, in a
session of its own, so a key in the terminal doesn't reach it; leaving the `with` block stops it.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict

from banledger.demo.installation import Installation, locate
from banledger.errors import BanledgerError

Jails = Mapping[str, Mapping[str, str]]


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: Sequence[int]


SOCKET_PATH_MAX = 100  # sun_path has 108 bytes
DEFAULTS = {"backend": "polling", "usedns": "no", "ignoreself": "false", "enabled": "true"}


def action_line(**options: str | int | Path) -> str:
    """The `action` of a jail that has banledger's: `banledger.py[server="web1", ...]`."""
    words = ", ".join(f'{name}="{value}"' for name, value in options.items())
    return f"banledger.py[{words}]"


class PrivateServer:
    """One fail2ban-server in a directory. Not for use by several threads.

    jails: options of each by its name (`filter`, `logpath`, `action`, ...; a line break starts another line
    of the value). defaults: options of all jails, beside DEFAULTS. options: of the server itself
    (`dbpurgeage`, `loglevel`). filters: text of filters of our own by name. actions: files for `action.d`,
    beside banledger's. uid: the user to run as (needs root; the directory becomes theirs). All but
    `installation` and `uid` may be changed later: `reload` takes them up.

    What fails raises BanledgerError, with the end of the server's log as its hint.
    """

    def __init__(
        self,
        directory: Path,
        jails: Jails,
        *,
        defaults: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        filters: Mapping[str, str] | None = None,
        actions: Sequence[Path] = (),
        installation: Installation | None = None,
        uid: int | None = None,
    ) -> None:
        self.directory = directory.resolve()
        self.jails = {name: dict(jail) for name, jail in jails.items()}
        self.defaults = dict(defaults or {})
        self.options = dict(options or {})
        self.filters = dict(filters or {})
        self.actions = list(actions)
        self.installation = installation or locate()
        self.uid = uid
        self._process: subprocess.Popen[bytes] | None = None
        self._socket_home: Path | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def config(self) -> Path:
        """The configuration directory; the -c of fail2ban wants it absolute."""
        return self.directory / "config"

    @property
    def action_file(self) -> Path:
        """Our action as the server reads it."""
        return self.config / "action.d" / "banledger.py"

    @property
    def log_file(self) -> Path:
        """The server's log."""
        return self.directory / "fail2ban.log"

    @property
    def database(self) -> Path:
        """The server's own database."""
        return self.directory / "fail2ban.sqlite3"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def log_text(self) -> str:
        """All of the server's log; empty if there is none yet."""
        return self.log_file.read_text("utf-8", "replace") if self.log_file.exists() else ""

    def write_config(self) -> None:
        """Write the whole configuration anew. A running server sees it after `reload`."""
        for name in ("action.d", "filter.d"):
            (self.config / name).mkdir(parents=True, exist_ok=True)
        (self.config / "fail2ban.conf").write_text(_section("DEFAULT", {}) + _section("Definition", self._server()))
        jails = "".join(_section(name, jail) for name, jail in self.jails.items())
        (self.config / "jail.conf").write_text(_section("DEFAULT", DEFAULTS | self.defaults) + jails)
        self._write_filters()
        for source in self.actions:
            shutil.copyfile(source, self.config / "action.d" / source.name)
        with as_file(files("banledger.action") / "banledger.py") as ours:
            shutil.copyfile(ours, self.action_file)

    def start(self, *, timeout_s: float = 60) -> None:
        """Write the configuration, start the server, and wait until it answers."""
        if self.pid is not None:
            raise BanledgerError("this fail2ban-server runs already")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.write_config()
        self._give_to_user()
        self._socket().unlink(missing_ok=True)
        with (self.directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [*self.installation.server, *self._where(), "-f", "start"],
                env=self.installation.environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **self._identity(),
            )
        try:
            self._wait_until_ready(time.monotonic() + timeout_s)
        except BaseException:
            self.kill()
            raise

    def client(self, *words: str) -> str:
        """What `fail2ban-client WORDS` prints. Raises BanledgerError with what it complains about."""
        said = self._run_client(words)
        if said.returncode != 0:
            complaint = (said.stderr + said.stdout).strip()
            raise BanledgerError(f"fail2ban-client {' '.join(words)}: {complaint}", hint=self._log_end())
        return said.stdout

    def reload(self, *words: str) -> None:
        """Write the configuration and `fail2ban-client reload WORDS` (`--restart`, a jail's name)."""
        self.write_config()
        self.client("reload", *words)

    def stop(self, *, timeout_s: float = 60) -> None:
        """Stop it as a service manager does, and wait. Nothing to do if it doesn't run."""
        if self._process is not None and self.pid is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._forget()

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._forget()

    def _forget(self) -> None:
        self._process = None
        if self._socket_home is not None:
            shutil.rmtree(self._socket_home, ignore_errors=True)
            self._socket_home = None

    def _server(self) -> dict[str, str]:
        """Options of fail2ban.conf."""
        return {
            "loglevel": "INFO",
            "logtarget": str(self.log_file),
            "syslogsocket": "auto",
            "socket": str(self._socket()),
            "pidfile": str(self.directory / "fail2ban.pid"),
            "dbfile": str(self.database),
            "dbpurgeage": "400d",
            "dbmaxmatches": "10",
        } | self.options

    def _where(self) -> list[str]:
        pidfile = str(self.directory / "fail2ban.pid")
        return ["-c", str(self.config), "-s", str(self._socket()), "-p", pidfile]

    def _socket(self) -> Path:
        """The socket in our directory, or elsewhere when its path would be too long for the kernel."""
        usual = self.directory / "fail2ban.sock"
        if len(os.fsencode(usual)) < SOCKET_PATH_MAX:
            return usual
        if self._socket_home is None:
            self._socket_home = Path(tempfile.mkdtemp(prefix="banledger-"))
        return self._socket_home / "fail2ban.sock"

    def _write_filters(self) -> None:
        """Stock filters as links, ours as files."""
        folder = self.config / "filter.d"
        for stock in (self.installation.config / "filter.d").iterdir():
            ours = folder / stock.name
            if not ours.is_symlink() and not ours.exists():
                ours.symlink_to(stock)
        for name, text in self.filters.items():
            path = folder / f"{name}.conf"
            path.unlink(missing_ok=True)
            path.write_text(text)

    def _identity(self) -> _Identity:
        """Whom the process runs as: as us unless told otherwise."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": pwd.getpwuid(self.uid).pw_gid, "extra_groups": ()}

    def _give_to_user(self) -> None:
        if self.uid is None:
            return
        homes = [self.directory] + ([self._socket_home] if self._socket_home else [])
        for home in homes:
            for path in (home, *home.rglob("*")):
                os.chown(path, self.uid, -1, follow_symlinks=False)

    def _wait_until_ready(self, deadline: float) -> None:
        while not (self._socket().exists() and self._run_client(["ping"]).returncode == 0 and self._has_jails()):
            if self.pid is None:
                raise BanledgerError("fail2ban-server ended at its start", hint=self._log_end())
            if time.monotonic() > deadline:
                raise BanledgerError("fail2ban-server does not answer", hint=self._log_end())
            time.sleep(0.05)

    def _has_jails(self) -> bool:
        """Whether the configuration has arrived: the server answers before it has its jails."""
        status = self._run_client(["status"]).stdout
        return all(name in status for name, jail in self.jails.items() if jail.get("enabled", "true") == "true")

    def _run_client(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.installation.client, *self._where(), *words],
            env=self.installation.environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def _log_end(self) -> str:
        output = self.directory / "output"
        printed = output.read_text("utf-8", "replace") if output.exists() else ""
        return "\n".join((printed + self.log_text()).splitlines()[-10:])


def _section(name: str, options: Mapping[str, str]) -> str:
    """One section of a configuration file; further lines of a value are indented."""
    lines = [f"{key} = " + value.replace("\n", "\n    ") for key, value in options.items()]
    return "\n".join([f"[{name}]", *lines, "", ""])
