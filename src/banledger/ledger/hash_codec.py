"""Convert a struct to a hash and back. Each field is declared once, with its form, its description and its rules.

    class Cell(Struct, frozen=True):
        cidr: str                                                       # not a field of the hash
        asked: Annotated[float, Field(SECONDS, "time of the answer, UTC epoch seconds")]
        tries: Annotated[int, Field(optional(WHOLE, 0), "consecutive failures")] = 0

    CODEC = HashCodec(Cell)

Reading is strict: a value that no ledger writes raises `fields.Damaged`, which names the field.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct
from msgspec.structs import astuple, replace

from banledger.stores import fields as read

Read: TypeAlias = Callable[[Mapping[str, str], str], Any]
"""Read a value from a hash (fields, name of the field). Raises `fields.Damaged`."""


class Form(Struct, frozen=True):
    """The text form of a value. `needed`: every hash has the field; otherwise `absent` is the value without it.

    `write` None: the value is a str, written as it is.
    """

    read: Read
    write: Callable[[Any], str] | None = None
    needed: bool = True
    absent: object = None


def optional(form: Form, absent: object = None) -> Form:
    """Return the form of an optional field."""
    return replace(form, needed=False, absent=absent)


def one_of(words: frozenset[str] | Mapping[str, object]) -> Form:
    """Return the form of a field that is one of these words."""
    return Form(partial(read.one_of, words=words))


def json_text(value: object) -> str:
    """Return the value as JSON."""
    return msgspec.json.encode(value).decode()


TEXT = Form(read.required)
SHORT = Form(partial(read.text, most=256))
WORD = Form(read.word)
WHOLE = Form(read.whole, str)
MOMENT = Form(read.moment, "{:.6f}".format)
SECONDS = Form(read.moment, "{:.0f}".format)
TEXTS = optional(Form(read.texts, json_text), ())
COUNTRY = Form(read.country)
CIDR = Form(read.cidr)


class Field(Struct, frozen=True):
    """The declaration of a field.

    doc       its description in docs/keyspace.md
    join      of a ban: the join that changes it; empty: it never changes
    guarded   whether changes are conditional on its old value; only for fields with a `join`
    standing  whether it may change and decides entries outside the slot
    exported  whether it is part of JSON and CSV
    """

    form: Form
    doc: str
    join: Literal["", "base", "term", "end", "place", "past"] = ""
    guarded: bool = True
    standing: bool = False
    exported: bool = True


class HashCodec:
    """Converts one struct type to hashes and back. Attributes without a `Field` are not in the hash."""

    def __init__(self, struct: type[Struct]) -> None:
        self.fields: dict[str, Field] = dict(_fields_of(struct))
        forms = [(name, field.form) for name, field in self.fields.items()]
        self._hash = _compiled(struct, forms)
        self._reads = tuple([(name, form.read, form.needed, form.absent) for name, form in forms])

    @property
    def docs(self) -> dict[str, str]:
        """The fields of the hash, and what each holds."""
        return {name: field.doc for name, field in self.fields.items()}

    def names(self, wanted: Callable[[Field], bool]) -> tuple[str, ...]:
        """Return the names of the fields for which `wanted` is true."""
        return tuple([name for name, field in self.fields.items() if wanted(field)])

    def to_hash(self, value: Struct) -> dict[str, str]:
        """Return the hash of a struct."""
        return self._hash(value)

    def values(self, fields: Mapping[str, str]) -> list[Any]:
        """Return the struct's attributes in their order, from a hash. Raises `fields.Damaged`, a ValueError."""
        return [
            read_(fields, name) if needed or name in fields else absent for name, read_, needed, absent in self._reads
        ]


def _fields_of(struct: type[Struct]) -> list[tuple[str, Field]]:
    hints = get_type_hints(struct, include_extras=True)
    annotated = [(name, get_args(hint)[1:]) for name, hint in hints.items() if get_origin(hint) is Annotated]
    found = {name: notes[0] for name, notes in annotated if isinstance(notes[0], Field)}
    return [(name, found[name]) for name in struct.__struct_fields__ if name in found]


def _compiled(struct: type[Struct], forms: Sequence[tuple[str, Form]]) -> Callable[[Struct], dict[str, str]]:
    """Return a function that makes the hash, compiled for these fields as dataclasses do: half the time of a loop."""
    known: dict[str, Any] = {"astuple": astuple}
    lines = ["def to_hash(value):", f"    {', '.join(struct.__struct_fields__)}, = astuple(value)", "    fields = {}"]
    for number, (name, form) in enumerate(forms):
        known |= {f"write{number}": form.write, f"absent{number}": form.absent}
        text = f"f'{{{name}}}'" if form.write is str else f"write{number}({name})" if form.write else name
        differs = "is not None" if form.absent is None else f"!= absent{number}"
        test = "" if form.needed else f"if {name} {differs}: "
        lines += [f"    {test}fields[{name!r}] = {text}"]
    exec("\n".join([*lines, "    return fields"]), known)  # noqa: S102  # names of our own structs
    made: Callable[[Struct], dict[str, str]] = known["to_hash"]
    return made
