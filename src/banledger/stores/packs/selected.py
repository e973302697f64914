"""The rows of a selection, from recent rows and packs. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set

from msgspec import Struct

from banledger.stores.packs.pack import Key, Pack, Row
from banledger.stores.selection import Column, Ranks, Selection, Told, untold


class Recent(Struct, frozen=True):
    """Rows in memory, sorted by key."""

    rows: Sequence[Row]


class Packed(Struct, frozen=True):
    """A pack, without the rows that are hidden.

    low, high  its first and last key. Packs do not overlap. Only packs that may have a selected row are loaded
    hidden     keys of rows that are removed, or out of date because a recent row has the same key
    """

    pack: Pack
    low: Key
    high: Key
    hidden: Set[Key] = frozenset()


class SelectedRows:
    """See `selection.Selected`.

    sources  returns recent rows (any number of `Recent`) and packs, in any order. Called once for each pass over the
             rows; a pass keeps no source
    id_of    returns the id of a key

    Methods raise `DamagedPack`, and what loading a part raises.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        selection: Selection,
        sources: Callable[[], Iterable[Recent | Packed]],
        id_of: Callable[[Key], str],
    ) -> None:
        raise NotImplementedError

    def newest(self, limit: int | None = None, told: Told = untold) -> Iterator[str]:
        """See Selected.newest."""
        raise NotImplementedError

    def rank(
        self, most: Mapping[str, int | None], distinct: tuple[str, str] | None = None, told: Told = untold
    ) -> Ranks:
        """See Selected.rank."""
        raise NotImplementedError
