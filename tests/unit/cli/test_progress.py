"""Progress on a real terminal."""

import os
import pty
import re
import subprocess
import sys

_WORK = """
import time
from banledger.cli.progress import ProgressBars
with ProgressBars() as progress:
    for done in range(15):
        progress("KiB read", 1000 * done, 14_000)
        time.sleep(0.1)
"""

_PRINTS = (
    _WORK
    + """
    progress.clear()
    print("the summary", flush=True)
    time.sleep(0.3)
"""
)


def shown_on_a_terminal(code: str) -> str:
    """What Python code writes to a terminal of 80 columns, without its control sequences."""
    ours, theirs = pty.openpty()
    env = os.environ | {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", code], stderr=theirs, stdout=theirs, env=env):
        os.close(theirs)
        shown = b""
        while piece := _piece(ours):
            shown += piece
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


def _piece(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other side is closed
        return b""


def test_a_bar_shows_how_much_is_done_and_how_fast() -> None:
    frames = [line for line in re.split(r"[\r\n]+", shown_on_a_terminal(_WORK)) if "KiB read" in line]
    assert max(map(len, frames)) <= 80
    assert any(re.search(r" \d+/14000 +[\d,]+/s +0:00:0\d", frame) for frame in frames)


def test_nothing_overwrites_what_is_printed_after_the_bars() -> None:
    _, _, after = shown_on_a_terminal(_PRINTS).partition("the summary")
    assert after.strip() == ""
