"""banledger's Debian package on a machine: the program and its files are the package's, not the setup's."""

from collections.abc import Iterable, Iterator
from os.path import lexists

from banledger.setup.changes import remove_own
from banledger.setup.machine import Machine
from banledger.setup.program import HOME
from banledger.setup.step import SetupStep


def handed_over(machine: Machine, paths: Iterable[str]) -> Iterator[SetupStep]:
    """The step that gives up what a setup made before the package came: a unit in /etc would hide the package's.

    The program has one place, where the package's is now; setup forgets that it made one there. What was at the other
    places before the first setup stays in the journal, for the undo.
    """
    journal = machine.changes.journal
    entries = [entry for path in paths if (entry := journal.entry(path)) is not None]

    def is_done() -> bool:
        return journal.entry(HOME) is None and not any(lexists(machine.place(entry.path)) for entry in entries)

    def hand_over() -> None:
        for entry in entries:
            remove_own(machine.place(entry.path))
        journal.forget({HOME, *(entry.path for entry in entries if entry.kind == "absent")})

    if entries or journal.entry(HOME) is not None:
        yield SetupStep("leave the program and its files to banledger's package", is_done, hand_over)
