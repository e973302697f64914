"""Warn before bans are imported that are recorded under another server label already."""

import shlex
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import click

from banledger.cli.progress import ProgressBars
from banledger.errors import BanledgerError
from banledger.report.formats.escape import visible

if TYPE_CHECKING:
    from banledger.importer.edges import Edges
    from banledger.settings import Settings


class LabelCheck:
    """Looks in the ledger for the first and the last bans of an import. If it can't be read, nothing is known.

    ask    ask on a terminal, and refuse without one; else only warn
    other  the label under which they are recorded; None: none, or unknown
    """

    def __init__(self, chosen: "Settings", server: str, progress: ProgressBars, *, ask: bool) -> None:
        self._chosen = chosen
        self._server = server
        self._progress = progress
        self._ask = ask
        self.other: str | None = None

    def check(self, edges: "Edges") -> None:
        """Warn, and ask before anything is written. Raises BanledgerError or click.Abort."""
        self.other = self._find(edges) if self._server else None
        if self.other is None:
            return
        self._progress.clear()
        other, label = visible(self.other), visible(self._server)
        found = f"these bans are recorded already as those of server {other!r}: as {label!r} they count a second time"
        if not self._ask:
            click.echo(f"warning: {found}", err=True)
        elif not sys.stdin.isatty():
            raise BanledgerError(
                found, hint=f"--server {shlex.quote(other)} adds only what is new; --yes imports them all the same"
            )
        else:
            click.confirm(f"{found}. Import them?", abort=True, err=True)

    def _find(self, edges: "Edges") -> str | None:
        from banledger.importer.other_label import other_label
        from banledger.ledger.opening import open_to_read
        from banledger.stores.connect import access

        chosen = self._chosen
        try:
            with closing(open_to_read(chosen.store, chosen.prefix, access(chosen))) as reader:
                return other_label(reader, self._server, edges)
        except BanledgerError:
            return None
