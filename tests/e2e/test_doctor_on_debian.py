"""`banledger doctor` on a stock Debian that systemd boots: each fault is provoked, named, and gone after its remedy."""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from .test_setup_on_debian import Booted, debian, pytestmark  # noqa: F401  a fixture; when it can run

ELSEWHERE = {"clock"}  # it is the host's
SPOOL = "/var/spool/banledger"
SETTINGS = "/etc/banledger/banledger.toml"
SET = "mkdir -p /etc/banledger && cd /etc/banledger && printf '%s\\n'"
RESTART = "systemctl restart banledger"


FRESH = (
    "fail2ban-client unban --all; systemctl stop banledger fail2ban; rm -r /var/lib/banledger/*;"
    f" {RESTART}; systemctl start fail2ban"
)
"""A ledger without gaps, and a fail2ban without complaints: lost bans are told for a day."""


class Fault(NamedTuple):
    """How a fault is made; the check that finds it, its verdict, and words of it.

    mended: what mends it, if its remedy is for a person. after: what else makes everything well again.
    """

    made: str
    check: str
    verdict: str
    says: str
    mended: str = ""
    after: str = ""


FAULTS = {
    "service stopped": Fault("systemctl stop banledger", "service", "wrong", "it is inactive"),
    "service not at boot": Fault("systemctl disable banledger", "service", "wrong", "doesn't start at boot"),
    "service not restarted": Fault(
        "sleep 2; touch /opt/banledger/venv/made-by-setup",
        "service version", "wrong", "not restarted",
    ),
    "unit changed": Fault(
        "touch /etc/systemd/system/banledger.service", "unit file", "wrong", "systemd has not read the unit again"
    ),
    "unit of another version": Fault(
        "echo '# other' >> /etc/systemd/system/banledger.service && systemctl daemon-reload",
        "unit file", "caution", "is not the one of this version",
    ),
    "python gone": Fault("rm /opt/banledger/venv/bin/python", "program", "wrong", "is gone"),
    "python of another version": Fault(
        "mv /opt/banledger/venv/lib/python3.* /opt/banledger/venv/lib/python3.4",
        "program", "wrong", "was made for python3.4",
    ),
    "program that others may change": Fault(
        "chmod o+w /opt/banledger/venv/bin", "program", "wrong", "others than root may change"
    ),
    "setup interrupted": Fault(
        "echo '{\"alive\":true}' > /var/lib/banledger-setup/restart-service", "setup", "wrong", "was interrupted"
    ),
    "fail2ban stopped": Fault("systemctl stop fail2ban", "fail2ban server", "wrong", "it doesn't run"),
    "fail2ban hangs": Fault(
        "kill -STOP $(cat /run/fail2ban/fail2ban.pid)", "fail2ban server", "wrong", "does not answer within 5 s",
        "kill -CONT $(cat /run/fail2ban/fail2ban.pid)",
    ),
    "log file missing": Fault(
        "printf '[recidive]\\nenabled = true\\nbackend = auto\\nlogpath = /nowhere.log\\n'"
        " > /etc/fail2ban/jail.d/recidive.local; systemctl restart fail2ban; sleep 2",
        "fail2ban server", "wrong", "Have not found any log file for recidive jail",
        after="rm /etc/fail2ban/jail.d/recidive.local; banledger setup --yes",
    ),
    "jail without the action": Fault(
        "printf '[third]\\nenabled = true\\nfilter = sshd\\nbackend = systemd\\naction = iptables[name=third]\\n'"
        " > /etc/fail2ban/jail.d/third.local",
        "jails", "wrong", "these jails don't have it: third",
        after="rm /etc/fail2ban/jail.d/third.local; banledger setup --yes; fail2ban-client stop third",
    ),
    "action of another version": Fault(
        "echo '# other' >> /etc/fail2ban/action.d/banledger.py", "action file", "wrong", "not the one of this version"
    ),
    "action changed under fail2ban": Fault(
        "sleep 2; touch /etc/fail2ban/action.d/banledger.py", "action file", "wrong", "was not restarted"
    ),
    "action file gone": Fault("rm /etc/fail2ban/action.d/banledger.py", "action file", "wrong", "there is no"),
    "jail started without the action": Fault(
        "fail2ban-client set sshd delaction banledger", "running jails", "wrong", "started without it: sshd"
    ),
    "jail not started": Fault("fail2ban-client stop sshd", "running jails", "caution", "don't run: sshd"),
    "ban not recorded": Fault(
        f"systemctl stop banledger; fail2ban-client set sshd banip 192.0.2.1; sleep 1; rm {SPOOL}/*.jsonl; {RESTART}",
        "bans", "wrong", "sshd: the ledger lacks 1 ban in force",
        after=FRESH,
    ),
    "unban not recorded": Fault(
        "fail2ban-client set sshd banip 192.0.2.3; sleep 3; systemctl stop banledger;"
        f" fail2ban-client set sshd unbanip 192.0.2.3; sleep 1; rm {SPOOL}/*.jsonl; {RESTART}",
        "bans", "caution", "sshd: 1 ban in force in the ledger only",
        after=FRESH,
    ),
    "spool of another mode": Fault(f"chmod 755 {SPOOL}", "spool", "wrong", "is 2755, not 2770"),
    "spool of another owner": Fault(f"chown nobody {SPOOL}", "spool", "wrong", "doesn't belong to root"),
    "spool gone": Fault(
        f"mv {SPOOL} /root/spool", "spool", "wrong", "there is no", after=f"rm -r /root/spool; {FRESH}"
    ),
    "action can't write": Fault(
        # An open segment could still be written to, wherever it is: until it is a minute old, or removed.
        f"mv {SPOOL} /root/spool; rm -f /root/spool/*.jsonl; fail2ban-client set sshd banip 192.0.2.2; sleep 1",
        "fail2ban.log", "caution", "holding bans in memory", "systemd-tmpfiles --create banledger.conf",
        f"rm -r /root/spool; {FRESH}",
    ),
    "actions that write elsewhere": Fault(
        f"{SET} 'spool = \"/srv/spool\"' > banledger.toml && mkdir -p /srv/spool",
        "spool", "wrong", "writes to another directory", f"rm {SETTINGS}",
    ),
    "invalid line": Fault(
        f"echo garbage > {SPOOL}/1700000000000-0123abcd-1.jsonl; chgrp banledger-spool {SPOOL}/*.jsonl;"
        f" chmod 660 {SPOOL}/*.jsonl; sleep 65",
        "rejected lines", "caution", "1, last: ", after="rm -r ~/banledger-rejected",
    ),
    "foreign file": Fault(f"touch {SPOOL}/'a b'", "foreign files", "caution", "a b (no segment)"),
    "readable password": Fault(
        f"{SET} 'password = \"s3cret\"' > banledger.toml && chmod 644 banledger.toml",
        "settings", "wrong", "accessible to everybody",
        after=f"rm {SETTINGS}",
    ),
    "unknown setting": Fault(
        f"{SET} 'nonsense = 1' > banledger.toml", "settings", "wrong", "unknown setting", f"rm {SETTINGS}"
    ),
    "settings that the service may not read": Fault(
        f"{SET} '' > banledger.toml && chmod 600 banledger.toml", "settings", "wrong", "the service may not read",
        after=f"rm {SETTINGS}",
    ),
    "service that can't start": Fault(
        f"{SET} 'nonsense = 1' > banledger.toml; {RESTART}; sleep 1",
        "service", "wrong", "unknown setting", f"rm {SETTINGS}; {RESTART}",
    ),
    "another time zone": Fault(
        f"{SET} 'timezone = \"Asia/Tokyo\"' > banledger.toml",
        "time zone", "caution", "the setting is Asia/Tokyo", f"rm {SETTINGS}",
    ),
    "store that is down": Fault(
        f"{SET} 'store = \"redis://localhost:1/0\"' > banledger.toml",
        "store", "wrong", "nothing listens there", f"rm {SETTINGS}",
    ),
    "ledger of another user": Fault(
        "chown root /var/lib/banledger/ledger.db", "ledger file", "wrong", "another user owns it"
    ),
    "ledger that others may read": Fault(
        "chmod o+r /var/lib/banledger/ledger.db", "ledger file", "caution", "others may read or write ledger.db"
    ),
    "ledger moved away": Fault(
        "systemctl stop banledger; mv /var/lib/banledger/ledger.db /root", "store", "wrong", "there is no ledger",
        after=f"rm /root/ledger.db; {FRESH}",
    ),
}  # fmt: skip


def examined(system: Booted) -> dict[str, dict[str, Any]]:
    """What the doctor of the checkout says by check: the installed one may be the patient."""
    done = system.run(sys.executable, "-m", "banledger", "doctor", "--json")
    assert done.returncode in (0, 12), done.stderr
    found = {one["name"]: one for one in json.loads(done.stdout)["checks"]}
    assert (done.returncode == 12) == any(one["verdict"] == "wrong" for one in found.values())
    return found


def ills(system: Booted) -> dict[str, Any]:
    return {name: one for name, one in examined(system).items() if one["verdict"] != "well" and name not in ELSEWHERE}


def wait_until_well(system: Booted, check: str = "") -> dict[str, Any]:
    """What is still wrong (of this check) after some patience: a restarted service needs a moment to say so."""
    deadline = time.monotonic() + 60
    while True:
        left = {name: one for name, one in ills(system).items() if check in ("", name)}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(1)


@pytest.fixture(scope="module")
def patient(debian: Booted) -> Iterator[Booted]:  # noqa: F811
    debian.setup("--mend", "--server", "web1", "--yes")
    yield debian


def test_all_is_well_after_a_setup_and_nothing_is_changed_by_looking(patient: Booted) -> None:
    assert wait_until_well(patient) == {}
    places = "/etc /opt /var/lib/banledger /var/lib/banledger-setup /var/spool"
    digests = f"find {places} -type f ! -name '*-shm' -exec sha256sum {{}} + | sort"
    listing = f"find {places} -printf '%p %y %m %u %g %s\\n' | sort; {digests}"
    before = patient.said("sh", "-c", f"systemctl stop banledger; {listing}")

    examined(patient)

    assert patient.said("sh", "-c", listing) == before
    patient.said("sh", "-c", RESTART)


def test_a_user_who_may_read_nothing_gets_the_checks_that_need_nothing(patient: Booted) -> None:
    done = patient.run("runuser", "-u", "nobody", "--", "banledger", "doctor", "--json")

    assert done.stderr == ""
    found = {one["name"]: one["verdict"] for one in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0 and set(found.values()) == {"well", "unseen", "caution"}
    assert {found[name] for name in ("bans", "spool lock", "fail2ban server", "store", "ledger file")} == {"unseen"}
    assert {found[name] for name in ("service", "unit file", "jails", "action file", "program")} == {"well"}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named_and_its_remedy_mends_it(patient: Booted, name: str) -> None:
    fault = FAULTS[name]
    patient.run("sh", "-c", fault.made)

    found = examined(patient)[fault.check]

    assert (found["verdict"], fault.says in found["found"]) == (fault.verdict, True), found
    assert found["remedy"]
    patient.said("sh", "-c", f"cd /root; export HOME=/root; {fault.mended or found['remedy']}")
    assert wait_until_well(patient, fault.check) == {}
    patient.run("sh", "-c", f"cd /root; export HOME=/root; {fault.after}")
    assert wait_until_well(patient) == {}
