"""Compare and set of one hash, and the leases that are made of it, over every engine."""

from threading import Thread

import pytest

from banledger.errors import StoreUnavailable
from banledger.ledger.labels import LabelTable
from banledger.ledger.lease import Held, take
from banledger.ledger.swap import assign, claim, swap
from banledger.stores.api import Engine, Hash, Repair
from tests.contract.conftest import KEYS, Open


def test_claim_keeps_an_existing_value(engine: Engine) -> None:
    assert claim(engine, "bans:meta", {"layout": "1"}) == {"layout": "1"}
    assert claim(engine, "bans:meta", {"layout": "2", "zone": "UTC"}) == {"layout": "1", "zone": "UTC"}


def test_assign_replaces_named_fields_and_keeps_the_others(engine: Engine) -> None:
    assign(engine, "bans:meta", {"layout": "1", "zone": "UTC"})
    assign(engine, "bans:meta", {"layout": "2"})
    assert engine.hashes(["bans:meta"]) == [{"layout": "2", "zone": "UTC"}]


def test_a_lease_has_one_holder_until_it_is_released_or_expires_unchanged(engine: Engine) -> None:
    assign(engine, "bans:lookups", {"pause:ripe": "9.0"})

    def lease(holder: str, until: str, seen: Held = Held()) -> Held:  # noqa: B008  # frozen
        return take(engine, "bans:lookups", Held(holder, until), seen)

    assert lease("a", "70.5") == Held("a", "70.5")
    assert lease("b", "130") == Held("a", "70.5")
    assert lease("a", "120") == Held("a", "120")
    assert lease("b", "180", seen=Held("a", "70.5")) == Held("a", "120")
    assert lease("b", "180", seen=Held("a", "120")) == Held("b", "180")
    assert lease("a", "190", seen=Held("a", "120")) == Held("b", "180")
    assert lease("a", "0") == Held("b", "180")
    assert lease("b", "0") == Held("b", "0")
    assert lease("a", "190") == Held("a", "190")
    assert engine.hashes(["bans:lookups"]) == [{"holder": "a", "until": "190", "pause:ripe": "9.0"}]


@pytest.mark.parametrize("free", [{"until": "9e9"}, {"holder": "a"}, {"holder": "a", "until": "soon"}])
def test_an_invalid_lease_counts_as_free(engine: Engine, free: Hash) -> None:
    assign(engine, "bans:lookups", free)
    assert take(engine, "bans:lookups", Held("b", "70"), Held()) == Held("b", "70")


def test_fields_are_exchanged_only_if_one_has_the_expected_value(engine: Engine) -> None:
    key, (one, two, other) = "bans:label:web1", ({"nonce": "1", "last": ""}, {"nonce": "2"}, {"rival": "é"})
    table = LabelTable(engine, KEYS, "ledger", "machine")
    assert table.exchange("web1", ["9"], one, {}) == {}
    assert engine.hashes([key]) == [{}]
    assert table.exchange("web1", ["9", ""], one, other) == {}
    assert table.exchange("web1", ["", "9"], two, other) == {"nonce": "1", "last": ""}
    assert table.exchange("web1", ["0", "1"], two, other) == {"nonce": "1", "last": "", "rival": "é"}
    assert table.exchange("web1", [], two, {}) == {"nonce": "2", "last": "", "rival": "é"}
    assign(engine, key, {"nonce": ""})
    assert table.exchange("web1", [""], one, other)["nonce"] == ""
    assert engine.hashes([key]) == [{"nonce": "1", "last": "", "rival": "é"}]


def test_a_hash_that_changed_meanwhile_is_decided_about_again(engine: Engine) -> None:
    assign(engine, "bans:lookups", {"n": "1"})
    seen: list[Hash] = []

    def decide(have: Hash) -> Hash:
        seen.append(have)
        if len(seen) == 1:
            assign(engine, "bans:lookups", {"n": "2"})
        return {"n": str(int(have["n"]) + 1)}

    assert swap(engine, "bans:lookups", decide) == ({"n": "2"}, {"n": "3"})
    assert seen == [{"n": "1"}, {"n": "2"}]
    assert engine.hashes(["bans:lookups"]) == [{"n": "3"}]


def test_a_hash_that_changes_all_the_time_is_given_up(engine: Engine) -> None:
    numbers = iter(range(1_000_000))

    def decide(_: Hash) -> Hash:
        assign(engine, "bans:lookups", {"n": str(next(numbers))})
        return {"n": "mine"}

    with pytest.raises(StoreUnavailable, match="bans:lookups keeps changing"):
        swap(engine, "bans:lookups", decide)


def test_a_hash_that_nothing_is_decided_about_stays_as_it_is(engine: Engine) -> None:
    assert swap(engine, "bans:lookups", lambda _: None) == ({}, {})
    assert list(engine.keys("*")) == []


def test_a_key_of_another_kind_is_not_overwritten(engine: Engine) -> None:
    engine.mend(Repair(joins=[("bans:lookups", "x")]))
    with pytest.raises(StoreUnavailable, match="bans:lookups holds no hash"):
        assign(engine, "bans:lookups", {"n": "1"})
    assert list(engine.members("bans:lookups")) == ["x"]


def test_fields_that_several_put_at_once_are_all_there(open_engine: Open, request: pytest.FixtureRequest) -> None:
    if "sqlite" in request.node.name or "reference" in request.node.name:
        pytest.skip("it has one writer")
    engines = [open_engine() for _ in range(4)]

    def work(number: int) -> None:
        for turn in range(25):
            assign(engines[number], "bans:recorders", {f"{number}": f"{turn}"})

    threads = [Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engines[0].hashes(["bans:recorders"]) == [{f"{number}": "24" for number in range(4)}]
