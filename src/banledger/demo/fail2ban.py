"""A private, real fail2ban-server for the demo.

    jails = {"sshd": {"filter": "sshd", "logpath": str(log), "action": action_line(spool=spool)}}
    with PrivateServer(directory, jails, locate()) as server:
        server.log_text()

All its files (configuration, database, log, pid file) are inside one directory, and it touches no firewall: its
jails have only the given actions. It runs in the foreground as our child, in a separate session, so Ctrl-C in the
terminal doesn't reach it; leaving the `with` block kills it.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Self

from banledger.demo.installation import Installation
from banledger.errors import BanledgerError

Jails = Mapping[str, Mapping[str, str]]


SOCKET_PATH_MAX = 100  # sun_path has 108 bytes


def action_line(**options: str | int | Path) -> str:
    """The `action` line of a jail with banledger: `banledger.py[server="web1", ...]`."""
    words = ", ".join(f'{name}="{value}"' for name, value in options.items())
    return f"banledger.py[{words}]"


class PrivateServer:
    """One fail2ban-server in a directory. Not for use by several threads.

    jails: options of each by its name (`filter`, `logpath`, `action`, ...; a line break starts another line
    of the value).

    Failures raise BanledgerError, with the end of the server's log as hint.
    """

    def __init__(self, directory: Path, jails: Jails, installation: Installation) -> None:
        self.directory = directory.resolve()
        self.jails = {name: dict(jail) for name, jail in jails.items()}
        self.installation = installation
        self._process: subprocess.Popen[bytes] | None = None
        self._socket_home: Path | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def config(self) -> Path:
        """The configuration directory, absolute as fail2ban's -c requires."""
        return self.directory / "config"

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
        """Rewrite the whole configuration: our jails and action, the stock filters as links."""
        for name in ("action.d", "filter.d"):
            (self.config / name).mkdir(parents=True, exist_ok=True)
        (self.config / "fail2ban.conf").write_text(_section("DEFAULT", {}) + _section("Definition", self._server()))
        jails = "".join(_section(name, jail) for name, jail in self.jails.items())
        (self.config / "jail.conf").write_text(_section("DEFAULT", self._defaults()) + jails)
        for stock in (self.installation.config / "filter.d").iterdir():
            ours = self.config / "filter.d" / stock.name
            if not ours.is_symlink() and not ours.exists():
                ours.symlink_to(stock)
        with as_file(files("banledger.action") / "banledger.py") as action:
            shutil.copyfile(action, self.config / "action.d" / "banledger.py")

    def start(self, *, timeout_s: float = 60) -> None:
        """Write the configuration, start the server, and wait until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.write_config()
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
            )
        try:
            self._wait_until_ready(time.monotonic() + timeout_s)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
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
        }

    def _defaults(self) -> dict[str, str]:
        """Options of all jails."""
        return {"backend": "polling", "usedns": "no", "ignoreself": "false", "enabled": "true"}

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

    def _wait_until_ready(self, deadline: float) -> None:
        while not (self._socket().exists() and self._run_client(["ping"]).returncode == 0 and self._has_jails()):
            if self.pid is None:
                raise BanledgerError("fail2ban-server ended during its start", hint=self._log_end())
            if time.monotonic() > deadline:
                raise BanledgerError("fail2ban-server does not answer", hint=self._log_end())
            time.sleep(0.05)

    def _has_jails(self) -> bool:
        """Whether the configuration is loaded: the server answers before it has its jails."""
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
