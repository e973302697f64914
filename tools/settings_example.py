"""Print the example of the settings file: `make docs`. A test compares it with the file."""

import json
import sys

from banledger.settings import TABLE

TEXT = """\
# /etc/banledger/banledger.toml: only what differs from the defaults need be said, and the file itself is
# needed only then. Each setting has an environment variable too (BANLEDGER_STORE, BANLEDGER_WHOIS_ENABLED),
# which wins over this file; store, spool and prefix have a flag, which wins over both.
"""


def document() -> str:
    """The whole file."""
    return TEXT + "".join(f"\n# {setting.doc}\n#{setting.name} = {json.dumps(setting.default)}\n" for setting in TABLE)


if __name__ == "__main__":
    sys.stdout.write(document())
