"""Look-ups in the background: threads that ask, one question at a time each."""

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Protocol

from banledger.ledger.network import Answer, Outcome


class Asker(Protocol):
    """Takes addresses, gives answers later. No method waits."""

    def submit(self, address: str) -> None:
        """Ask about a canonical address or network."""
        ...

    def take(self) -> list[Answer]:
        """The answers that have come since."""
        ...

    def close(self) -> None:
        """Ask no more."""
        ...


class Nobody:
    """An Asker that has nobody to ask. See `Asker`."""

    def submit(self, address: str) -> None:
        """See Asker.submit."""
        raise AssertionError(f"nobody is to be asked about {address}")

    def take(self) -> list[Answer]:
        """See Asker.take."""
        return []

    def close(self) -> None:
        """See Asker.close."""


class Threads:
    """An Asker with daemon threads: a look-up that hangs keeps nobody from ending. See `Asker`."""

    def __init__(self, ask: Callable[[str], Answer], size: int) -> None:
        self._ask = ask
        self._size = size
        self._questions: SimpleQueue[str | None] = SimpleQueue()
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        for number in range(size):
            Thread(target=self._work, name=f"look-up {number}", daemon=True).start()

    def submit(self, address: str) -> None:
        """See Asker.submit."""
        self._questions.put(address)

    def take(self) -> list[Answer]:
        """See Asker.take."""
        answers = []
        while True:
            try:
                answers.append(self._answers.get_nowait())
            except Empty:
                return answers

    def close(self) -> None:
        """See Asker.close. A question that is being asked is forgotten when it is answered."""
        for _ in range(self._size):
            self._questions.put(None)

    def _work(self) -> None:
        while (address := self._questions.get()) is not None:
            try:
                answer = self._ask(address)
            except Exception as error:  # noqa: BLE001  # a bug must not end the thread, and is said
                answer = Answer(address=address, registry="", outcome=Outcome.FAILED, problem=f"bug: {error!r}")
            self._answers.put(answer)
