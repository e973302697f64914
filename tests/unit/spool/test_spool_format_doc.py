"""docs/spool-format.md says what the action really writes."""

import json
from pathlib import Path

from tests.unit.action.test_action import Jail, module, read, spool, ticket

__all__ = ["spool"]  # the fixture

DOC = Path(__file__).parents[3] / "docs" / "spool-format.md"


def test_every_field_that_the_action_writes_is_in_the_document(spool: Path) -> None:
    action = module.Action(Jail(), "banledger", spool=str(spool), server="web1")
    action.ban(ticket("session-7", ip="192.0.2.1"))
    action.ban(ticket(restored=1))
    spool.chmod(0o777)
    action._spool._look_due = 0.0
    for _ in range(1001):
        action.unban(ticket())
    spool.chmod(0o770)
    action.stop()
    lines = read(spool)
    assert {line["kind"] for line in lines} == {"ban", "unban", "gap"}
    text = DOC.read_text()
    for name in {name for line in lines for name in line} | {"prolong", *(line["kind"] for line in lines)}:
        assert f"`{name}`" in text, name


def test_the_example_in_the_document_is_a_line_as_the_action_writes_it(spool: Path) -> None:
    text = DOC.read_text()
    start = text.index('    {"v":1')
    example = json.loads(text[start : text.index("\n\n", start)])
    action = module.Action(Jail(), "banledger", spool=str(spool), server="web1")
    action.ban(ticket())
    action.stop()
    assert list(read(spool)[0]) == list(example)


def test_the_limits_in_the_document_are_those_of_the_action() -> None:
    text = DOC.read_text()
    assert module.Spool.HELD_EVENTS == 1000
    assert "1,000 events and 1 MiB" in text
    assert module.Segment.ROTATE_BYTES == 1 << 20
    assert "Every 5 seconds" in text
    assert module.Spool.RETRY_S == 5
    assert f"version of the line, now {module.VERSION} " in text
