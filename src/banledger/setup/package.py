"""banledger's Debian package on a machine: the program and its files are the package's, not the setup's."""

from collections.abc import Iterable, Iterator

from banledger.setup.machine import Machine
from banledger.setup.program import HOME
from banledger.setup.step import SetupStep


def handed_over(machine: Machine, paths: Iterable[str]) -> Iterator[SetupStep]:
    """The step that gives up what a setup made before the package came: a unit in /etc would hide the package's.

    The program has one place, where the package's is now; setup forgets that it made one there.
    """
    journal = machine.changes.journal
    entries = [entry for path in (HOME, *paths) if (entry := journal.entry(path)) is not None]

    def hand_over() -> None:
        for entry in entries:
            if entry.path != HOME:
                machine.changes.restore(entry, purge=False)
        journal.forget({entry.path for entry in entries})

    if entries:
        done = lambda: all(journal.entry(entry.path) is None for entry in entries)  # noqa: E731
        yield SetupStep("leave the program and its files to banledger's package", done, hand_over)
