"""The fail2ban of a machine: what its configuration says, whether its server is alive, and how to restart its jails."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import msgspec
from msgspec import Struct

from banledger.errors import BanledgerError
from banledger.setup.configuration import JailConfiguration
from banledger.setup.jail_file import Wish, compose, first_forms, next_forms, wrong
from banledger.setup.mirror import mirrored

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_ALIVE_S = 60.0
_ACTIONS = "has the following actions:"


class Asked(Struct, frozen=True):
    """What a command said."""

    code: int
    out: str
    err: str

    def reason(self) -> str:
        """Its last complaint."""
        lines = [line.strip() for line in (self.err + "\n" + self.out).splitlines() if line.strip()]
        mattering = [line for line in lines if "ERROR" in line or "Failed" in line or "Error" in line]
        return (mattering or lines or [f"exit code {self.code}"])[0]


class JailPlan(Struct, frozen=True):
    """The configuration as it is without our file, and our file's text."""

    before: JailConfiguration
    text: str


class Fail2ban:
    """fail2ban's commands over one configuration directory.

    client: the words that start fail2ban-client. python: the interpreter that it runs in. env: added to the
    environment of both, which has nothing else of ours.
    """

    def __init__(self, config: Path, client: Sequence[str], python: str, env: Mapping[str, str]) -> None:
        self.config = config
        self._client, self._python, self._env = tuple(client), python, {**_ENVIRONMENT, **env}

    def read(self, config: Path | None = None) -> JailConfiguration:
        """What fail2ban reads in its directory, or in another one. Raises BanledgerError."""
        probe = (files("banledger.setup") / "jail_probe.py").read_text(encoding="utf-8")
        said = self._run([self._python, "-", str(config or self.config)], given=probe)
        try:
            return msgspec.json.decode(said.out, type=JailConfiguration)
        except msgspec.DecodeError:
            where = f"the configuration in {self.config}"
            raise BanledgerError(f"fail2ban can't read {where}: {said.reason()}", hint="fail2ban-client -d") from None

    def plan(self, wish: Wish) -> JailPlan:
        """The file that adds our action, proven by what fail2ban reads with it. Raises BanledgerError."""
        with mirrored(self.config) as mirror:
            before = self.read(mirror.directory)
            forms = first_forms(before, wish)
            while True:
                mirror.put(text := compose(before, wish, forms))
                wrongs = wrong(before, self.read(mirror.directory), wish)
                if not wrongs:
                    return JailPlan(before, text)
                following = next_forms(before, forms, wrongs)
                if following is None:
                    raise BanledgerError(
                        "the action can't be added to " + "; ".join(f"{name}: {why}" for name, why in wrongs.items()),
                        hint="no file in jail.d may be read after zz-banledger.local; "
                        "or name the jails to record with --jail",
                    )
                forms = following

    def refusal(self, text: str | None) -> str:
        """Why fail2ban-client -t refuses the configuration with this text of our file (None: without it); or empty."""
        with mirrored(self.config) as mirror:
            mirror.put(text)
            said = self._run([*self._client, "-c", str(mirror.directory), "-t"])
        return "" if said.code == 0 else said.reason()

    def version(self) -> str:
        """Its version."""
        return self._run([*self._client, "-V"]).out.strip()

    def alive(self) -> bool:
        """Whether the server answers."""
        return self.ask("ping").code == 0

    def wait_until_alive(self, jails: Sequence[str]) -> str:
        """Wait until the server has these jails; return what is missing in the end, or nothing."""
        deadline = time.monotonic() + _ALIVE_S
        while (missing := self._missing(jails)) and time.monotonic() < deadline:
            time.sleep(0.2)
        return missing

    def actions(self, jail: str) -> list[str]:
        """The actions of a running jail; none if it doesn't run."""
        said = self.ask("get", jail, "actions")
        _, found, names = said.out.partition(_ACTIONS)
        return [name.strip() for name in names.split(",") if name.strip()] if said.code == 0 and found else []

    def ask(self, *words: str) -> Asked:
        """Ask the running server."""
        return self._run([*self._client, "-c", str(self.config), *words])

    def _missing(self, jails: Sequence[str]) -> str:
        if not self.alive():
            return "fail2ban doesn't answer"
        absent = [name for name in jails if self.ask("status", name).code != 0]
        return f"these jails don't run: {', '.join(absent)}" if absent else ""

    def _run(self, words: Sequence[str], given: str = "") -> Asked:
        try:
            done = subprocess.run(
                words, input=given, env=self._env, cwd="/", capture_output=True, timeout=120, check=False,
                encoding="utf-8", errors="backslashreplace",
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Asked(124, "", f"{words[0]} doesn't end")
        except OSError as error:
            raise BanledgerError(f"can't run {words[0]}: {error.strerror}") from error
        return Asked(done.returncode, done.stdout, done.stderr)
