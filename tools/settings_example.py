"""Print the example of the settings file: `make docs`. A test compares it with the file."""

import json
import sys

from banledger.settings import TABLE

TEXT = """\
# /etc/banledger/banledger.toml. Every line shows the default: remove the # from a setting that you change.
# Without this file, all defaults apply. `systemctl reload banledger` reads it again. Each setting has an
# environment variable too (BANLEDGER_STORE, BANLEDGER_WHOIS_ENABLED), which overrides this file; store,
# spool and prefix have a flag, which overrides both.
"""


def document() -> str:
    """The whole file."""
    return TEXT + "".join(f"\n# {setting.doc}\n#{setting.name} = {json.dumps(setting.default)}\n" for setting in TABLE)


if __name__ == "__main__":
    sys.stdout.write(document())
