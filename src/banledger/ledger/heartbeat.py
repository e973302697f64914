"""A heartbeat: what a recorder says about itself, as a value and as the text of a field. Pure.

Ages inside a heartbeat (`oldest_s`) are durations, since clocks differ. `heartbeats` reads and writes them,
`recorder_health` judges them.
"""

import re
from collections.abc import Mapping
from typing import Annotated, TypeAlias, get_type_hints

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from banledger.stores.fields import MOST_NUMBER, YEAR_3000, Damaged

MOST_LISTED = 100
"""Labels, registries … in one heartbeat."""

MOST_TEXT = 300
"""Characters of a text in a heartbeat."""

_MOST_BYTES = 256 << 10
_ID = re.compile("[0-9a-f]{12}")

_Moment: TypeAlias = Annotated[float, Meta(ge=0, lt=YEAR_3000)]
_Seconds: TypeAlias = Annotated[float, Meta(ge=-YEAR_3000, lt=YEAR_3000)]
_Number: TypeAlias = Annotated[int, Meta(ge=0, le=MOST_NUMBER)]
_Text: TypeAlias = Annotated[str, Meta(max_length=MOST_TEXT)]


class HeldLabel(Struct, frozen=True):
    """A server label whose lines a recorder holds back, and why."""

    label: _Text
    why: _Text


class RegistryTrouble(Struct, frozen=True):
    """A registry that refuses or can't be reached: its name, why, and since when (UTC epoch seconds)."""

    name: _Text
    why: _Text
    since: _Moment


class WhoisActivity(Struct, frozen=True):
    """What a recorder's whois does, which registries refuse or can't be reached, and why it pauses if it does."""

    doing: str = ""
    registries: tuple[RegistryTrouble, ...] = ()
    trouble: str = ""


class Heartbeat(Struct, frozen=True, omit_defaults=True):
    """What a recorder says about itself, and the table of its fields. Moments: UTC epoch seconds by its own clock.

    `id` is the field's name, not part of its value.
    """

    written: Annotated[_Moment, Meta(description="when it was written, by the recorder's clock")]
    since: Annotated[_Moment, Meta(description="when the recorder started")]
    host: Annotated[_Text, Meta(description="name of its machine")]
    pid: Annotated[_Number, Meta(description="its process id")]
    version: Annotated[_Text, Meta(description="its version of banledger")]
    id: str = ""
    spool: Annotated[_Text, Meta(description="the spool that it reads")] = ""
    ahead: Annotated[
        _Seconds | None,
        Meta(description="seconds by which the store's clock is ahead of the recorder's; absent: unknown"),
    ] = None
    stopped: Annotated[_Moment, Meta(description="when it was told to stop; absent: it was not")] = 0.0
    waits: Annotated[
        _Text, Meta(description="why it can't record at present (a rebuild, a spool that can't be read …)")
    ] = ""
    waits_since: Annotated[_Moment, Meta(description="since when it can't record")] = 0.0
    labels: Annotated[
        tuple[_Text, ...],
        Meta(max_length=MOST_LISTED, description="server labels of the lines that it recorded during the last day"),
    ] = ()
    last_id: Annotated[_Text, Meta(description="id of the last ban that it recorded")] = ""
    last_ban: Annotated[_Moment, Meta(description="when the action saw that ban")] = 0.0
    last_recorded: Annotated[_Moment, Meta(description="when that ban was recorded")] = 0.0
    delay_s: Annotated[
        _Seconds | None,
        Meta(description="seconds from a ban to its record: the median of the last 100; absent: none since its start"),
    ] = None
    lines: Annotated[_Number, Meta(description="lines recorded since its start")] = 0
    waiting: Annotated[_Number, Meta(description="about how many lines wait in the spool")] = 0
    waiting_bytes: Annotated[_Number, Meta(description="bytes of these lines")] = 0
    oldest_s: Annotated[_Seconds, Meta(description="age of the oldest of them in seconds, when this was written")] = 0.0
    unseen: Annotated[
        bool, Meta(description="whether the spool could not be looked at: what waits is what was seen last")
    ] = False
    held: Annotated[
        tuple[HeldLabel, ...],
        Meta(max_length=MOST_LISTED, description="server labels that it holds back, each with the reason"),
    ] = ()
    rejected: Annotated[_Number, Meta(description="invalid lines that it set aside since its start")] = 0
    skipped: Annotated[_Number, Meta(description="lines of unknown kinds that it skipped since its start")] = 0
    lost: Annotated[_Number, Meta(description="lost events of which it recorded a gap since its start")] = 0
    replaying: Annotated[bool, Meta(description="whether it records again what the spool still holds")] = False
    whois: Annotated[
        _Text, Meta(description="`asks` registries, `follows` another recorder that asks, or is `disabled`")
    ] = ""
    whois_trouble: Annotated[_Text, Meta(description="why whois pauses")] = ""
    registries: Annotated[
        tuple[RegistryTrouble, ...],
        Meta(max_length=MOST_LISTED, description="registries that refuse or can't be reached: name, why, since"),
    ] = ()
    cautions: Annotated[
        tuple[_Text, ...], Meta(max_length=MOST_LISTED, description="settings of the store that endanger the ledger")
    ] = ()


FIELDS: Mapping[str, str] = {
    name: meta.description
    for name, hint in get_type_hints(Heartbeat, include_extras=True).items()
    for meta in getattr(hint, "__metadata__", ())
    if meta.description
}
"""The fields of a heartbeat, and what each holds."""

_decoder = msgspec.json.Decoder(Heartbeat)


def parsed(id_: str, text: str) -> Heartbeat:
    """Return the heartbeat of a field. Raises `fields.Damaged`."""
    try:
        if len(text) > _MOST_BYTES or not _ID.fullmatch(id_):
            raise ValueError
        return replace(_decoder.decode(text), id=id_)
    except (ValueError, RecursionError):  # errors of msgspec are ValueErrors
        raise Damaged("", "has a field that is not a heartbeat") from None


def encoded(beat: Heartbeat) -> str:
    """Return a heartbeat as the text of its field."""
    return msgspec.json.encode(replace(beat, id="")).decode()


def bounded(text: str) -> str:
    """Return a text as a heartbeat may have it."""
    return text[:MOST_TEXT].encode("utf-8", "backslashreplace").decode()[:MOST_TEXT]
