"""The names of keys in an embedded ledger: each has a number, by which the other tables know it."""

from banledger.stores.pages import pages
from banledger.stores.sqlite.file import HASH, as_json
from banledger.stores.sqlite.transactions import Transactions

_NUMBERS_KEPT = 16_384
_NO_NUMBER = (0, "")
_NUMBERS = 1 << 62  # no writer gets that far; numbers above were put there by somebody else, and may have no successor


class NamedKeys(Transactions):
    """Gives names their numbers. Every method is called in a transaction."""

    def _name(self, kinds: dict[str, str], fresh: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        """Give every key its number, and make it of that kind. `fresh` ones are known to have no number yet."""
        if len(self._numbers) > _NUMBERS_KEPT:
            self._numbers.clear()
        unknown = self._unknown(kinds)
        self._items.drop(self._db, unknown)
        for page in pages([key for key in unknown if key not in fresh], 5000):
            found = self._db.execute(
                "SELECT name, key.id, kind FROM json_each(?) JOIN key ON name = value", (as_json(page),)
            )
            for name, number, kind in found.fetchall():
                self._numbers[name] = number, kinds[name]
                if kind != kinds[name]:
                    self._turn_into(number, kinds[name])
        if unknown := self._unknown({key: kinds[key] for key in unknown}):
            (last,) = self._db.execute(f"SELECT coalesce(max(id), 0) FROM key WHERE id < {_NUMBERS}").fetchone()
            self._numbers.update((key, (number, kinds[key])) for number, key in enumerate(unknown, last + 1))
            self._db.executemany(
                "INSERT INTO key VALUES (?, ?, ?, ?) ON CONFLICT (name)"
                " DO UPDATE SET id = excluded.id, kind = excluded.kind, card = excluded.card",  # somebody put it there
                [(self._numbers[key][0], key, kinds[key], kinds[key] == HASH) for key in unknown],
            )

    def _unknown(self, kinds: dict[str, str]) -> list[str]:
        """The keys whose number is not known, or that were of another kind when it was."""
        known = self._numbers.get
        return [key for key, kind in kinds.items() if known(key, _NO_NUMBER)[1] != kind]

    def _turn_into(self, number: int, kind: str) -> None:
        """Make a key that somebody made of another kind one of `kind`, and drop what it held."""
        for table in ("hash", "member", "tally", "ranking", "mark"):
            self._db.execute(f"DELETE FROM {table} WHERE key = ?", (number,))
        self._db.execute("UPDATE key SET kind = ?, card = ? WHERE id = ?", (kind, kind == HASH, number))

    def _remove_names(self, keys: list[str]) -> None:
        """Remove what is stored under the names of items."""
        for some in pages(keys, 5000):
            found = self._db.execute("SELECT key.id FROM json_each(?) JOIN key ON name = value", (as_json(some),))
            for (number,) in found.fetchall():
                self._turn_into(number, HASH)
                self._db.execute("DELETE FROM key WHERE id = ?", (number,))
