"""The contacts of a network: the entities of an RDAP answer and their vCards (RFC 9083, 5.1; RFC 7095). Pure.

Every function takes any decoded JSON and returns what it finds; values of another form count as absent.

Theory of operation. Entities are nested a few levels deep; they are searched level by level, so entities nearer to the
network come first. Registries use roles differently: RIPE gives the role `registrant` to maintainers too, whose name is
their handle; ARIN has the abuse mailbox inside the registrant.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from banledger.geo.country_names import code_of
from banledger.net.codes import country_code

Json: TypeAlias = object
"""Any decoded JSON."""

Fields: TypeAlias = dict[str, Json]

TEXT_MOST = 256
"""Characters kept of a text."""

_ENTITIES_MOST = 500
_DEPTH_MOST = 5
_PROPERTIES_MOST = 200
_SCANNED_MOST = 4096
_MAILBOX = re.compile(r"[^\s<>()\[\],;:\"'@\\]{1,64}@[^\s<>()\[\],;:\"'@\\]{1,189}")


def text(value: Json) -> str | None:
    """One line of text: blanks folded, control characters removed, at most TEXT_MOST characters."""
    if not isinstance(value, str):
        return None
    words = " ".join(value[:_SCANNED_MOST].split())
    clean = "".join(char for char in words if unicodedata.category(char) not in ("Cc", "Cs"))
    return clean[:TEXT_MOST].strip() or None


def objects(value: Json) -> Iterator[Fields]:
    """The JSON objects of an array."""
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict):
            yield one


def words(value: Json) -> list[str]:
    """The texts of an array, or a single text; lower case."""
    several = value if isinstance(value, list) else [value]
    return [one.casefold() for one in several if isinstance(one, str)]


def entities(answer: Fields) -> list[Fields]:
    """All entities of an answer, nearest first."""
    found: list[Fields] = []
    level = [answer]
    for _ in range(_DEPTH_MOST):
        level = [inner for outer in level for inner in objects(outer.get("entities"))]
        found += level[: _ENTITIES_MOST - len(found)]
    return found


def registrants(answer: Fields) -> list[Fields]:
    """The registrants of the network: first level only, organisations before persons."""
    own = [entity for entity in objects(answer.get("entities")) if "registrant" in words(entity.get("roles"))]
    return sorted(own[:_ENTITIES_MOST], key=lambda entity: "org" not in words(_first(entity, "kind")))


def organisation(answer: Fields) -> str | None:
    """Name of the first registrant with a name; a handle does not count."""
    return next((name for entity in registrants(answer) if (name := _name(entity))), None)


def _name(entity: Fields) -> str | None:
    org = _first(entity, "org")
    handle = text(entity.get("handle"))
    for value in (_first(entity, "fn"), org[0] if isinstance(org, list) and org else org):
        name = text(value)
        if name and not (handle and name.casefold() == handle.casefold()):
            return name
    return None


def country(answer: Fields) -> str | None:
    """ISO 3166 code of the first registrant's address that names a country."""
    return next((code for entity in registrants(answer) for code in _countries(entity)), None)


def _countries(entity: Fields) -> Iterator[str]:
    for parameters, value in _properties(entity, "adr"):
        last = value[-1] if isinstance(value, list) and value else None
        for written in (parameters.get("cc"), last, _last_line(parameters.get("label"))):
            code = _country(written)
            if code:
                yield code


def is_place(line: str) -> bool:
    """Whether a line is a place, such as "Zurich, Switzerland"."""
    return "," in line and _country(line) is not None


def _last_line(label: Json) -> str | None:
    """The country of an address given as one text; some write line ends as a backslash and an n."""
    joined = "\n".join(line for line in label if isinstance(line, str)) if isinstance(label, list) else label
    lines = joined[-_SCANNED_MOST:].replace("\\n", "\n").split("\n") if isinstance(joined, str) else []
    return next((line for line in reversed(lines) if line.strip()), None)


def _country(written: Json) -> str | None:
    """The country of a line: a code, a name, or a name after the last comma."""
    name = text(written)
    if name is None:
        return None
    return country_code(name.upper()) or code_of(name) or code_of(name.rpartition(",")[2])


def abuse_mailbox(answer: Fields) -> str | None:
    """The abuse mailbox: of an entity with the role `abuse`, preferably one with `abuse` in its name."""
    of_abuse = (entity for entity in entities(answer) if "abuse" in words(entity.get("roles")))
    found = [mailbox for entity in of_abuse for mailbox in _mailboxes(entity)]
    return min(found, key=lambda ranked: ranked[0], default=(0, None))[1]


def _mailboxes(entity: Fields) -> Iterator[tuple[int, str]]:
    """Its mailboxes with their rank: 0 is named `abuse`, 1 is preferred, 2 is any other."""
    for parameters, value in _properties(entity, "email"):
        mailbox = _MAILBOX.search(re.sub("^mailto:", "", text(value) or "", flags=re.IGNORECASE))
        if mailbox:
            called = "abuse" in words(parameters.get("type")) or "abuse" in mailbox[0].casefold().partition("@")[0]
            yield 0 if called else 1 if parameters.get("pref") in ("1", 1) else 2, mailbox[0]


def _first(entity: Fields, name: str) -> Json:
    return next((value for _, value in _properties(entity, name)), None)


def _properties(entity: Fields, name: str) -> Iterator[tuple[Fields, Json]]:
    """Parameters and value of the vCard's properties with this name."""
    card = entity.get("vcardArray")
    rows: Json = card[1] if isinstance(card, list) and len(card) > 1 else None
    for row in rows[:_PROPERTIES_MOST] if isinstance(rows, list) else ():
        if _is_property(row) and row[0].casefold() == name:
            yield row[1], row[3]


def _is_property(row: Sequence[Json]) -> bool:
    return isinstance(row, list) and len(row) > 3 and isinstance(row[0], str) and isinstance(row[1], dict)
