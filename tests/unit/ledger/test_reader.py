"""Questions about a whole ledger."""

from banledger.ledger.writer import Ledger
from banledger.stores.api import Scored
from tests.contract.conftest import KEYS
from tests.support.reference import ReferenceEngine, Store


class Counting(ReferenceEngine):
    """Counts the pages of rankings that are asked for."""

    asked = 0

    def ranking(self, key: str, start: int, count: int) -> list[Scored]:
        self.asked += 1
        return super().ranking(key, start, count)


def test_a_long_ranking_is_read_in_few_pages() -> None:
    store = Store()
    engine = Counting(store, KEYS.entries_of)
    ledger = Ledger(engine, KEYS, "UTC")
    members = {f"10.0.{n >> 8}.{n & 255}": 1.0 + n % 7 for n in range(20_000)}
    store.sorted[KEYS.top("ip")] = members
    engine.asked = 0
    found = list(ledger.ranked("ip"))
    assert dict(found) == members
    assert [bans for _, bans in found] == sorted(members.values(), reverse=True)
    assert engine.asked < 10
