"""Look-ups in the background: threads with one look-up each at a time."""

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Protocol

from banledger.ledger.network import Answer, Outcome
from banledger.whois.queue import Question


class Pool(Protocol):
    """Accept questions, return answers later. No method waits."""

    def submit(self, question: Question) -> None:
        """Ask it."""
        ...

    def take(self) -> list[tuple[Question, Answer]]:
        """Return the questions answered since the last call, with their answers."""
        ...

    def close(self) -> None:
        """Stop."""
        ...


class EmptyPool:
    """A Pool without look-ups. See `Pool`."""

    def submit(self, question: Question) -> None:
        """See Pool.submit."""
        raise AssertionError(f"look-ups are disabled: {question.address}")

    def take(self) -> list[tuple[Question, Answer]]:
        """See Pool.take."""
        return []

    def close(self) -> None:
        """See Pool.close."""


class ThreadPool:
    """A Pool of daemon threads: a look-up that hangs never delays the end of the process. See `Pool`."""

    def __init__(self, ask: Callable[[str], Answer], size: int) -> None:
        self._ask = ask
        self._size = size
        self._questions: SimpleQueue[Question | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[Question, Answer]] = SimpleQueue()
        for number in range(size):
            Thread(target=self._work, name=f"look-up {number}", daemon=True).start()

    def submit(self, question: Question) -> None:
        """See Pool.submit."""
        self._questions.put(question)

    def take(self) -> list[tuple[Question, Answer]]:
        """See Pool.take."""
        answers = []
        while True:
            try:
                answers.append(self._answers.get_nowait())
            except Empty:
                return answers

    def close(self) -> None:
        """See Pool.close. The answer of a running look-up is dropped."""
        for _ in range(self._size):
            self._questions.put(None)

    def _work(self) -> None:
        while (question := self._questions.get()) is not None:
            try:
                answer = self._ask(question.address)
            except Exception as error:  # noqa: BLE001  # a bug must not end the thread, and is reported
                problem = f"bug: {error!r}"
                answer = Answer(address=question.address, registry="", outcome=Outcome.FAILED, problem=problem)
            self._answers.put((question, answer))
