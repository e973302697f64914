"""Look-ups in the background: threads with one look-up each at a time."""

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread

from banledger.ledger.network import Answer, Outcome
from banledger.whois.queue import Question


class ThreadPool:
    """`size` daemon threads: a look-up that hangs never delays the end of the process. No method waits."""

    def __init__(self, ask: Callable[[str], Answer], size: int) -> None:
        self._ask = ask
        self._size = size
        self._questions: SimpleQueue[Question | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[Question, Answer]] = SimpleQueue()
        for number in range(size):
            Thread(target=self._work, name=f"look-up {number}", daemon=True).start()

    def submit(self, question: Question) -> None:
        """Ask it."""
        self._questions.put(question)

    def take(self) -> list[tuple[Question, Answer]]:
        """Return the questions answered since the last call, with their answers."""
        answers = []
        while True:
            try:
                answers.append(self._answers.get_nowait())
            except Empty:
                return answers

    def close(self) -> None:
        """Stop. The answer of a running look-up is dropped."""
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
