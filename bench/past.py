"""How fast logs of the past are read and recorded: lines a second, alone and with everything that follows from them.

    PYTHONPATH=. python bench/past.py [--lines 1000000] [--rotations 10] [--bans 20000] [--turns 9]

A log is made up: offenders fail five times, are banned and unbanned, and fail again. It is written in fail2ban's own
form, in syslog's and in a custom one, and cut into rotations. `parsed` is text to events; `sorted and paired` is the
whole survey: reading the files, parsing, sorting, and which bans follow. Then as many bans are recorded in an embedded
ledger, as live ones and as a log tells them, of new offenders and of some that come again. CPU time: a busy machine
disturbs it less.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo

from tests.support.lines import T0, ban, nowhere, told

from banledger.cli.record import collect_rarely
from banledger.importer.content import Blocks
from banledger.importer.log_text import LogText
from banledger.importer.stamps import Stamps
from banledger.importer.survey import survey
from banledger.ledger.progress import silent
from banledger.ledger.writer import open_to_write
from banledger.spool.events import BanLine

START = 1_700_000_000
FORMS = {
    "own": "{0:%Y-%m-%d %H:%M:%S},{1:03d} fail2ban.{2:<15} [504]: {3:<7} {4}\n",
    "syslog": "{0:%Y-%m-%dT%H:%M:%S}.{1:03d}000+00:00 web1 fail2ban.{2}[504]: {3} {4}\n",
    "custom": "{3} <{0:%Y-%m-%d %H:%M:%S},{1:03d}> {2} - {4}\n",
}


def messages(offender: int, second: int) -> Iterator[tuple[int, str, str, str]]:
    """Seconds, logger, level and message of one offender's lines."""
    address = f"198.{offender >> 16 & 255}.{offender >> 8 & 255}.{offender & 255}"
    for n in range(5):
        moment = datetime.fromtimestamp(second + n, UTC)
        yield second + n, "filter", "INFO", f"[sshd] Found {address} - {moment:%Y-%m-%d %H:%M:%S}"
    yield second + 4, "actions", "NOTICE", f"[sshd] Ban {address}"
    yield second + 604, "actions", "NOTICE", f"[sshd] Unban {address}"


def log(form: str, lines: int) -> list[str]:
    """The lines of a log in order."""
    made = [message for n in range(lines // 7) for message in messages(n % 50_000, START + 3 * n)]
    made.sort(key=lambda message: message[0])
    template = FORMS[form]
    return [
        template.format(datetime.fromtimestamp(second, UTC), n % 1000, *rest) for n, (second, *rest) in enumerate(made)
    ]


def chunks(text: bytes) -> Iterator[bytes]:
    return (text[at : at + (1 << 18)] for at in range(0, len(text), 1 << 18))


def parsed(text: bytes) -> float:
    """Seconds to make events of a text."""
    parser = LogText(Stamps(ZoneInfo("Europe/Berlin"), time.time()), time.time())
    begun = time.process_time()
    for _ in parser.events(Blocks(chunks(text))):
        pass
    return time.process_time() - begun


def surveyed(directory: Path) -> tuple[float, int]:
    """Seconds to read all files, and the number of bans."""
    begun = time.process_time()
    found = survey([str(directory)], ZoneInfo("Europe/Berlin"), time.time(), lambda _: None, silent)
    return time.process_time() - begun, found.bans


def recorded(lines: Sequence[BanLine]) -> float:
    """Lines a second into a new embedded ledger, in batches as the recorder makes them."""
    with tempfile.TemporaryDirectory() as name, closing(open_to_write(f"{name}/ledger.db", "bans", "UTC")) as ledger:
        begun = time.process_time()
        for start in range(0, len(lines), 2000):
            ledger.record(lines[start : start + 2000], nowhere, now=T0 + 1e7)
        return len(lines) / (time.process_time() - begun)


def compare(bans: int, offenders: int, turns: int) -> str:
    """Live bans beside the same bans from a log, in turns: medians, and of the ratios of the turns."""
    names = [f"10.{n % offenders >> 16 & 255}.{n % offenders >> 8 & 255}.{n % offenders & 255}" for n in range(bans)]
    live = [ban(name, T0 + n) for n, name in enumerate(names)]
    log = [told(name, T0 + n + 0.5, T0 + n, writer="0123abcd", seq=n + 1) for n, name in enumerate(names)]
    rates = [(recorded(live), recorded(log)) for _ in range(turns)]
    of_live, of_log = (median(each) for each in zip(*rates, strict=True))
    ratio = median(log / live for live, log in rates)
    return f"{of_live:,.0f} live bans/s, {of_log:,.0f} from a log ({ratio:.0%})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rotations", type=int, default=10)
    parser.add_argument("--bans", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    collect_rarely()
    print(f"recorded, each of another offender: {compare(options.bans, options.bans, options.turns)}")
    print(f"recorded, ten of each offender: {compare(options.bans, options.bans // 10, options.turns)}")
    for form in FORMS:
        lines = log(form, options.lines)
        alone = parsed("".join(lines).encode())
        with tempfile.TemporaryDirectory() as name:
            size = -(-len(lines) // options.rotations)
            for n in range(options.rotations):
                (Path(name) / f"log.{(n * 7) % options.rotations}").write_text(
                    "".join(lines[n * size : (n + 1) * size])
                )
            whole, bans = surveyed(Path(name))
        count = len(lines)
        print(
            f"{form:8} {count:,} lines, {bans:,} bans: {count / alone:,.0f} lines/s parsed, "
            f"{count / whole:,.0f} sorted and paired"
        )


if __name__ == "__main__":
    main()
