"""Read plain data from pickles without unpickling: no code runs, and memory is bounded.

Theory of operation. Python's unpickler is a machine that imports and calls what its input names. This one knows only
the opcodes with which protocols 2 to 5 write dictionaries, lists, tuples, text, numbers, booleans and None. Any other
opcode is refused, so no module, class or call is reachable. `pickletools`, which only describes pickles, reads the
arguments of the known opcodes. The remaining danger is size: input, steps and depth are limited, whole numbers have
64 bits, and only text can be a key (its hash is salted).

A pickle may use a memoized value repeatedly, nested in itself level by level: a few bytes expand to billions of leaves.
The value is in memory once, but a walk over it meets it each time. So each value is measured once with everything it
expands to. A value that expands to more than `MAX_UNFOLDED`, or that contains itself, is refused.
"""

from collections.abc import Callable
from io import BytesIO
from pickletools import opcodes
from typing import Any, TypeAlias

MAX_BYTES = 1 << 20
_MAX_STEPS = 100_000
_MAX_DEPTH = 32

MAX_UNFOLDED = 4 << 20
"""The most values and characters of text that a walk over the result may meet."""

Plain: TypeAlias = "dict[str, Plain] | list[Plain] | tuple[Plain, ...] | str | int | float | bool | None"


class NotPlain(Exception):
    """Not a pickle, or not only plain data. The message says why."""


def loads(data: bytes) -> Plain:
    """The plain data in a pickle. Raises NotPlain, nothing else."""
    if len(data) > MAX_BYTES:
        raise NotPlain(f"it has more than {MAX_BYTES:,} bytes")
    try:
        value = _Machine(data).run()
    except (IndexError, ValueError) as error:
        raise NotPlain("it is truncated or invalid") from error
    _measured(value, 0, {})
    return value


_MARK = object()
"""Mark of a collection's beginning on the stack."""


class _Machine:
    """The stack, the memo and the place in the input."""

    def __init__(self, data: bytes) -> None:
        self._data = BytesIO(data)
        self._stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Plain:
        for _ in range(_MAX_STEPS):
            code = self._data.read(1)[0]
            opcode = _OPCODES.get(code)
            name = opcode.name if opcode else f"opcode {code:#04x}"
            if name == "STOP":
                return self._result()
            if opcode is None or name not in _STEPS:
                raise NotPlain(self._refusal(name))
            _STEPS[name](self, opcode.arg.reader(self._data) if opcode.arg else None)
        raise NotPlain("it has too many steps")

    def _result(self) -> Plain:
        if len(self._stack) != 1 or self._stack[0] is _MARK:
            raise NotPlain("it does not end with one value")
        value: Plain = self._stack[0]
        return value

    def _refusal(self, name: str) -> str:
        """Name the opcode, and the object it asked for if it names one."""
        if name in ("GLOBAL", "INST"):
            words = self._data.read(200).split(b"\n")[:2]
            return f"{name} asks for {b'.'.join(words).decode('utf-8', 'backslashreplace')}"
        if name == "STACK_GLOBAL":
            words_ = [str(item)[:100] for item in self._stack[-2:] if isinstance(item, str)]
            return f"{name} asks for {'.'.join(words_)}"
        return f"{name} is not for plain data"

    # Steps.

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def text(self, text: str) -> None:
        self.push(text.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))

    def number(self, number: int) -> None:
        if not -(1 << 63) <= number < 1 << 63:
            raise NotPlain("a whole number has more than 64 bits")
        self.push(number)

    def memoize(self, place: int) -> None:
        value = self._stack[-1]
        if value is _MARK:
            raise NotPlain("it memoizes a mark")
        self.memo[place] = value

    def recall(self, place: int) -> None:
        if place not in self.memo:
            raise NotPlain("it uses a value that it has not memoized")
        self.push(self.memo[place])

    def since_mark(self) -> list[Any]:
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                items = self._stack[place + 1 :]
                del self._stack[place:]
                return items
        raise NotPlain("a mark is missing")

    def last(self, count: int) -> list[Any]:
        items = self._stack[-count:]
        if len(items) != count or any(item is _MARK for item in items):
            raise NotPlain("a value is missing")
        del self._stack[-count:]
        return items

    def extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise NotPlain("it appends to something that is not a list")
        target += items

    def update(self, items: list[Any]) -> None:
        target = self._stack[-1]
        keys, values = items[::2], items[1::2]
        if not isinstance(target, dict) or len(keys) != len(values):
            raise NotPlain("it sets items of something that is not a dictionary")
        if not all(isinstance(key, str) for key in keys):
            raise NotPlain("a key is not text")
        target.update(zip(keys, values, strict=True))


_OPCODES = {ord(opcode.code): opcode for opcode in opcodes}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda m, _: None,
    "FRAME": lambda m, _: None,
    "MARK": lambda m, _: m.push(_MARK),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "BININT": _Machine.push,
    "BININT1": _Machine.push,
    "BININT2": _Machine.push,
    "LONG1": _Machine.number,
    "BINFLOAT": _Machine.push,
    "SHORT_BINUNICODE": _Machine.text,
    "BINUNICODE": _Machine.text,
    "EMPTY_LIST": lambda m, _: m.push([]),
    "APPEND": lambda m, _: m.extend(m.last(1)),
    "APPENDS": lambda m, _: m.extend(m.since_mark()),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "SETITEM": lambda m, _: m.update(m.last(2)),
    "SETITEMS": lambda m, _: m.update(m.since_mark()),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "TUPLE1": lambda m, _: m.push(tuple(m.last(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.last(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.last(3))),
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    "MEMOIZE": lambda m, _: m.memoize(len(m.memo)),
    "BINPUT": _Machine.memoize,
    "LONG_BINPUT": _Machine.memoize,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
}


def _measured(value: Plain, depth: int, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """The number of values and characters that a walk meets, and the depth. Raises NotPlain for too many or too deep.

    known: the results of measured containers, by their id; None while a container is being measured.
    """
    if isinstance(value, str):
        return 1 + len(value), 0
    if not isinstance(value, dict | list | tuple):
        return 1, 0
    if id(value) not in known:
        if depth >= _MAX_DEPTH:
            raise NotPlain("it is nested too deep")
        known[id(value)] = None
        size, height = 1 + (sum(map(len, value)) if isinstance(value, dict) else 0), 0
        for item in value.values() if isinstance(value, dict) else value:
            below, under = _measured(item, depth + 1, known)
            size, height = size + below, max(height, under + 1)
            if size > MAX_UNFOLDED:
                raise NotPlain("it expands to too much")
        known[id(value)] = size, height
    if (found := known[id(value)]) is None:
        raise NotPlain("it contains itself")
    if depth + found[1] > _MAX_DEPTH:
        raise NotPlain("it is nested too deep")
    return found
