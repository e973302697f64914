"""Copying, checking and rebuilding a whole ledger, over every engine."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from banledger.errors import StoreError
from banledger.ledger.check import check
from banledger.ledger.copy import Copied, CopyEnd, Target, copy, verify
from banledger.ledger.keys import Keyspace
from banledger.ledger.network import Cell, Network, Outcome
from banledger.ledger.networks import NetworksReader
from banledger.ledger.rebuild import Rebuilt, rebuild
from banledger.ledger.swap import assign
from banledger.ledger.tokens import token
from banledger.ledger.writer import Ledger
from banledger.spool.events import Event
from banledger.stores.api import Engine, Repair
from banledger.stores.change import Score
from banledger.stores.sqlite.engine import open_writer
from tests.contract.conftest import KEYS, derived
from tests.support.lines import T0, ban, events, gap, nowhere, unban
from tests.support.reference import ReferenceEngine, Store

COPY = Keyspace("copy")
LINES: list[Event] = [
    ban(users=("root",)),
    ban("192.0.2.2", bantime=-1),
    ban("192.0.2.2", time=T0 + 40 * 86_400, jail="a|b:{c}"),
    ban("alice", origin="import"),
    unban("192.0.2.9", seen=T0 + 5),
    gap(),
]


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Ledger]:
    """An embedded ledger with a little of everything."""
    ledger = Ledger(open_writer(tmp_path / "source.db", KEYS.projection), KEYS, "Europe/Berlin")
    ledger.record(LINES, nowhere)
    yield ledger
    ledger.close()


def end(ledger: Ledger) -> CopyEnd:
    return CopyEnd(ledger.store(), ledger.keys)


def plain(contents: dict[str, object]) -> dict[str, object]:
    """Without what tells a copy from the ledger itself."""
    return {key: value for key, value in contents.items() if not key.endswith(":meta")}


# Copy


def test_a_copy_equals_its_source(source: Ledger, engine: Engine) -> None:
    target = Target(engine, KEYS)
    assert copy(end(source), target) == Copied(new=6)
    assert list(verify(end(source), target)) == []
    assert plain(derived(engine)) == plain(derived(source.store()))
    (meta,) = engine.hashes([KEYS.meta])
    assert meta["timezone"] == "Europe/Berlin" and "made_by" not in meta


def test_copying_again_brings_later_changes(source: Ledger, engine: Engine) -> None:
    target = Target(engine, KEYS)
    copy(end(source), target)
    source.record([ban("192.0.2.77"), unban(seen=T0 + 9), ban("192.0.2.9")], nowhere)
    assert copy(end(source), target) == Copied(new=1, changed=2, same=4)
    assert plain(derived(engine)) == plain(derived(source.store()))
    assert copy(end(source), target) == Copied(same=7)


def test_amendments_missing_in_the_source_are_removed(source: Ledger, engine: Engine) -> None:
    target = Target(engine, KEYS)
    copy(end(source), target)
    source.tidy(T0 + 30 * 86_400)
    assert copy(end(source), target).removed == 1
    assert list(verify(end(source), target)) == []


def test_a_ban_only_in_the_copy_stays_without_prune(source: Ledger, engine: Engine) -> None:
    target = Target(engine, KEYS)
    copy(end(source), target)
    (lost,) = source.bans(list(source.ids("user", "root")))
    assert lost is not None
    source._apply([KEYS.removal(lost)])
    assert copy(end(source), target).removed == 0
    assert any("3 bans in the source, 4 in the copy" in line for line in verify(end(source), target))
    assert copy(end(source), target, prune=True).removed == 1
    assert list(verify(end(source), target)) == []


def test_a_copy_that_a_recorder_opened_is_refused(source: Ledger, engine: Engine) -> None:
    copy(end(source), Target(engine, KEYS))
    assert Ledger(engine, KEYS, "UTC").zone == source.zone
    before = derived(engine)
    with pytest.raises(StoreError, match="the target is not a copy"):
        copy(end(source), Target(engine, KEYS))
    assert derived(engine) == before


def test_the_copy_of_another_ledger_is_refused(source: Ledger, engine: Engine, tmp_path: Path) -> None:
    copy(end(source), Target(engine, KEYS))
    other = Ledger(open_writer(tmp_path / "other.db", KEYS.projection), KEYS, "Asia/Tokyo")
    with pytest.raises(StoreError, match="copy of another ledger: different ledger, timezone"):
        copy(end(other), Target(engine, KEYS))
    other.close()


def test_a_copy_may_share_the_store_under_another_prefix(source: Ledger) -> None:
    engine = source._engine
    copy(end(source), Target(engine, COPY))
    assert list(verify(end(source), Target(engine, COPY))) == []
    assert {key.partition(":")[0] for key in engine.keys("*")} == {"bans", "copy"}


def test_networks_and_cells_are_copied_checked_and_rebuilt(source: Ledger, engine: Engine) -> None:
    network = Network(cidrs=("192.0.2.0/25", "2001:db8::/32"), source="rdap", registry="ripe", fetched=5.0, raw=b"{}")
    cell = Cell(cidr="192.0.2.0/25", asked=5.0, result=Outcome.FOUND, network="192.0.2.0/25")
    source.networks.put([network], [cell], T0)
    target = Target(engine, KEYS)
    for _ in range(2):
        copy(end(source), target)
    there = NetworksReader(engine, KEYS)
    assert there.network("2001:db8::/32") == network and there.cells(["192.0.2.0/25"]) == [cell]
    assert list(verify(end(source), target)) == []
    engine.mend(Repair(scores=[Score("bans:whois", "192.0.2.0/25", None), Score("bans:cells", "9.9.9.0/24", 1.0)]))
    assert {fault.key for fault in check(engine, KEYS)} == {"bans:whois", "bans:cells"}
    rebuild(engine, KEYS, T0 + 9.0)
    assert list(check(engine, KEYS)) == []
    assert dict(there.newest("networks", 0, 9)) == {"2001:db8::/32": T0, "192.0.2.0/25": T0 + 9.0}


def test_fields_from_a_newer_version_are_copied_too(source: Ledger, engine: Engine) -> None:
    (id_,) = source.ids("user", "root")
    assign(source._engine, KEYS.ban(id_), {"reverse": "a.example"})
    target = Target(engine, KEYS)
    copy(end(source), target)
    assert engine.hashes([KEYS.ban(id_)])[0]["reverse"] == "a.example"
    assert copy(end(source), target) == Copied(same=6)
    assert list(verify(end(source), target)) == []


def test_an_invalid_hash_is_left_out_and_reported(source: Ledger, engine: Engine) -> None:
    assign(source._engine, KEYS.ban("2611230f4k7q2m5x9ctz"), {"colour": "red"})
    target = Target(engine, KEYS)
    assert copy(end(source), target) == Copied(new=6, unreadable=1)
    assert any(line.startswith("2611: ") for line in verify(end(source), target))


class _Interrupted(BaseException):
    """Ctrl-C."""


@pytest.mark.parametrize("turn", range(1, 5))
def test_an_interrupted_copy_resumes(source: Ledger, engine: Engine, turn: int) -> None:
    source.record([ban(f"198.51.100.{n}", time=T0 + n * 86_400) for n in range(100)], nowhere)
    turns = iter(range(turn))

    def interrupt(*_: object) -> None:
        if next(turns, None) is None:
            raise _Interrupted

    with suppress(_Interrupted):
        copy(end(source), Target(engine, KEYS), progress=interrupt)
    copy(end(source), Target(engine, KEYS))
    assert list(verify(end(source), Target(engine, KEYS))) == []


# Rebuild


def _forget(engine: Engine, keys: Keyspace) -> None:
    """Take everything away but the hashes."""
    for key in list(engine.keys(f"{keys.prefix}:*")):
        if engine.kinds([key])[0] == "set":
            engine.mend(Repair(leaves=[(key, member) for member in engine.members(key)]))
        elif engine.kinds([key])[0] == "zset":
            gone = [Score(key, member, None) for member, _ in engine.entries(key)]
            engine.mend(Repair(tallies=gone) if ":count:" in key else Repair(scores=gone))


def _confuse(engine: Engine, keys: Keyspace, random: Random) -> None:
    """Put wrong members and scores everywhere."""
    names = ["2611230f4k7q2m5x9ctz", "CN", "x", *[key.rpartition(":")[2] for key in engine.keys("*:ban:*")]]
    for key in sorted(set(engine.keys(f"{keys.prefix}:*")) - {keys.feed}):
        if engine.kinds([key])[0] == "set" and key != keys.months:
            engine.mend(Repair([(key, random.choice(names))]))
        elif engine.kinds([key])[0] == "zset":
            wrong = [Score(key, random.choice(names), float(random.randint(1, 9)))]
            engine.mend(Repair(tallies=wrong) if ":count:" in key else Repair(scores=wrong))
    engine.mend(
        Repair(
            joins=[("bans:country:QQ", "x"), ("bans:{2612}:day:2026-12-24", "x")],
            tallies=[Score("bans:{2612}:count:2026-12-24:jail", "x", 2.0)],
            scores=[Score("bans:top:ip", "203.0.113.250", 2.0)],
        )
    )


@pytest.mark.parametrize("damage", [lambda *_: None, lambda e, k, _: _forget(e, k), _confuse])
def test_a_rebuild_restores_all_entries_from_the_hashes(
    engine: Engine, ledger: Ledger, damage: Callable[[Engine, Keyspace, Random], None]
) -> None:
    ledger.record(LINES, nowhere)
    before = derived(engine)
    damage(engine, KEYS, Random(7))
    assert rebuild(engine, KEYS, 0.0) == Rebuilt(bans=4, gaps=1, unreadable=0)
    assert derived(engine) == before
    assert list(check(engine, KEYS, 0.0)) == []


def test_a_rebuild_does_not_list_expired_bans_as_active(engine: Engine, ledger: Ledger) -> None:
    ledger.record(LINES, nowhere)
    ledger.tidy(T0 + 3600)
    _forget(engine, KEYS)
    rebuild(engine, KEYS, T0 + 3600.0)
    assert sum(engine.sizes([KEYS.active_of(tok) for tok in engine.members(KEYS.sources)])) == 2
    assert list(check(engine, KEYS, T0 + 3600.0)) == []


@pytest.mark.parametrize("turn", range(0, 12, 2))
def test_an_interrupted_rebuild_resumes(engine: Engine, ledger: Ledger, turn: int) -> None:
    ledger.record(LINES, nowhere)
    before = derived(engine)
    _forget(engine, KEYS)
    turns = iter(range(turn))

    def interrupt(*_: object) -> None:
        if next(turns, None) is None:
            raise _Interrupted

    with suppress(_Interrupted):
        rebuild(engine, KEYS, 0.0, interrupt)
    rebuild(engine, KEYS, 0.0)
    assert derived(engine) == before


def test_an_invalid_hash_goes_to_quarantine(engine: Engine, ledger: Ledger) -> None:
    ledger.record(LINES, nowhere)
    key = KEYS.ban("2611230f4k7q2m5x9ctz")
    assign(engine, key, {"colour": "red"})
    assert [fault.key for fault in check(engine, KEYS)] == [key]
    assert rebuild(engine, KEYS, 0.0).unreadable == 1
    assert engine.hashes([key, KEYS.quarantine(key)]) == [{}, {"colour": "red"}]
    assert list(check(engine, KEYS)) == []


# User names that earlier versions recorded as the text of a list

STALE = {
    "198.51.100.1": "['root', 'pi']",
    "198.51.100.2": str(["x" * 240, "y" * 99])[:256],
    "198.51.100.3": "['" + "z" * 254,
}
WHOLE = {"198.51.100.1": ("pi", "root"), "198.51.100.2": ("x" * 240,), "198.51.100.3": ()}
NAMED_SO = [ban("198.51.100.4", users=("['root', 'pi']",)), ban("198.51.100.5", users=("root",), restored=1)]


def record_stale(ledger: Ledger) -> dict[str, str]:
    """Record bans, restored ones as an earlier version did; the keys of those, by address."""
    ledger.record([*NAMED_SO, *(ban(fid, restored=1) for fid in STALE)], nowhere)
    keys = {}
    for fid, text in STALE.items():
        (id_,) = ledger.ids("ip", fid)
        (have,) = ledger.bans([id_])
        assert have is not None
        ledger._apply([KEYS.change(have, replace(have, users=(text,)))])
        keys[fid] = KEYS.ban(id_)
    return keys


def test_stale_user_names_are_found_and_mended_in_hashes_and_entries(engine: Engine, ledger: Ledger) -> None:
    stale = record_stale(ledger)
    assign(engine, stale["198.51.100.3"], {"reverse": "a.example"})
    found = {fault.key: fault.what for fault in check(engine, KEYS)}
    assert found.keys() == set(stale.values())
    assert found[stale["198.51.100.1"]] == "has a list stored as one user name: \"['root', 'pi']\""
    assert rebuild(engine, KEYS, 0.0) == Rebuilt(bans=5, gaps=0, unreadable=0, users=3)
    assert list(check(engine, KEYS, 0.0)) == []
    assert engine.hashes([stale["198.51.100.3"]])[0]["reverse"] == "a.example"
    assert rebuild(engine, KEYS, 0.0).users == 0
    mended = derived(engine)
    right = ReferenceEngine(Store(), KEYS.entries_of)
    Ledger(right, KEYS, "Europe/Berlin").record(
        [*NAMED_SO, *(ban(fid, restored=1, users=users) for fid, users in WHOLE.items())], nowhere
    )
    assign(right, stale["198.51.100.3"], {"reverse": "a.example"})
    assert plain(mended) == plain(derived(right))


@pytest.mark.parametrize("turn", range(0, 12, 2))
def test_mending_user_names_may_be_interrupted(engine: Engine, ledger: Ledger, turn: int) -> None:
    record_stale(ledger)
    turns = iter(range(turn))

    def interrupt(*_: object) -> None:
        if next(turns, None) is None:
            raise _Interrupted

    with suppress(_Interrupted):
        rebuild(engine, KEYS, 0.0, interrupt)
    rebuild(engine, KEYS, 0.0)
    assert list(check(engine, KEYS, 0.0)) == []
    assert {tok for tok, _ in engine.entries(KEYS.top("user"))} == {
        "pi",
        "root",
        token("x" * 240),
        token("['root', 'pi']"),
    }


def test_a_copy_keeps_stale_user_names_and_is_verified(source: Ledger, engine: Engine) -> None:
    record_stale(source)
    target = Target(engine, KEYS)
    copy(end(source), target)
    assert list(verify(end(source), target)) == []
    assert len(list(check(engine, KEYS))) == 3


@given(st.lists(events, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_a_rebuild_makes_any_damaged_ledger_whole(lines: list[Event], random: Random) -> None:
    engine = ReferenceEngine(Store(), KEYS.entries_of)
    ledger = Ledger(engine, KEYS, "Europe/Berlin")
    ledger.record(lines, nowhere)
    before = derived(engine)
    if random.random() < 0.5:
        _forget(engine, KEYS)
    else:
        _confuse(engine, KEYS, random)
    rebuild(engine, KEYS, 0.0)
    assert derived(engine) == before
    assert list(check(engine, KEYS, 0.0)) == []
