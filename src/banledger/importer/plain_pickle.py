"""Read plain data from pickles without unpickling: no code runs, and memory is bounded.

Theory of operation. Python's unpickler is a machine that imports and calls what its input names. This one knows only
the opcodes with which protocols 2 to 5 write dictionaries, lists, tuples, text, numbers, booleans and None. Any other
opcode is refused, so no module, class or call is reachable. The remaining danger is size: input, steps and depth are
limited, whole numbers have 64 bits, and only text can be a key (its hash is salted).

A pickle may use a memoized value repeatedly, nested in itself level by level: a few bytes expand to billions of leaves.
The value is in memory once, but a walk over it meets it each time. So each value is measured once with everything it
expands to. A value that expands to more than `MAX_UNFOLDED`, or that contains itself, is refused.
"""

import struct
from collections.abc import Callable
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
    except (IndexError, struct.error) as error:
        raise NotPlain("it is truncated or invalid") from error
    _Measure().size(value)
    return value


class _Mark:
    """Mark of a collection's beginning on the stack."""


_MARK = _Mark()


class _Machine:
    """The stack, the memo and the place in the input."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Plain:
        for _ in range(_MAX_STEPS):
            code = self._take(1)[0]
            if code == _STOP:
                return self._result()
            step = _STEPS.get(code)
            if step is None:
                raise NotPlain(self._refusal(code))
            step(self)
        raise NotPlain("it has too many steps")

    def _result(self) -> Plain:
        if len(self._stack) != 1 or self._stack[0] is _MARK:
            raise NotPlain("it does not end with one value")
        value: Plain = self._stack[0]
        return value

    def _refusal(self, code: int) -> str:
        """Name the opcode, and the object it asked for if it names one."""
        from pickletools import opcodes

        name = next((known.name for known in opcodes if ord(known.code) == code), f"opcode {code:#04x}")
        if name in ("GLOBAL", "INST"):
            words = self._data[self._at : self._at + 200].split(b"\n")[:2]
            return f"{name} asks for {b'.'.join(words).decode('utf-8', 'backslashreplace')}"
        if name == "STACK_GLOBAL":
            words_ = [str(item)[:100] for item in self._stack[-2:] if isinstance(item, str)]
            return f"{name} asks for {'.'.join(words_)}"
        return f"{name} is not for plain data"

    # Reading.

    def _take(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        if len(piece) != count:
            raise IndexError
        self._at += count
        return piece

    def number(self, form: str) -> Any:
        (value,) = struct.unpack(form, self._take(struct.calcsize(form)))
        return value

    # Steps.

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def text(self, form: str) -> None:
        self.push(self._take(self.number(form)).decode("utf-8", "replace"))

    def long(self) -> None:
        piece = self._take(self.number("<B"))
        if len(piece) > 8:
            raise NotPlain("a whole number has more than 64 bits")
        self.push(int.from_bytes(piece, "little", signed=True))

    def memoize(self, place: int) -> None:
        value = self._stack[-1]
        if value is _MARK:
            raise NotPlain("it memoizes a mark")
        self._memo[place] = value

    def memoize_next(self) -> None:
        self.memoize(len(self._memo))

    def recall(self, place: int) -> None:
        if place not in self._memo:
            raise NotPlain("it uses a value that it has not memoized")
        self.push(self._memo[place])

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


_STOP = ord(".")
_STEPS: dict[int, Callable[[_Machine], None]] = {
    0x80: lambda m: m.number("<B"),  # PROTO
    0x95: lambda m: m.number("<Q"),  # FRAME
    ord("("): lambda m: m.push(_MARK),  # MARK
    ord("N"): lambda m: m.push(None),  # NONE
    0x88: lambda m: m.push(True),  # NEWTRUE
    0x89: lambda m: m.push(False),  # NEWFALSE
    ord("J"): lambda m: m.push(m.number("<i")),  # BININT
    ord("K"): lambda m: m.push(m.number("<B")),  # BININT1
    ord("M"): lambda m: m.push(m.number("<H")),  # BININT2
    0x8A: lambda m: m.long(),  # LONG1
    ord("G"): lambda m: m.push(m.number(">d")),  # BINFLOAT
    0x8C: lambda m: m.text("<B"),  # SHORT_BINUNICODE
    ord("X"): lambda m: m.text("<I"),  # BINUNICODE
    ord("]"): lambda m: m.push([]),  # EMPTY_LIST
    ord("a"): lambda m: m.extend(m.last(1)),  # APPEND
    ord("e"): lambda m: m.extend(m.since_mark()),  # APPENDS
    ord("}"): lambda m: m.push({}),  # EMPTY_DICT
    ord("s"): lambda m: m.update(m.last(2)),  # SETITEM
    ord("u"): lambda m: m.update(m.since_mark()),  # SETITEMS
    ord(")"): lambda m: m.push(()),  # EMPTY_TUPLE
    0x85: lambda m: m.push(tuple(m.last(1))),  # TUPLE1
    0x86: lambda m: m.push(tuple(m.last(2))),  # TUPLE2
    0x87: lambda m: m.push(tuple(m.last(3))),  # TUPLE3
    ord("t"): lambda m: m.push(tuple(m.since_mark())),  # TUPLE
    0x94: lambda m: m.memoize_next(),  # MEMOIZE
    ord("q"): lambda m: m.memoize(m.number("<B")),  # BINPUT
    ord("r"): lambda m: m.memoize(m.number("<I")),  # LONG_BINPUT
    ord("h"): lambda m: m.recall(m.number("<B")),  # BINGET
    ord("j"): lambda m: m.recall(m.number("<I")),  # LONG_BINGET
}


class _Measure:
    """Measure values that may be used several times: each container once, with everything it expands to."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int]] = {}  # size and height, by id
        self._open: set[int] = set()

    def size(self, value: Plain) -> int:
        """The number of values and characters that a walk meets. Raises NotPlain for too many, or too deep nesting."""
        return self._measured(value, 0)[0]

    def _measured(self, value: Plain, depth: int) -> tuple[int, int]:
        if isinstance(value, str):
            return 1 + len(value), 0
        if not isinstance(value, dict | list | tuple):
            return 1, 0
        size, height = self._known.get(id(value)) or self._container(value, depth)
        if depth + height > _MAX_DEPTH:
            raise NotPlain("it is nested too deep")
        return size, height

    def _container(self, value: "dict[str, Plain] | list[Plain] | tuple[Plain, ...]", depth: int) -> tuple[int, int]:
        if id(value) in self._open:
            raise NotPlain("it contains itself")
        if depth >= _MAX_DEPTH:
            raise NotPlain("it is nested too deep")
        self._open.add(id(value))
        size, height = 1, 0
        if isinstance(value, dict):
            size += sum(map(len, value))
        for item in value.values() if isinstance(value, dict) else value:
            below, under = self._measured(item, depth + 1)
            size, height = size + below, max(height, under + 1)
            if size > MAX_UNFOLDED:
                raise NotPlain("it expands to too much")
        self._open.remove(id(value))
        self._known[id(value)] = size, height
        return size, height
