"""A machine to which banledger's Debian package comes."""

import os
from pathlib import Path

import pytest

from banledger.errors import BanledgerError
from banledger.setup.changes import FileChanges
from banledger.setup.machine import PACKAGED_UNIT, Machine
from banledger.setup.package import handed_over
from banledger.setup.program import HOME, Program
from banledger.setup.undo import Undo

ME = (os.getuid(), os.getgid())
PLACES = ("/etc/unit", "/etc/link", "/etc/mine")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One that a setup has changed; `/etc/mine` had a file before."""
    for name in ("etc", "var/lib", "opt/banledger"):
        (tmp_path / name).mkdir(parents=True)
    changes = FileChanges(tmp_path)
    changes.place("/etc/mine").write_text("by hand")
    changes.write("/etc/unit", b"a unit", owner=ME)
    changes.write("/etc/mine", b"a file of setup's", owner=ME)
    changes.link("/etc/link", "/nowhere")
    (changes.new_tree(HOME) / "program").touch()
    changes.put_tree(HOME)
    unit = tmp_path / PACKAGED_UNIT.lstrip("/")
    unit.parent.mkdir(parents=True)
    unit.touch()
    return Machine(tmp_path)


def test_what_setup_made_is_given_up_and_the_program_stays(machine: Machine) -> None:
    (step,) = handed_over(machine, PLACES)
    assert not step.done()

    step.do()

    assert step.done()
    assert not any(machine.place(path).exists() or machine.place(path).is_symlink() for path in PLACES)
    assert (machine.place(HOME) / "program").exists()
    step.do()  # as after a kill
    assert [entry.path for entry in Machine(machine.root).changes.journal.entries] == ["/etc/mine"]


def test_the_undo_puts_back_what_was_there_and_leaves_the_packages_program(machine: Machine) -> None:
    assert not any(HOME in line for line in Undo(machine, print, purge=False).lines)
    (step,) = handed_over(machine, PLACES)
    step.do()

    Undo(machine, print, purge=False).run()

    assert machine.place("/etc/mine").read_text() == "by hand"
    assert (machine.place(HOME) / "program").exists()
    assert list(handed_over(machine, PLACES)) == []


def test_another_program_is_not_put_over_the_packages(machine: Machine) -> None:
    with pytest.raises(BanledgerError, match="package is installed here"):
        Program(machine).check()
