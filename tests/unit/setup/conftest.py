"""A configuration of fail2ban as Debian has it, to change, and the fail2ban that reads it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from banledger.demo.installation import locate
from banledger.errors import MissingFail2ban
from banledger.setup.fail2ban import Fail2ban


@dataclass
class Configured:
    """A copy of the stock configuration, and a log that exists."""

    directory: Path
    log: Path
    fail2ban: Fail2ban

    def write(self, name: str, text: str) -> None:
        """Write a file of it; LOG in the text stands for the log."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("LOG", str(self.log)))


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    try:
        installation = locate()
    except MissingFail2ban as error:
        pytest.skip(str(error))
    directory = tmp_path / "fail2ban"
    shutil.copytree(installation.config, directory)
    shutil.rmtree(directory / "jail.d", ignore_errors=True)  # Debian's file there enables sshd
    (directory / "jail.d").mkdir()
    log = tmp_path / "auth.log"
    log.touch()
    python = installation.client[0]
    return Configured(directory, log, Fail2ban(directory, installation.client, python, installation.env))
