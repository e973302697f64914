"""The jails that `banledger status` names, as a running fail2ban tells them."""

import os
from unittest.mock import patch

from banledger.cli.fail2ban_jails import unrecorded_jails
from banledger.report.status import UnrecordedJail
from banledger.setup.machine import Machine

from .test_doctor import Patient, patient, pytestmark, shared  # noqa: F401  fixtures; when they can run
from .test_setup import BANNED


def asked(patient: Patient, *recorded: str) -> tuple[UnrecordedJail, ...] | None:  # noqa: F811
    with patch.dict(os.environ, patient.environment(), clear=True):
        return unrecorded_jails(Machine(patient.directory), set(recorded))


def test_jails_that_ban_and_are_not_recorded_are_named(patient: Patient) -> None:  # noqa: F811
    assert asked(patient) == ()
    for jail in patient.jails:
        patient.client("set", jail, "banip", BANNED)

    assert asked(patient, "sshd") == (UnrecordedJail("my shop", 1, 1),)
    assert asked(patient, *patient.jails) == ()
    patient.client("set", "my shop", "unbanip", BANNED)
    assert asked(patient, "sshd") == (UnrecordedJail("my shop", 0, 1),)


def test_a_fail2ban_that_does_not_run_is_not_known_to_have_no_jails(patient: Patient) -> None:  # noqa: F811
    empty = patient.directory / "empty"
    (empty / "etc/fail2ban").mkdir(parents=True)
    with patch.dict(os.environ, patient.environment(), clear=True):
        assert unrecorded_jails(Machine(empty), set()) is None
        assert unrecorded_jails(Machine(empty / "etc"), set()) is None
