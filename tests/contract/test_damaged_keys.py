"""Damage at any key of a ledger is named by the check, and stops no command nor reaches its output. On all engines.

The kinds of keys come from the table of `docs/keyspace.md`, the fields from the hashes: a new kind is covered by
itself, or the first test here asks for an example of it.
"""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from math import inf

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banledger.errors import BanledgerError
from banledger.geo.place import Place
from banledger.ledger.aside import text_of
from banledger.ledger.check import check
from banledger.ledger.copy import CopyEnd, Target, copy, verify
from banledger.ledger.forget_change import forgetting
from banledger.ledger.heartbeat import Heartbeat, HeldLabel, RegistryTrouble
from banledger.ledger.key_table import describe, kinds_of_keys
from banledger.ledger.labels import LabelTable
from banledger.ledger.lease import Held
from banledger.ledger.network import Cell, Network, Outcome, Pause
from banledger.ledger.reader import LedgerReader
from banledger.ledger.rebuild import rebuild
from banledger.ledger.rebuild_lease import Signs
from banledger.ledger.writer import Ledger
from banledger.net.address import canonical_address
from banledger.report import show, status, summary, walk
from banledger.report.answers import Listed
from banledger.report.columns import dimensions
from banledger.report.formats import redis_cli
from banledger.report.formats import status as status_format
from banledger.report.formats.base import AnyAnswer, Presentation
from banledger.report.formats.csv import CsvFormat
from banledger.report.formats.escape import visible
from banledger.report.formats.json import JsonFormat, RawFormat
from banledger.report.formats.screen import Screen
from banledger.report.formats.text import TextFormat
from banledger.report.query import Query, Span, question
from banledger.spool.events import Event, ForgetLine
from banledger.spool.position import Position
from banledger.stores.api import Engine, Hash, Reader, Repair
from banledger.stores.change import Score
from banledger.stores.commands import execute
from banledger.stores.fields import MOST_TEXT
from banledger.whois.stored import known
from tests.contract.conftest import KEYS, entries_of
from tests.support.lines import T0, ban, gap, held, prolong, start, told, unban
from tests.support.reference import ReferenceEngine, Store
from tests.support.world import NETWORKS, Clock, World, desk

NOW = T0 + 3600.0
ROWS = describe()
KIND_OF = kinds_of_keys()

INVALID = ("\x1b[31m\x07\x9b2J", "é\u202e\x00", "9" * 400, "x" * (MOST_TEXT + 1))
"""What only a field of free text may hold, and the last not even that."""
ODD = (
    "",
    "x",
    "-1",
    "inf",
    "nan",
    "1e999",
    "[",
    "null",
    '["\\u001b[31m"]',
    "{}",
    "2026-02-30",
    "9999-12-31",
    "1 2",
    " 5",
)
FREE = {
    "ban": {"org", "located_from", "ended_because"},
    "gap": {"server", "jail", "reason"},
    "whois": {"handle", "name", "country", "org", "abuse", "registered", "changed"},
    "cell": {"problem"},
    "source": {"version"},
    "lookups": {"holder"},
    "rebuild": {"holder"},
    "forgetter": {"holder"},
    "label": {"recorder", "rival"},
}
SCORES = (inf, -inf, -1.0, 2.0**60, 1e300)


Contents = dict[str, Hash | frozenset[str] | tuple[tuple[str, float], ...]]


def place(address: str | None, _time: float) -> Place:
    """Everything that can be known of an address; 3.* waits for whois."""
    if address is None:
        return Place("none")
    if address.startswith("3."):
        return Place("public", "US", "test", whois="waiting")
    return Place("public", "DE", "test", f"{address}/32", 64500, "Org", "proven", "FR", "mine")


def sample(engine: Engine) -> None:
    """A ledger with every kind of key."""
    ledger = Ledger(engine, KEYS, "Europe/Berlin", "a-machine")
    lines: list[Event] = [
        start(T0 - 9, writer="0a"),
        ban("5.5.5.5", users=("root",), matches=("Failed password",), writer="0a", bantime=-1),
        prolong("5.5.5.5", seen=T0 + 9.0, bantime=7200, writer="0a", at=T0 + 10.0),
        ban("3.3.3.3", writer="0a"),
        unban("3.3.3.3", seen=T0 + 70.0, writer="0a"),
        ban("alice", writer="0a"),
        ban("7.7.7.7", writer="0a"),
        unban("203.0.113.9", seen=T0 + 60.0, writer="0a"),
        told("6.6.6.6", logged=T0 + 5.25, found=T0 + 4, writer="0c"),
        gap(),
        start(T0 + 100.0, writer="0b"),
        held(("5.5.5.5", T0, 7200, 2), as_of=T0 + 101.0, writer="0b"),
    ]
    ledger.record(
        lines, place, NOW, [Position("web1", "0a", "sshd", 1, 9, T0), Position("web1", "0b", "sshd", 1, 2, T0)]
    )
    (forgotten,) = ledger.bans(list(ledger.ids("ip", "7.7.7.7")))
    assert forgotten is not None
    engine.apply([forgetting(KEYS, forgotten, NOW)])
    asked = {"what": "ip", "value": "9.9.9.9", "before": NOW, "server": "-", "jail": "-"}
    ledger.forgetter.record([ForgetLine(v=1, seen=NOW, seq=1, writer="0badcafe", **asked)], NOW)  # type: ignore[arg-type]
    ledger.forgetter.lease(Held("one", repr(T0 + 60.0)), Held())
    LabelTable(engine, KEYS, ledger.identity, "a-machine").adopt("web1", "here", "a recorder")
    signs = Signs(engine, KEYS)
    signs.lease(Held("one", "0"), Held())
    signs.beat("0123456789ab", "7 one")
    trouble = RegistryTrouble("ripe", "\x1b[2J", T0)
    ledger.beat(
        Heartbeat(
            NOW, T0, "web\x1b1", 7, "1", id="0123456789ab", waits="\x9b1m", labels=("web1",), oldest_s=9e3,
            held=(HeldLabel("web1", "\u202e"),), registries=(trouble,), whois_trouble="\x07",
        )
    )  # fmt: skip
    network = Network(
        cidrs=("5.5.5.0/24",), source="rdap", registry="ripe", fetched=T0, handle="H", name="N", country="DE", org="O",
        abuse="a@b.example", asn=64500, registered="2020-01-01", changed="2021-01-01", remarks=("r",), raw=b"{}",
    )  # fmt: skip
    found = Cell(cidr="5.5.5.0/24", asked=T0, result=Outcome.FOUND, network="5.5.5.0/24", asn=64500)
    failed = Cell(cidr="6.6.6.0/24", asked=T0, result=Outcome.FAILED, until=T0 + 60.0, tries=2, problem="down")
    ledger.networks.put([network], [found, failed], T0)
    ledger.networks.lease(Held("one", repr(T0 + 60.0)), Held())
    ledger.networks.pause("ripe", Pause(T0 + 600.0, 600.0))
    engine.mend(Repair(joins=[(KEYS.aside, text_of(unban("5.5.5.5", time=T0 + 40, seen=T0 + 50.0)))]))
    engine.put({KEYS.quarantine("bans:{2611}:ban:x"): {"failures": "x"}, KEYS.outbox("2611"): {"a:1": "[]"}})


def contents_of(reader: Reader) -> Contents:
    found: Contents = {}
    for key in reader.keys("*"):
        kind = reader.kinds([key])[0]
        if kind == "hash":
            found[key] = reader.hashes([key])[0]
        elif kind == "set":
            found[key] = frozenset(reader.members(key))
        else:
            found[key] = tuple(reader.ranking(key, 0, 10_000))
    return found


def fill(engine: Engine, contents: Contents) -> None:
    """The engine holds exactly that."""
    engine.put({key: {} for key in list(engine.keys("*"))})
    engine.put({key: held for key, held in contents.items() if isinstance(held, dict)})
    for key, there in contents.items():
        put(engine, key, there)


def put(engine: Engine, key: str, there: object) -> None:
    if isinstance(there, dict):
        engine.put({key: there})
    elif isinstance(there, frozenset):
        engine.mend(Repair(joins=[(key, member) for member in there]))
    elif isinstance(there, tuple):
        marks = [Score(key, member, score) for member, score in there]
        counted = ":count:" in key or key.endswith(":base")
        engine.mend(Repair(tallies=marks) if counted else Repair(scores=marks))


@st.composite
def damages(draw: st.DrawFn, key: str, there: object) -> tuple[object, bool]:
    """What the key holds then, and whether the check must name it."""
    kind = KIND_OF(key)
    assert kind is not None
    if draw(st.integers(0, 5)) == 0:
        others = [{"x": "1"}, frozenset({"x"}), (("x", 1.0),)]
        return draw(st.sampled_from([other for other in others if type(other) is not type(there)])), True
    if isinstance(there, dict):
        field = draw(st.sampled_from([*there, *({"a:1": "", "b:2": ""} if kind.word == "outbox" else ())]))
        value = draw(st.sampled_from([*INVALID, *ODD, None]))
        free = field in FREE.get(kind.word, ()) or kind.word == "quarantine"
        named = value in INVALID and (not free or (value == INVALID[-1] and kind.word != "quarantine"))
        return {name: text for name, text in (there | {field: value}).items() if text is not None}, named
    if isinstance(there, frozenset):
        new = draw(st.sampled_from([*INVALID[:3], "x", "*", "x" * 5000]))
        return frozenset({*list(there)[1:], new}), True
    assert isinstance(there, tuple)
    (member, score), *rest = there
    if draw(st.booleans()):
        return ((draw(st.sampled_from([*INVALID[:3], "x", "*"])), score), *rest), True
    return ((member, draw(st.sampled_from(SCORES))), *rest), True


def commands(reader: LedgerReader, key: str) -> Iterator[Callable[[], Sequence[str]]]:
    """What every reading command does, each with the text that it prints."""
    november = Query(span=Span("2026-11-01", "2026-11-30"))
    for query in (Query(), november, question(jail=("sshd",)), question(ip=("5.0.0.0/8",))):
        yield partial(report_of, reader, query)
        yield partial(bans_of, reader, query)
    for dimension in dimensions():
        yield partial(top_of, reader, dimension)
    for asked in ("5.5.5.5", "5.0.0.0/8", "alice", *list(reader.ids("jail", "sshd"))[:3]):
        yield partial(show_of, reader, asked)
        if canonical_address(asked):
            yield partial(whois_of, reader, asked)
    yield partial(status_of, reader)
    for words in (["KEYS", "*"], ["HGETALL", key], ["SMEMBERS", key], ["ZRANGE", key, "0", "-1", "WITHSCORES"]):
        yield partial(kv_of, reader, words)
    yield lambda: [visible(f"{fault.key} {fault.what}") for fault in check(reader.store(), KEYS, NOW)]


def report_of(reader: LedgerReader, query: Query) -> list[str]:
    return written(summary.report(reader, query, NOW), Presentation(reader.zone, NOW))


def bans_of(reader: LedgerReader, query: Query) -> list[str]:
    return written(Listed(list(walk.walk(reader, query))), Presentation(reader.zone, NOW, reader.stopped))


def top_of(reader: LedgerReader, dimension: str) -> list[str]:
    return written(summary.top(reader, dimension, Query()), Presentation(reader.zone, NOW))


def show_of(reader: LedgerReader, asked: str) -> list[str]:
    return written(show.show(reader, asked, NOW), Presentation(reader.zone, NOW, reader.stopped))


def whois_of(reader: LedgerReader, asked: str) -> list[str]:
    answer = known(reader.networks, asked, NOW, 1e6)
    return [*written(answer, Presentation(reader.zone, NOW)), repr(reader.networks.pauses())]


def status_of(reader: LedgerReader) -> list[str]:
    found = status.judged(status.status(reader, NOW))
    view = Presentation(reader.zone, NOW)
    lines = [status_format.check_line(found), json.dumps(status_format.status_object(found)), status.alarm(reader, NOW)]
    return [*printed_by(lambda screen: status_format.status(found, view, screen)), *lines]


def written(answer: AnyAnswer, view: Presentation) -> list[str]:
    """An answer in every format."""
    lines = [*JsonFormat().lines(answer, view), *RawFormat().lines(answer, view), *CsvFormat().lines(answer, view)]
    return [*printed_by(lambda screen: TextFormat(screen).write(answer, view)), *lines]


def kv_of(reader: LedgerReader, words: list[str]) -> list[str]:
    return [redis_cli.for_terminal(execute(reader.store(), words))]


def printed_by(show: Callable[[Screen], None]) -> list[str]:
    stream = io.StringIO()
    show(Screen(stream, 80))
    return [stream.getvalue()]


def run_all(engine: Engine, key: str) -> None:
    """Every command; what it prints is clean, what it raises is ours."""
    with suppress(BanledgerError):
        for command in commands(LedgerReader(engine, KEYS), key):
            with suppress(BanledgerError):
                for text in command():
                    assert text.replace("\n", "").isprintable(), text[:200]
    with suppress(BanledgerError):
        ledger = Ledger(engine, KEYS, "", "a-machine")
        one_whois = desk(World(NETWORKS, Clock(NOW))).whois
        for _ in range(5):
            with suppress(BanledgerError):
                one_whois.step(ledger, NOW)
    with suppress(BanledgerError):
        one = CopyEnd(engine, KEYS)
        other = Target(ReferenceEngine(Store(), entries_of), KEYS)
        copy(one, other)
        assert all(visible(line).isprintable() for line in verify(one, other))
    with suppress(BanledgerError):
        ledger = Ledger(engine, KEYS, "", "a-machine")
        ledger.record([ban("5.5.5.5"), ban("4.4.4.4"), start(T0 + 200.0, writer="0c"), gap(T0 + 9.0)], place, NOW)
        ledger.record([held(as_of=T0 + 300.0, writer="0c")], place, NOW)
        ledger.record_aside(place)
        ledger.tidy(NOW)
        ledger.dismiss(NOW, 0, place)
        ledger.networks.lease(Held("two", "1"), Held("one", "x"))


def test_the_sample_has_every_kind_of_key(engine: Engine) -> None:
    sample(engine)
    there = {KIND_OF(key) for key in engine.keys("*")}
    assert None not in there
    assert {kind.word for kind in there if kind} == {kind.word for row in ROWS if (kind := KIND_OF(example(row[0])))}


def follows_from_rows(engine: Engine, key: str) -> bool:
    """Whether it is a set that nobody can damage, because it is not stored."""
    return engine.rows() is not None and KEYS.projection.set_of(key) is not None


def example(pattern: str) -> str:
    return pattern.replace("YYMM", "2611")


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_invalid_data_at_any_key_is_reported_and_breaks_no_command(row: tuple[str, str, str], engine: Engine) -> None:
    sample(engine)
    clean = contents_of(engine)
    word = KIND_OF(example(row[0]))
    listed = sorted(key for key in clean if KIND_OF(key) == word)
    assert listed

    @settings(max_examples=EXAMPLES[type(engine).__name__], deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(listed))
        there, named = data.draw(damages(key, clean[key]))
        named = named and not (isinstance(there, frozenset) and follows_from_rows(engine, key))
        fill(engine, clean)
        engine.put({key: {}})
        put(engine, key, there)
        found = faults(engine)
        assert key in found or not named, found
        run_all(engine, key)
        fill(engine, clean)
        engine.put({key: {}})
        put(engine, key, there)
        rebuild(engine, KEYS, NOW)
        assert key == KEYS.meta or faults(engine) == {}

    holds()


def faults(engine: Engine) -> dict[str, str]:
    return {fault.key: fault.what for fault in check(engine, KEYS, NOW)}


EXAMPLES = {"ReferenceEngine": 8, "SqliteEngine": 2, "RedisEngine": 2}
