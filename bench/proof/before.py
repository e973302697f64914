"""The sources of another commit, unpacked; nothing of the repository changes."""

import subprocess
from pathlib import Path

from bench.proof.processes import Tree

FORMAT_1 = "cdc3014"
"""The last commit that writes format 1 of the embedded ledger."""


def unpack(root: Path, commit: str, folder: Path) -> Tree:
    """Return a checkout of a commit of the repository at `root`, in a new folder; it uses this Python's packages."""
    where = folder / "before"
    where.mkdir()
    archive = subprocess.run(
        ["git", "-C", str(root), "archive", "--format=tar", commit, "src", "bench"], check=True, capture_output=True
    )
    subprocess.run(["tar", "-x", "-C", str(where)], input=archive.stdout, check=True)
    return Tree("before", where, folder / "bytecode")
