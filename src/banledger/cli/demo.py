"""`banledger demo`."""

import shlex
import shutil
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.text import Text

from banledger import settings
from banledger.demo import authlog, directory, replay
from banledger.demo.installation import Installation, locate
from banledger.demo.signals import Wait, postponed
from banledger.errors import BanledgerError
from banledger.ledger.ban import Ban
from banledger.ledger.opening import open_to_read
from banledger.ledger.reader import LedgerReader
from banledger.ledger.tokens import text_of
from banledger.ledger.writer import Ledger, open_to_write
from banledger.report import summary
from banledger.report.formats import redis_cli, table
from banledger.report.formats.screen import Screen
from banledger.report.query import Query
from banledger.service.recorder import Recorder
from banledger.settings import Settings
from banledger.spool.reader import SpoolReader
from banledger.stores.commands import execute
from banledger.stores.connect import access
from banledger.whois.locate import offline_only

_LISTED = 5  # of each in the report
_MEMBERS = 3  # of a set
_WIDEST = 100


@click.command(name="demo")
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for the ledger: new, empty, or of an earlier demo. [default: a new temporary directory]",
)
@click.option("--store", metavar="PATH|URL", help="Create the ledger in this store instead: a path or a URL.")
def demo(keep: Path | None, store: str | None) -> None:
    """Run a real fail2ban on a real log of a server under attack, and show its ledger.

    Runs a separate fail2ban-server, which touches no firewall, on a log whose dates are moved to end today; records
    its bans; shows the report, and then the keys behind it. It needs no network and no root, leaves no process behind,
    and takes about ten seconds.

    The ledger stays, so that you can explore it. A demo in the directory of an earlier demo replaces what that demo
    made, and nothing else. --store adds to an existing ledger, unless it has bans of other servers. The store in your
    settings is never touched.

    \b
    Example:
      banledger demo
      banledger demo --keep ~/banledger-demo
      banledger demo --store /tmp/ledger.db
    """
    installation = locate()
    said = _Teller(Screen())
    with postponed() as pause, directory.claimed(keep, pause, _wait_for) as home:
        chosen = settings.load({"store": _whole(store or str(home / directory.LEDGER))})
        _fill(chosen, home, installation, pause, said)
        reader = open_to_read(chosen.store, chosen.prefix, access(chosen))
        pause(0)
    with closing(reader):
        _show_report(reader, said)
        ban = _walk_keys(reader, said)
    _say_how_to_go_on(chosen.store, home, ban, said)


class _Teller:
    """Print headings, explanations, and commands with their output."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self._steps = 0

    def heading(self, title: str) -> None:
        """Print the heading of a step."""
        self._steps += 1
        rule = self.screen.glyphs.rule
        text = (
            Text("\n" if self._steps > 1 else "")
            .append(f"{rule * 2} ", "dim")
            .append(f"{self._steps}. {title} ", "bold")
        )
        room = min(self.screen.width, _WIDEST) - text.cell_len
        self.screen.print(text.append(rule * room, "dim"), Text())

    def words(self, text: str) -> None:
        """Print an explanation."""
        self.screen.print(Text(text))
        sys.stdout.flush()

    def command(self, line: str, prompt: str = "$ ") -> None:
        """Print a command on one line, however long, so that it can be copied."""
        self.screen.console.print(Text(prompt, "dim").append(line, "bold"), soft_wrap=True)

    def output(self, text: str, lines: int | None = None) -> None:
        """Print the first lines of a command's output, each cut at the screen's width."""
        answered = text.splitlines()
        for line in answered[:lines]:
            self.screen.print(Text(line, no_wrap=True, overflow=self.screen.overflow))
        if lines is not None and len(answered) > lines:
            more = f"{self.screen.glyphs.ellipsis} and {len(answered) - lines} more"
            self.screen.print(Text(more, "dim"))


def _wait_for(home: Path) -> None:
    click.echo(f"another demo is running in {home}; waiting for it", err=True)


def _whole(store: str) -> str:
    """A store's name that is valid in every directory."""
    return store if "://" in store else str(Path(store).absolute())


# Filling the ledger


def _fill(chosen: Settings, home: Path, installation: Installation, pause: Wait, said: _Teller) -> None:
    with tempfile.TemporaryDirectory(prefix="banledger-") as made:
        # The action refuses a spool that others may write to: a checkout may be one, a temporary directory is not.
        work = Path(made).resolve()
        spool = work / "spool"
        with closing(Recorder(SpoolReader(spool), lambda: _open(chosen), offline_only)) as recorder:
            recorder.open()
            bans = _ban(home, work, spool, installation, pause, said)
            done = recorder.drain(time.time())
    before = done.known + done.amended
    known = f", {before} known before" if before else ""
    said.words(f"The recorder moved them into the ledger: {done.new} new bans{known}.")
    if not done.new + before:
        raise BanledgerError(f"none of {bans} bans reached the spool", hint="run it with another TMPDIR")


def _open(chosen: Settings) -> Ledger:
    ledger = open_to_write(chosen.store, chosen.prefix, chosen.timezone, access(chosen))
    strangers = [text_of(tok) for tok, _ in ledger.ranked("server") if text_of(tok) != replay.SERVER]
    if strangers:
        ledger.close()
        raise BanledgerError(
            f"this ledger has bans of other servers: {', '.join(strangers[:3])}", hint="name a new one with --store"
        )
    return ledger


def _ban(home: Path, work: Path, spool: Path, installation: Installation, pause: Wait, said: _Teller) -> int:
    log = authlog.shipped(datetime.now(UTC).astimezone().replace(tzinfo=None))
    (home / directory.LOG).write_bytes(log.text)
    said.heading("A real fail2ban reads a real log")
    said.words(
        f"fail2ban {installation.version()} reads the auth.log of a server on the internet, {log.lines:,} lines."
    )
    said.words(f"Its dates were moved: {log.first} to {log.last}.")
    limits = ", ".join(f"jail {name} after {failures}" for name, failures in replay.JAILS.items())
    said.words(f"Failures before a ban: {limits}.")
    played = replay.play(home / directory.LOG, spool, work / "fail2ban", installation, pause)
    (home / directory.SERVER_LOG).write_text(played.log, encoding="utf-8", errors="replace")
    said.words(f"It made {played.bans} bans in {played.seconds:.1f} s; our action wrote each one to the spool.")
    return played.bans


# Showing it


def _show_report(reader: LedgerReader, said: _Teller) -> None:
    said.heading("What happened")
    said.command(f"banledger report --since all -n {_LISTED}")
    table.report(summary.report(reader, Query(), time.time(), _LISTED), said.screen)
    said.words("\nA country is the one in which the address is registered, by its registry's data.")


def _walk_keys(reader: LedgerReader, said: _Teller) -> Ban:
    """Walk from a ranking to a set to a hash, in redis-cli's commands; return the ban found there."""
    keys = reader.keys
    said.heading("The keys behind it")
    said.words(
        "Every ban is one hash under its own id, and sets hold the id: one for its address, one for its "
        "jail, its country, its day. The keys are the same in every store; kv reads them as redis-cli would."
    )
    said.words("\nThe countries, most bans first, are a sorted set:")
    country, *_ = _kv(reader, said, "ZREVRANGE", keys.top("country"), "0", "2", "WITHSCORES")
    said.words(f"\nThe bans from {country} are a set:")
    _kv(reader, said, "SCARD", keys.members("country", country))
    said.words("\nIts members are ids:")
    id_, *_ = _kv(reader, said, "SMEMBERS", keys.members("country", country), lines=_MEMBERS)
    said.words(f"\nThe first four characters of an id, {id_[:4]}, are its month. That makes the key of its hash:")
    _kv(reader, said, "HGETALL", keys.ban(id_))
    [ban] = reader.bans([id_])
    assert ban is not None  # noqa: S101  # every id in a set has a hash
    return ban


def _kv(reader: LedgerReader, said: _Teller, *words: str, lines: int | None = None) -> list[str]:
    """Print a command and its reply; return the reply's strings."""
    said.command(shlex.join(("banledger", "kv", *words)))
    reply = execute(reader.store(), words)
    said.output(redis_cli.for_terminal(reply), lines)
    return [element for element in reply if isinstance(element, str)] if isinstance(reply, list) else []


def _say_how_to_go_on(store: str, home: Path, ban: Ban, said: _Teller) -> None:
    said.heading("Your turn")
    said.words(f"The ledger stays in {settings.without_password(store)}. Ask it:\n")
    for line in (
        *_path_to_us(),
        f"export BANLEDGER_STORE={shlex.quote(settings.without_password(store))}",
        "banledger report",
        "banledger top user --jail sshd",
        f"banledger bans --country {ban.country}",
        f"banledger show {ban.ip}",
        f"banledger show {ban.id}",
        "banledger kv KEYS 'bans:top:*'",
    ):
        said.command(line, prompt="  ")
    said.words(
        f"\nfail2ban's input and its log: {directory.LOG} and {directory.SERVER_LOG} in {home}."
        " To remove that directory and use your own ledger again:\n"
    )
    said.command(f"rm -r {shlex.quote(str(home))}", prompt="  ")
    said.command("unset BANLEDGER_STORE", prompt="  ")


def _path_to_us() -> list[str]:
    """The command that makes a shell find `banledger`, if one is needed."""
    us = Path(sys.argv[0]).absolute()
    if us.name != "banledger":
        us = Path(sys.executable).with_name("banledger")
    found = shutil.which("banledger")
    if not us.exists() or (found and us.samefile(found)):
        return []
    return [f'export PATH={shlex.quote(str(us.parent))}:"$PATH"']
