"""What a running fail2ban-server says of itself, as JSON on stdout: `python3 - DIRECTORY` with this file on stdin.

It runs in fail2ban's own Python, with fail2ban's own client. Nothing of ours is in reach there: the standard library
only, and source that Python 3.6 reads. It only asks. `running.py` has the answer's form.
"""

import json
import logging
import sys

sys.path[:] = [path for path in sys.path if path]  # not the current directory

from fail2ban.client.csocket import CSocket  # noqa: E402
from fail2ban.client.fail2banreader import Fail2banReader  # noqa: E402

_ANSWERS_S = 5


def ask(socket, *words):
    """The answer of the server. Raises an error with its complaint."""
    code, answer = socket.send(list(words))
    if code != 0:
        raise ValueError(str(answer))
    return answer


def jail_of(socket, name):
    """A jail that runs."""
    status = dict(ask(socket, "status", name))
    actions = dict(status.get("Actions", ()))
    return {
        "name": name,
        "actions": [str(action) for action in ask(socket, "get", name, "actions")],
        "banned": [str(banned) for banned in actions.get("Banned IP list", ())],
        "total": int(actions.get("Total banned", 0)),
    }


def answer_of(path):
    """Everything that the server says."""
    socket = CSocket(path, timeout=_ANSWERS_S)
    try:
        ask(socket, "ping")
        listed = str(dict(ask(socket, "status")).get("Jail list", ""))
        names = [name.strip() for name in listed.split(",") if name.strip()]
        return {
            "alive": True,
            "version": str(ask(socket, "version")),
            "log": str(ask(socket, "get", "logtarget")),
            "jails": [jail_of(socket, name) for name in names],
        }
    finally:
        socket.close()


def main(directory):
    """Print the answer."""
    logging.getLogger("fail2ban").setLevel(logging.CRITICAL + 1)
    reader = Fail2banReader(basedir=directory)
    reader.read()
    options = reader.getEarlyOptions()
    try:
        answer = answer_of(options["socket"])
    except Exception as error:
        why = "does not answer within {} s".format(_ANSWERS_S) if "timed out" in str(error) else str(error)
        answer = {"alive": False, "why": why, "log": str(options.get("logtarget", ""))}
    json.dump(answer, sys.stdout)


main(sys.argv[1])
