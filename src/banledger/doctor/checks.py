"""The table of checks. docs/operations.md has it too, and a test compares them."""

import queue
import threading
from collections.abc import Callable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from banledger.doctor import (
    bans,
    clock,
    fail2ban,
    jails,
    log,
    offline,
    service,
    settings_file,
    spool,
    store,
    store_file,
    upgrade,
)
from banledger.doctor.diagnosis import Diagnosis, unseen, wrong
from banledger.doctor.examined import Examined
from banledger.errors import BanledgerError

LONGEST_S = 60.0
"""How long a check may take. Each part of it has its own, shorter limit."""


_NO_SETTINGS = "the settings can't be read"


class Check(Struct, frozen=True):
    """One check: its name, what it looks at, what helps if it is not well, and the function that looks.

    look returns None where there is nothing to look at. root: only root can do it. needs_setup: before a setup, that
    helps and nothing else.
    """

    name: str
    about: str
    helps: str
    look: Callable[[Examined], Diagnosis | None]
    root: bool = False
    needs_setup: bool = False


class CheckResult(Struct, frozen=True):
    """A check's name and what it found."""

    check: str
    diagnosis: Diagnosis


TABLE = (
    Check(
        "settings",
        "the settings file: its form, its names, its mode; files of passwords and certificates, and whether the"
        " service may read them",
        "`chown` and `chmod`, or an editor",
        settings_file.settings,
    ),
    Check("program", "the interpreter and the packages of the service's virtual environment", "setup", service.program),
    Check("setup", "whether there was one, and whether it was interrupted", "setup", upgrade.setup, root=True),
    Check(
        "unit file",
        "whether it is this version's, and systemd has read it",
        "setup, `daemon-reload`",
        upgrade.unit_file,
    ),
    Check(
        "service",
        "whether the unit is installed, enabled, active, and has a watchdog",
        "`restart`, `enable`",
        service.unit,
        needs_setup=True,
    ),
    Check(
        "spool lock",
        "whether a recorder reads the spool",
        "a restart of the service",
        spool.lock,
        root=True,
        needs_setup=True,
    ),
    Check(
        "service version", "whether the recorder runs what is installed", "a restart of the service", service.version
    ),
    Check(
        "recorder",
        "what `banledger status` finds: the heartbeat, lost bans, silent registries",
        "what it says",
        service.recorder,
    ),
    Check("fail2ban", "whether it is installed, and its version", "the package manager", fail2ban.installed),
    Check(
        "fail2ban server",
        "whether it answers, why not, and whether it could start again",
        "setup with `--mend`, or a restart of fail2ban",
        fail2ban.answers,
        root=True,
    ),
    Check("jails", "whether each enabled jail has the action in fail2ban's configuration", "setup", jails.configured),
    Check(
        "action file",
        "whether it is this version's, and fail2ban was restarted since it changed",
        "setup",
        jails.action_file,
    ),
    Check(
        "running jails", "whether each running jail has the action", "a restart of the jail", jails.running, root=True
    ),
    Check(
        "fail2ban.log",
        "what the action has complained about since fail2ban's start",
        "reading it",
        log.trouble,
        root=True,
    ),
    Check(
        "bans",
        "whether the ledger has the bans that fail2ban holds, and those of its database since its start",
        "a restart of the jail",
        bans.compared,
        root=True,
    ),
    Check(
        "spool",
        "whether it exists, its owner and mode, and whether all actions write to it",
        "`chown`, `chmod`, setup",
        spool.directory,
    ),
    Check(
        "backlog",
        "what waits in the spool, for how long, and whether it needs a newer banledger",
        "the service's journal, setup",
        spool.backlog,
        root=True,
    ),
    Check(
        "rejected lines",
        "invalid lines that were set aside, and why the last one was",
        "moving them away",
        spool.rejected,
        root=True,
    ),
    Check("foreign files", "files in the spool that are no segments", "removing them", spool.foreign, root=True),
    Check("spool space", "free space, and the limit of the spool", "making room", spool.space, root=True),
    Check(
        "store",
        "whether the ledger can be read",
        "a start of the server, or another address",
        store.readable,
        needs_setup=True,
    ),
    Check(
        "ledger file",
        "embedded: owner, mode, file format, size of the `-wal`, free space",
        "`chown`, `chmod`, a copy",
        store_file.file,
    ),
    Check("store server", "on a server: version, persistence, eviction, memory, role", "`CONFIG SET`", store.server),
    Check(
        "store rights",
        "on a server: whether the user may run all commands that are needed",
        "its line of [stores.md](stores.md#a-user-of-its-own)",
        store.rights,
    ),
    Check(
        "clock",
        "whether a time server sets it, and whether files or heartbeats are from the future",
        "`timedatectl`",
        clock.clock,
    ),
    Check(
        "time zone",
        "whether this machine knows the ledger's, and the settings name no other",
        "the package manager or an editor",
        clock.zone,
    ),
    Check("countries", "`iptocc` and the age of its installation", "an upgrade", offline.registered),
    Check("geolocation", "whether the `.mmdb` files can be read, and their age", "`geoipupdate`", offline.located),
)
"""All checks, in the order in which they are done and shown."""


def results(examined: Examined) -> Iterator[CheckResult]:
    """Do all checks, one after the other. A check that doesn't end is given up."""
    for check in TABLE:
        if (diagnosis := _done(check, examined)) is not None:
            yield CheckResult(check.name, diagnosis)


def _done(check: Check, examined: Examined) -> Diagnosis | None:
    if check.root and not examined.root:
        return unseen("needs root")
    answers: queue.SimpleQueue[Diagnosis | BaseException | None] = queue.SimpleQueue()
    threading.Thread(target=_look, args=(check, examined, answers), daemon=True).start()
    try:
        answer = answers.get(timeout=LONGEST_S)
    except queue.Empty:
        return wrong(f"it could not be looked at within {LONGEST_S:.0f} s")
    if isinstance(answer, BaseException):
        raise answer
    if answer is not None and answer.remedy and check.needs_setup and not examined.is_set_up:
        return replace(answer, remedy=examined.setup())
    return answer


def _look(check: Check, examined: Examined, answers: "queue.SimpleQueue[Diagnosis | BaseException | None]") -> None:
    try:
        answers.put(check.look(examined))
    except BanledgerError as error:
        answers.put(unseen(_NO_SETTINGS if error is examined.settings else str(error)))
    except PermissionError as error:
        answers.put(unseen(f"can't look at {error.filename}: {error.strerror}"))
    except BaseException as error:  # noqa: BLE001 - raised again by the one who waits
        answers.put(error)
