"""Which of several recorders that look alike records a server label."""

import shutil
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banledger.errors import StoreUnavailable
from banledger.ledger.keys import Keyspace
from banledger.ledger.labels import IDLE_S, LEASE_S, RENEW_S, RETRY_S, Labels, LabelTable
from banledger.ledger.nonces import KEPT, Nonces
from banledger.ledger.swap import assign
from banledger.stores.api import Hash, Result
from tests.support.reference import ReferenceEngine, Store

KEYS = Keyspace("bans")
LABEL = "web1"


class Cluster:
    """A store, and recorders that move by steps. All machines have the same name."""

    def __init__(self, folder: Path, machine: str = "same") -> None:
        self.folder = folder
        self.engine = ReferenceEngine(Store(), KEYS.entries_of)
        self.table = LabelTable(self.engine, KEYS, "ledger", machine)
        self.now = 1000.0
        self.labels: dict[str, Labels] = {}
        self.said: dict[str, list[str]] = {}

    def start(self, name: str, state: bool = True) -> None:
        """A new process of that recorder."""
        nonces = Nonces(self.state(name) / "labels" if state else None)
        self.labels[name] = Labels(name, f"place of {name}", "spool", nonces, lambda: self.now)

    def state(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def clone(self, old: str, new: str) -> None:
        """Another machine with a byte-identical disk."""
        shutil.copytree(self.state(old), self.folder / new, dirs_exist_ok=True)

    def step(self, name: str) -> bool:
        """What the recorder does before it records a batch; whether it may record the label."""
        labels = self.labels[name]
        if labels.due:
            labels.take(self.table)
        if new := labels.new(self.table, {LABEL}):
            labels.take(self.table, new)
        self.said.setdefault(name, []).extend(text for _, text in labels.notices())
        return LABEL not in labels.refused

    def adopt(self, name: str) -> None:
        self.table.adopt(LABEL, f"place of {name}", name)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_one_of_two_clones_continues_and_both_journals_name_both(cluster: Cluster) -> None:
    cluster.start("one")
    assert cluster.step("one")
    cluster.clone("one", "two")
    cluster.start("two")
    assert cluster.step("two")  # it renews first
    cluster.now += RENEW_S
    assert not cluster.step("one")
    cluster.now += RENEW_S
    assert cluster.step("two")
    (refused,), (rival,) = cluster.said["one"], cluster.said["two"]
    assert "'two', not by 'one'" in refused and "may be merged" in refused and "--adopt web1" in refused
    assert "another recorder, 'one'" in rival and "'two' continues" in rival and "may be merged" in rival
    for _ in range(20):
        cluster.now += RETRY_S
        assert (cluster.step("one"), cluster.step("two")) == (False, True)
    assert cluster.said == {"one": [refused], "two": [rival]}


def test_recorders_without_a_machine_id_are_distinguished(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, machine="nameless")
    for name in ("one", "two"):
        cluster.start(name, state=False)
    assert (cluster.step("one"), cluster.step("two")) == (True, False)


def test_a_killed_recorder_continues_at_once(cluster: Cluster) -> None:
    for _ in range(3 * KEPT):
        cluster.start("one")
        assert cluster.step("one")
        cluster.now += 1
    assert cluster.said == {"one": []}


def test_a_killed_recorder_without_a_state_directory_waits_for_its_own_lease(cluster: Cluster) -> None:
    cluster.start("one", state=False)
    assert cluster.step("one")
    cluster.start("one", state=False)
    waited = 0.0
    while not cluster.step("one"):
        cluster.now += RETRY_S
        waited += RETRY_S
    assert waited == LEASE_S
    assert "recording again" in cluster.said["one"][-1]


def test_a_stopping_recorder_releases_its_labels(cluster: Cluster) -> None:
    for name in ("one", "two", "one"):
        cluster.start(name, state=False)
        assert cluster.step(name)
        cluster.labels[name].give_back(cluster.table)


def test_clones_that_take_turns_log_each_other(cluster: Cluster) -> None:
    cluster.start("one")
    cluster.step("one")
    cluster.clone("one", "two")
    for name in ("one", "two", "one"):
        cluster.start(name)
        assert cluster.step(name)
        cluster.labels[name].give_back(cluster.table)
    assert "was recorded by 'one' since 'two' last recorded it" in cluster.said["two"][0]
    assert "was recorded by 'two' since 'one' last recorded it" in cluster.said["one"][0]


def test_a_recorder_checks_its_lease_after_a_long_absence(cluster: Cluster) -> None:
    for name in ("one", "two"):
        cluster.start(name)
    assert (cluster.step("one"), cluster.step("two")) == (True, False)
    cluster.now += LEASE_S
    assert cluster.step("two")  # the first one slept
    assert not cluster.step("one")
    assert "'one' did not renew its lease for a minute: 'two' takes over" in cluster.said["two"][1]


def test_adopting_moves_the_label_to_the_recorder_of_that_place(cluster: Cluster) -> None:
    for name in ("one", "two", "three"):
        cluster.start(name)
        cluster.step(name)
    cluster.adopt("two")
    cluster.now += RENEW_S
    assert [cluster.step(name) for name in ("one", "three", "two", "one")] == [False, False, True, False]


@pytest.mark.parametrize("back", [1, KEPT - 2])
def test_a_store_that_went_back_is_not_another_recorder(cluster: Cluster, back: int) -> None:
    cluster.start("one")
    cluster.step("one")
    old: Hash = cluster.engine.hashes([KEYS.label(LABEL)])[0]
    for _ in range(back):
        cluster.now += RENEW_S
        assert cluster.step("one")
    for there in (old, {}):
        cluster.engine.put({KEYS.label(LABEL): there})
        cluster.now += RENEW_S
        assert cluster.step("one")
    assert cluster.said["one"] == []


def test_a_renewal_with_a_lost_reply_is_not_another_recorder(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.start("one")
    cluster.step("one")
    apply = ReferenceEngine.apply

    def lose(*words: object) -> list[Result]:
        apply(*words)  # type: ignore[arg-type]
        raise StoreUnavailable("the connection was lost")

    for _ in range(2 * KEPT):
        cluster.now += RENEW_S
        with monkeypatch.context() as patched, pytest.raises(StoreUnavailable):
            patched.setattr(ReferenceEngine, "apply", lose)
            cluster.step("one")
    nonce = cluster.engine.hashes([KEYS.label(LABEL)])[0]["nonce"]
    assert cluster.step("one")
    assert cluster.engine.hashes([KEYS.label(LABEL)])[0]["nonce"] != nonce
    assert cluster.said["one"] == []


def test_an_unused_label_is_released(cluster: Cluster) -> None:
    cluster.start("one")
    cluster.step("one")
    cluster.now += IDLE_S
    cluster.labels["one"].take(cluster.table)
    assert not cluster.labels["one"].due
    cluster.start("two", state=False)
    assert cluster.step("two")


def test_foreign_text_in_a_lease_is_shown_escaped(cluster: Cluster) -> None:
    evil = {"nonce": "x", "recorder": "\x1b[2J" + "a" * 10_000_000, "rival": "\x1b[2J", "last": "y"}
    assign(cluster.engine, KEYS.label(LABEL), evil)
    cluster.start("one")
    assert not cluster.step("one")
    assert cluster.said["one"][0].isprintable() and len(cluster.said["one"][0]) < 1000


class Twins(Cluster):
    """Two clones, the second one of the whole running machine, and when each of them renewed the lease."""

    def __init__(self, folder: Path, before: int) -> None:
        super().__init__(folder)
        self.disks = {"one": Nonces()}  # in memory: a sync of a real disk takes too long here
        self.renewed: list[tuple[str, float]] = []
        self.history: list[Hash] = [{}]
        self.start("one")
        for _ in range(before):
            self.step("one")
            self.now += RENEW_S - 1
        self.renewed = [("both", moment) for _, moment in self.renewed]
        self.disks["two"] = deepcopy(self.disks["one"])
        self.start("two")
        old, new = self.labels["one"], self.labels["two"]
        new._ledger, new._leases = old._ledger, deepcopy(old._leases)

    def start(self, name: str, state: bool = True) -> None:
        self.labels[name] = Labels(name, f"place of {name}", "spool", self.disks[name], lambda: self.now)

    def step(self, name: str) -> bool:
        may = super().step(name)
        (there,) = self.engine.hashes([KEYS.label(LABEL)])
        if there.get("nonce") != self.history[-1].get("nonce"):
            self.renewed.append((name, self.now))
        self.history.append(there)
        if may:
            self.assert_alone(name)
        return may

    def go_back(self, steps: float) -> None:
        """The store is what it was some steps ago."""
        there = self.history[-1 - int(steps) % len(self.history)]
        self.engine.put({KEYS.label(LABEL): there})
        self.history.append(there)

    def assert_alone(self, name: str) -> None:
        """What this one records now is not recorded long after the other one renewed the lease."""
        mine = [at for at, (who, _) in enumerate(self.renewed) if who in (name, "both")]
        since = self.renewed[mine[-1] + 1 if mine else 0 :]
        assert not since or self.now - since[0][1] < RENEW_S, (name, self.renewed)


@settings(deadline=None, max_examples=300)
@given(
    before=st.integers(0, 2),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["one", "two"]),
            st.sampled_from(["step", "step", "step", "step", "restart", "stop", "go back"]),
            st.floats(0, 30),
        ),
        max_size=60,
    ),
)
def test_two_clones_both_record_for_at_most_one_renewal(
    tmp_path_factory: pytest.TempPathFactory, before: int, steps: list[tuple[str, str, float]]
) -> None:
    """Any order of steps, kills, stops and losses of the store, with any pauses."""
    twins = Twins(tmp_path_factory.mktemp("clones"), before)
    for name, what, pause in steps:
        twins.now += pause
        if what == "go back":
            twins.go_back(pause)
        elif what == "stop":
            twins.labels[name].give_back(twins.table)
        if what in ("restart", "stop"):
            twins.start(name)
        else:
            twins.step(name)
    for _ in range(20):
        twins.now += RETRY_S
        recording = [twins.step(name) for name in ("one", "two")]
    assert sorted(recording) == [False, True]
