"""A private fail2ban-server that tests can talk to and change while it runs."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from banledger.demo import fail2ban
from banledger.demo.fail2ban import Jails
from banledger.demo.installation import Installation, locate
from banledger.errors import BanledgerError


def with_python(installation: Installation, *words: str, env: Mapping[str, str] | None = None) -> Installation:
    """The same scripts run by another interpreter; `env`, if given, replaces what is added."""
    return replace(
        installation,
        server=(*words, installation.server[-1]),
        client=(*words, installation.client[-1]),
        env=installation.env if env is None else env,
    )


class PrivateServer(fail2ban.PrivateServer):
    """One fail2ban-server in a directory.

    defaults: options of all jails. options: of the server itself (`dbpurgeage`, `loglevel`). filters: text of filters
    of our own by name. actions: files for `action.d`, beside banledger's. uid: the user to run as (needs root; the
    directory becomes theirs). `jails` and these may be changed later: `reload` takes them up.
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
        super().__init__(directory, jails, installation or locate())
        self.defaults = dict(defaults or {})
        self.options = dict(options or {})
        self.filters = dict(filters or {})
        self.actions = list(actions)
        self.uid = uid
        if uid is not None:
            user = ("setpriv", f"--reuid={uid}", f"--regid={pwd.getpwuid(uid).pw_gid}", "--clear-groups")
            self.installation = replace(self.installation, server=(*user, *self.installation.server))

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def action_file(self) -> Path:
        """Our action as the server reads it."""
        return self.config / "action.d" / "banledger.py"

    def write_config(self) -> None:
        """See fail2ban.PrivateServer.write_config. A running server sees it after `reload`."""
        super().write_config()
        for name, text in self.filters.items():
            path = self.config / "filter.d" / f"{name}.conf"
            path.unlink(missing_ok=True)
            path.write_text(text)
        for source in self.actions:
            shutil.copyfile(source, self.config / "action.d" / source.name)
        if self.uid is not None:
            for path in (self.directory, *self.directory.rglob("*"), self._socket().parent):
                os.chown(path, self.uid, -1, follow_symlinks=False)

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
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        self.kill()

    def _server(self) -> dict[str, str]:
        return super()._server() | self.options

    def _defaults(self) -> dict[str, str]:
        return super()._defaults() | self.defaults
