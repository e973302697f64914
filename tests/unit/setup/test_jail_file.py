"""The file that adds our action, over real configurations, as a real fail2ban reads them."""

from dataclasses import dataclass, field

import pytest

from banledger.errors import BanledgerError
from banledger.setup.jail_file import Wish
from banledger.setup.mirror import JAIL_FILE
from tests.unit.setup.conftest import Configured

ON = "enabled = true\nbackend = polling\nlogpath = LOG\n"
WISH = Wish({"server": "web1"})
Actions = dict[str, list[str]]


@dataclass
class Case:
    """A configuration: files, and the actions of each enabled jail without ours. `jails`: record only these."""

    files: dict[str, str]
    before: Actions
    jails: tuple[str, ...] = ()
    unrecorded: set[str] = field(default_factory=set)
    says: list[str] = field(default_factory=list)


FIREWALL, MAIL = "iptables-multiport", "sendmail-whois"
TABLE = {
    "stock": Case({"jail.local": f"[sshd]\n{ON}"}, {"sshd": [FIREWALL]}, says=["action = %(action_)s"]),
    "a default that mails": Case(
        {"jail.local": f"[DEFAULT]\naction = %(action_mw)s\n[sshd]\n{ON}"},
        {"sshd": [FIREWALL, MAIL]},
        says=["action = %(action_mw)s"],
    ),
    "a jail's own action": Case(
        {"jail.local": f"[sshd]\n{ON}action = iptables-allports[name=SSH]\n"},
        {"sshd": ["iptables-allports-SSH"]},
        says=["[sshd]\naction = %(known/action)s\n"],
    ),
    "own actions on many lines, with options and a comment": Case(
        {
            "jail.local": f'[sshd]\n{ON}action = iptables-allports[name=SSH, blocktype="DROP",\n    chain=INPUT]\n'
            '  # mail, too\n    sendmail-whois[name=SSH, dest="a@example.org, b@example.org"] ; later\n'
        },
        {"sshd": ["iptables-allports-SSH", "sendmail-whois-SSH"]},
    ),
    "recidive": Case(
        {"jail.local": f"[recidive]\n{ON}[sshd]\n{ON}"}, {"sshd": [FIREWALL], "recidive": ["iptables-allports"]}
    ),
    "an action added to the known one": Case(
        {
            "jail.local": f"[sshd]\n{ON}action = iptables-allports\n",
            "jail.d/mail.local": "[sshd]\naction = %(known/action)s\n         sendmail-whois\n",
        },
        {"sshd": ["iptables-allports", MAIL]},
    ),
    "an action added to the known one, which is the default": Case(
        {"jail.local": f"[sshd]\n{ON}action = %(known/action)s\n         sendmail-whois\n"}, {"sshd": [FIREWALL, MAIL]}
    ),
    "an action of each jail.d file": Case(
        {
            "jail.d/a.conf": f"[sshd]\n{ON}action = dummy\n",
            "jail.d/b.local": f"[dropbear]\n{ON}action = %(action_mw)s\n",
        },
        {"sshd": ["dummy"], "dropbear": [FIREWALL, MAIL]},
    ),
    "included files": Case(
        {
            "jail.local": f"[INCLUDES]\nbefore = more.local\nafter = last.local\n[sshd]\n{ON}",
            "more.local": "[DEFAULT]\naction = %(action_mw)s\n",
            "last.local": "[sshd]\naction = iptables-allports\n[DEFAULT]\nbantime = 1h\n",
        },
        {"sshd": ["iptables-allports"]},
    ),
    "a name with blanks": Case(
        {"jail.local": f"[my web shop]\nfilter = sshd\n{ON}action = iptables-allports\n[the 2nd]\nfilter = sshd\n{ON}"},
        {"my web shop": ["iptables-allports"], "the 2nd": [FIREWALL]},
    ),
    "one jail's action in another": Case(
        {
            "jail.local": f"[sshd]\n{ON}action = iptables-allports\n[dropbear]\n{ON}action = %(sshd/action)s\n"
            f"[selinux-ssh]\n{ON}action = %(default/action)s\n"
        },
        {"sshd": ["iptables-allports"], "dropbear": ["iptables-allports"], "selinux-ssh": [FIREWALL]},
    ),
    "two jails of one log, one with two firewalls": Case(
        {
            "jail.local": f"[sshd]\n{ON}[two]\nfilter = sshd\n{ON}action = iptables-multiport[name=a, port=22]\n"
            "   iptables-multiport[name=b, port=23]\n"
        },
        {"sshd": [FIREWALL], "two": ["iptables-multiport-a", "iptables-multiport-b"]},
    ),
    "disabled jails": Case(
        {"jail.local": f"[sshd]\n{ON}[dropbear]\nenabled = false\naction = dummy\n[broken]\naction = %(nothing)s\n"},
        {"sshd": [FIREWALL]},
        says=["[dropbear]\naction = %(known/action)s"],
    ),
    "no action at all": Case(
        {"jail.local": f"[DEFAULT]\naction =\n[sshd]\n{ON}[two]\nfilter = sshd\n{ON}action =\n"},
        {"sshd": [], "two": []},
    ),
    "percent signs": Case(
        {"jail.local": f"[sshd]\n{ON}action = dummy[target=/run/100%%-%(__name__)s]\n"}, {"sshd": ["dummy"]}
    ),
    "one jail of two": Case(
        {"jail.local": f"[DEFAULT]\naction = %(action_mw)s\n[sshd]\n{ON}[dropbear]\n{ON}action = dummy\n"},
        {"sshd": [FIREWALL, MAIL], "dropbear": ["dummy"]},
        jails=("sshd",),
        unrecorded={"dropbear"},
    ),
    "recorded already, by hand": Case(
        {"jail.local": f'[sshd]\n{ON}action = dummy\n   banledger.py[server="web1"]\n[dropbear]\n{ON}'},
        {"sshd": ["dummy"], "dropbear": [FIREWALL]},
    ),
}


@pytest.mark.parametrize("case", TABLE.values(), ids=TABLE)
def test_every_jail_keeps_its_actions_and_has_ours_last(configured: Configured, case: Case) -> None:
    for name, text in case.files.items():
        configured.write(name, text)
    before = configured.fail2ban.read()

    plan = configured.fail2ban.plan(Wish(WISH.options, case.jails))

    configured.write(f"jail.d/{JAIL_FILE}", plan.text)
    after = configured.fail2ban.read()
    assert {
        jail.name: [name for name in jail.actions() if name != "banledger"] for jail in before.enabled()
    } == case.before
    assert {jail.name: jail.actions() for jail in after.enabled()} == {
        name: [*actions, *([] if name in case.unrecorded else ["banledger"])] for name, actions in case.before.items()
    }
    assert [jail.without_ours() for jail in after.enabled()] == [jail.without_ours() for jail in before.enabled()]
    assert after.options() == {"server": "web1"}
    assert configured.fail2ban.refusal(plan.text) == ""
    assert all(line in plan.text for line in case.says)


def test_a_jail_that_is_enabled_later_is_recorded(configured: Configured) -> None:
    configured.write("jail.local", f"[sshd]\n{ON}[dropbear]\naction = dummy\n")
    configured.write(f"jail.d/{JAIL_FILE}", configured.fail2ban.plan(WISH).text)

    configured.write("jail.d/later.local", f"[dropbear]\n{ON}[new]\nfilter = sshd\n{ON}")

    jails = {jail.name: jail.actions() for jail in configured.fail2ban.read().enabled()}
    assert jails["dropbear"] == ["dummy", "banledger"]
    assert jails["new"] == [FIREWALL, "banledger"]


def test_a_later_change_of_a_jails_action_is_seen(configured: Configured) -> None:
    configured.write("jail.local", f"[sshd]\n{ON}action = dummy\n")
    configured.write(f"jail.d/{JAIL_FILE}", configured.fail2ban.plan(WISH).text)

    configured.write("jail.local", f"[sshd]\n{ON}action = iptables-allports\n")

    (sshd,) = configured.fail2ban.read().enabled()
    assert sshd.actions() == ["iptables-allports", "banledger"]


def test_the_plan_is_the_same_when_the_file_is_there_already(configured: Configured) -> None:
    configured.write("jail.local", f"[DEFAULT]\naction = %(action_mw)s\n[sshd]\n{ON}[dropbear]\n{ON}action = dummy\n")
    first = configured.fail2ban.plan(WISH).text
    configured.write(f"jail.d/{JAIL_FILE}", first)

    assert configured.fail2ban.plan(WISH).text == first


def test_a_file_that_is_read_later_and_wins_is_an_error_that_names_the_jail(configured: Configured) -> None:
    configured.write("jail.d/zzz.local", f"[sshd]\n{ON}action = dummy\n")

    with pytest.raises(BanledgerError, match="sshd: its actions would be dummy"):
        configured.fail2ban.plan(WISH)


def test_a_missing_log_is_told_and_mended_by_reading_the_journal(configured: Configured) -> None:
    configured.write("jail.local", "[sshd]\nenabled = true\nbackend = auto\nlogpath = /nowhere/auth.log\n")
    plan = configured.fail2ban.plan(WISH)

    assert "log file for sshd" in plan.before.enabled()[0].missing_log
    assert "log file for sshd" in configured.fail2ban.refusal(plan.text)

    mended = configured.fail2ban.plan(Wish(WISH.options, journal=("sshd",)))
    assert "[sshd]\nbackend = systemd\n" in mended.text
    assert configured.fail2ban.refusal(mended.text) == ""


def test_options_keep_what_fail2ban_would_interpret(configured: Configured) -> None:
    configured.write("jail.local", f"[sshd]\n{ON}")

    plan = configured.fail2ban.plan(Wish({"server": "100% ours", "matches": "0"}))

    configured.write(f"jail.d/{JAIL_FILE}", plan.text)
    assert configured.fail2ban.read().options() == {"server": "100% ours", "matches": "0"}


def test_a_configuration_that_fail2ban_cannot_read_is_an_error(configured: Configured) -> None:
    configured.write("jail.local", "[sshd\n")

    with pytest.raises(BanledgerError, match="fail2ban can't read the configuration"):
        configured.fail2ban.plan(WISH)
