"""The fail2ban of a machine: what its configuration says, whether its server is alive, and how to restart its jails."""

import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import msgspec
from msgspec import Struct

from banledger.errors import BanledgerError
from banledger.setup.command import LONGEST_S, Said, run
from banledger.setup.configuration import JailConfiguration
from banledger.setup.jail_file import Wish, compose, first_forms, next_forms, wrong
from banledger.setup.mirror import mirrored
from banledger.setup.running import RunningServer

_ANSWERS_S, _HAS_JAILS_S = 10.0, 60.0  # it answers before it has its jails
SILENT = "fail2ban doesn't answer"
_ACTIONS = "has the following actions:"


class JailPlan(Struct, frozen=True):
    """The configuration as it is without our file, and our file's text."""

    before: JailConfiguration
    text: str


class Fail2ban:
    """fail2ban's commands over one configuration directory.

    client: the words that start fail2ban-client. python: the interpreter that it runs in. env: added to the
    environment of both, which has nothing else of ours. longest_s: how long either may take.
    """

    def __init__(
        self, config: Path, client: Sequence[str], python: str, env: Mapping[str, str], longest_s: float = LONGEST_S
    ) -> None:
        self.config = config
        self._longest_s = longest_s
        self._client, self._python, self._env = tuple(client), python, dict(env)

    def read(self, config: Path | None = None) -> JailConfiguration:
        """What fail2ban reads in its directory, or in another one. Raises BanledgerError."""
        said = self._probe("jail_probe.py", config or self.config)
        try:
            return msgspec.json.decode(said.out, type=JailConfiguration)
        except msgspec.DecodeError:
            where = f"the configuration in {self.config}"
            raise BanledgerError(f"fail2ban can't read {where}: {said.reason()}", hint="fail2ban-client -d") from None

    def server(self) -> RunningServer:
        """The running server and its jails."""
        said = self._probe("server_probe.py", self.config)
        try:
            return msgspec.json.decode(said.out, type=RunningServer)
        except msgspec.DecodeError:
            return RunningServer(why=said.reason())

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
        """Wait until the server answers and has these jails; return what is missing in the end, or nothing."""
        began = time.monotonic()
        while missing := self._missing(jails):
            waited_s = time.monotonic() - began
            if waited_s > (_ANSWERS_S if missing == SILENT else _HAS_JAILS_S):
                break
            time.sleep(0.2)
        return missing

    def actions(self, jail: str) -> list[str]:
        """The actions of a running jail; none if it doesn't run."""
        said = self.ask("get", jail, "actions")
        _, found, names = said.out.partition(_ACTIONS)
        return [name.strip() for name in names.split(",") if name.strip()] if said.code == 0 and found else []

    def ask(self, *words: str) -> Said:
        """Ask the running server."""
        return self._run([*self._client, "-c", str(self.config), *words])

    def _missing(self, jails: Sequence[str]) -> str:
        if not self.alive():
            return SILENT
        absent = [name for name in jails if self.ask("status", name).code != 0]
        return f"these jails don't run: {', '.join(absent)}" if absent else ""

    def _probe(self, name: str, config: Path) -> Said:
        """Run a program of ours in fail2ban's Python."""
        program = (files("banledger.setup") / name).read_text(encoding="utf-8")
        return self._run([self._python, "-", str(config)], given=program)

    def _run(self, words: Sequence[str], given: str = "") -> Said:
        return run(words, env=self._env, given=given, longest_s=self._longest_s)
