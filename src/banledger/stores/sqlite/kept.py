"""The rows of a selection, as an embedded ledger keeps them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from math import inf

from msgspec.structs import replace

from banledger.errors import StoreError
from banledger.stores.packs.pack import DamagedPack
from banledger.stores.packs.selected import SelectedRows
from banledger.stores.selection import Ranks, RowsDone, Selection, no_progress
from banledger.stores.sqlite.ids import unpack_id
from banledger.stores.sqlite.rows import RowReader


class KeptRows:
    """See `selection.Selected`.

    snapshot  lets everything that is read in it see one state
    """

    def __init__(
        self,
        rows: RowReader,
        selection: Selection,
        snapshot: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._rows = rows
        self._selection = selection
        self._snapshot = snapshot

    def newest(self, limit: int | None = None, progress: RowsDone = no_progress) -> Iterator[str]:
        """See Selected.newest. Parts of the rows are read one by one: no transaction is open while ids are used."""
        with self._reading():
            seconds = self._rows.seconds(self._selection)
        since = -inf if self._selection.since is None else self._selection.since
        until = inf if self._selection.until is None else self._selection.until
        left = limit
        for done, (high, low) in enumerate(pairwise([until, *seconds, since])):
            with self._reading():
                part = replace(self._selection, since=None if low == -inf else low, until=None if high == inf else high)
                ids = list(self._selected(part).newest(left))
            yield from ids
            progress(done + 1, len(seconds) + 1)
            left = None if left is None else left - len(ids)
            if left == 0:
                return

    def rank(
        self, most: Mapping[str, int | None], distinct: tuple[str, str] | None = None, progress: RowsDone = no_progress
    ) -> Ranks:
        """See Selected.rank."""
        with self._reading():
            return self._selected(self._selection).rank(most, distinct, progress)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """See one state. Raises StoreError for a damaged pack."""
        with readable(), self._snapshot():
            yield

    def _selected(self, selection: Selection) -> SelectedRows:
        sources = self._rows.sources
        return SelectedRows(self._rows.columns, selection, lambda: sources(selection.since, selection.until), unpack_id)


@contextmanager
def readable() -> Iterator[None]:
    """Damaged packs become StoreErrors."""
    try:
        yield
    except DamagedPack as error:
        raise StoreError(
            f"a part of the ledger's index is damaged: {error}",
            hint="stop the recorder, and make it again from the bans: banledger store rebuild; if the file has other"
            " damage, save the bans to a new one: banledger store copy",
        ) from error
