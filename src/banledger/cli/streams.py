"""stdout and stderr of a command, and what happens when they can't be written.

Theory of operation. `guard` replaces Python's streams. Everything that prints (click, rich, the flush at the end) goes
through one `write` per descriptor, and errors are handled there:

- The reader of a pipe has gone, on stdout or stderr: `ReaderGone` ends the process silently with exit code 141, as
  SIGPIPE would. (SIGPIPE itself stays ignored: it would kill the service when a store closes a connection.)
- stdout can't be written for another reason: `OutputError`, an error like any other.
- stderr can't be written for another reason: there is no place to report it, so the output is dropped.

A stream raises once; then the process ends, or it is the service, which continues without its log. A descriptor that
is closed at the start is opened on /dev/null, or the ledger might become descriptor 1. stdout is opened for reading, so
that writing to it still fails.
"""

import io
import os
import sys

from banledger.errors import OutputError

TYPE_CHECKING = False  # as typing has it, without the import
if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_SIGPIPE = 141  # as a shell reports SIGPIPE: 128 + 13


class ReaderGone(SystemExit):
    """The reader of stdout or stderr has closed its end of the pipe."""


class _Guarded(io.FileIO):
    """A descriptor to write to. `data`: it is stdout, where no loss may be silent."""

    def __init__(self, descriptor: int, *, data: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._data, self._failed = data, False

    def write(self, content: "ReadableBuffer", /) -> int:
        """Write some of it; return how many bytes. Raises ReaderGone or OutputError, once."""
        try:
            return self._write_some(content)
        except OSError as error:
            if not self._failed:
                self._failed = True
                self._tell(error)
            return memoryview(content).nbytes

    def _write_some(self, content: "ReadableBuffer") -> int:
        written: int | None
        while (written := super().write(content)) is None:  # another process made it non-blocking, and it is full
            import select

            select.select([], [self], [])
        return written

    def _tell(self, error: OSError) -> None:
        if isinstance(error, ConnectionError):  # BrokenPipeError; of a socket also ConnectionResetError
            raise ReaderGone(_SIGPIPE) from None
        if self._data:
            raise OutputError(f"can't write the output: {error.strerror}") from error


def guard() -> None:
    """Replace stdout and stderr by guarded streams. Characters that their encoding lacks are written as escapes."""
    for descriptor, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        _occupy(descriptor, mode)
    sys.stdout = _text(_Guarded(1, data=True), sys.stdout)
    sys.stderr = _text(_Guarded(2, data=False), sys.stderr)


def _occupy(descriptor: int, mode: int) -> None:
    """Open /dev/null if the descriptor is closed; lower ones are open, so it gets this number."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.set_inheritable(os.open(os.devnull, mode), True)


def _text(raw: _Guarded, before: "io.TextIOWrapper | object | None") -> io.TextIOWrapper:
    """A text stream with the encoding and buffering of the stream it replaces; None: it was closed."""
    eager = getattr(before, "line_buffering", False) or getattr(before, "write_through", False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), getattr(before, "encoding", None), "backslashreplace", line_buffering=eager
    )
