"""What fail2ban reads in a configuration directory, as JSON on stdout: `python3 - DIRECTORY` with this file on stdin.

It runs in fail2ban's own Python, and uses fail2ban's own readers, so that the answer is exact. Nothing of ours is in
reach there: the standard library only, and source that Python 3.6 reads. `configuration.py` has the answer's form.
"""

import json
import logging
import sys

sys.path[:] = [path for path in sys.path if path]  # not the current directory

from fail2ban.client.fail2banreader import Fail2banReader  # noqa: E402
from fail2ban.client.jailreader import JailReader  # noqa: E402
from fail2ban.client.jailsreader import JailsReader  # noqa: E402
from fail2ban.version import version  # noqa: E402

_NOT_JAILS = ("INCLUDES", "Definition")


def jail_of(name, shared, config):
    """One section: its action as written and as read, and what the server would be told if the jail is enabled."""
    own = config.get_sections()[name]
    known = config.get_sections().get("KNOWN/" + name, {})
    found = {
        "name": name,
        "own": own.get("action"),
        "known": known.get("action"),
        "enabled": False,
        "action": None,
        "error": "",
        "missing_log": "",
        "stream": [],
    }
    try:
        reader = JailReader(name, share_config=shared, use_config=config)
        fine = reader.getOptions()
        found["enabled"] = bool(reader.isEnabled())
        if not found["enabled"]:
            found["action"] = config.get(name, "action")
            return found
        found["action"] = reader.options.get("action")
        if not fine:
            found["error"] = str(reader.options.get("config-error", "it can't be read"))
            found["enabled"] = True
            return found
        found["stream"] = reader.convert(allow_no_files=True)
        found["missing_log"] = missing_log(reader)
    except Exception as error:
        found["error"] = "{}: {}".format(type(error).__name__, error)
    return found


def missing_log(reader):
    """Why the server would refuse the jail for want of a log; empty if it wouldn't."""
    try:
        reader.convert(allow_no_files=False)
    except ValueError as error:
        return str(error)
    return ""


def has_journal():
    """Whether this Python can read systemd's journal."""
    try:
        import systemd.journal  # noqa: F401
    except Exception:
        return False
    return True


def database(directory):
    """The server's database; empty if it has none, or that can't be read."""
    try:
        reader = Fail2banReader(basedir=directory)
        reader.read()
        return reader.getEarlyOptions() and str(reader.get("Definition", "dbfile"))
    except Exception:
        return ""


def main(directory):
    """Print the answer."""
    logging.getLogger("fail2ban").setLevel(logging.CRITICAL + 1)
    shared = {}
    reader = JailsReader(share_config=shared, basedir=directory)
    reader.read()
    config = reader._cfg
    names = [name for name in reader.sections() if name not in _NOT_JAILS]
    answer = {
        "version": version,
        "journal": has_journal(),
        "database": database(directory),
        "default": config.get_defaults().get("action"),
        "jails": [jail_of(name, shared, config) for name in names],
    }
    json.dump(answer, sys.stdout)


main(sys.argv[1])
