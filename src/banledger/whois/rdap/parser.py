"""Parse a registry's RDAP answer (RFC 9083) about an address into a network. Pure.

    body ──► JSON ──► a limit, an error? ──► CIDRs around the address ──► a placeholder? ──► Network

Theory of operation. An answer is hostile text: it may be anything, and only what fits the queried address is used. A
network is given twice, as `cidr0_cidrs` and as first and last address; if the two differ, the one that contains the
address counts, and the smaller one if both do. CIDRs outside the network's first and last address are dropped.
Registries fill gaps with placeholders ("administrative", all of IPv4, IANA's own): these are not networks, and using
their country for the address would be the worst mistake.

Links are never followed: RIPE limits queries about persons, and blocks clients that exceed the limit.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import islice

import msgspec

from banledger.ledger.network import MOST_CIDRS, SHORTEST, Network
from banledger.net.address import canonical_address
from banledger.net.codes import country_code
from banledger.net.prefix import Block, block, blocks_between
from banledger.whois.rdap import vcard as jcard
from banledger.whois.rdap.vcard import Fields, Json, objects, text, words

BODY_MOST = 256 << 10
"""Bytes of an answer; the largest seen had 22 kB."""

_DEPTH_MOST = 32
_REMARKS_MOST = 16
_LINES_MOST = 256
_LISTED_MOST = 8192
_LIMITS = {429, 503}
_PLACEHOLDER = re.compile("IANA-|NON-RIPE-NCC-MANAGED", re.IGNORECASE)
_PER = re.compile(r"per (\d{1,4}) (second|minute|hour)")
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T[0-9:.+Z-]+)?")
_decoder = msgspec.json.Decoder()


class NotANetwork(Exception):
    """The registry has no network for the address: a placeholder, or error 404."""


class RateLimited(Exception):
    """The registry limits our rate. `retry_s`: the pause it asks for, seconds; 0: not given."""

    def __init__(self, retry_s: float) -> None:
        super().__init__("asked too often")
        self.retry_s = retry_s


class Refused(Exception):
    """The answer is not valid. The message may contain the registry's text."""


def parse(body: bytes, asked: str, *, registry: str, fetched: float) -> Network:
    """Parse `registry`'s answer `body` about a canonical address or network (UTC epoch `fetched`).

    Raises only NotANetwork, RateLimited or Refused, for any bytes; OSError or ValueError for an invalid `asked`.
    """
    there = block(asked)
    answer = _object(body)
    blocks = _blocks(answer, there)
    if not blocks:
        _no_error(answer)
    _no_placeholder(answer, blocks, there)
    remarks = list(islice(_remarks(answer), _LINES_MOST))
    return Network(
        cidrs=tuple(one.cidr for one in blocks),
        source="rdap",
        registry=registry,
        fetched=fetched,
        handle=text(answer.get("handle")),
        name=text(answer.get("name")),
        country=_country(answer),
        org=jcard.organisation(answer) or next((line for title, line in remarks if _is_owner(title, line)), None),
        abuse=jcard.abuse_mailbox(answer),
        registered=_date(answer, "registration"),
        changed=_date(answer, "last changed"),
        remarks=tuple(line for _, line in remarks[:_REMARKS_MOST]),
        raw=body,
    )


def _object(body: bytes) -> Fields:
    """Decode the JSON object; bytes that are not UTF-8 become U+FFFD."""
    if len(body) > BODY_MOST:
        raise Refused(f"an answer of {len(body)} bytes")
    try:
        answer = _decoder.decode(body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {text(str(error))}") from error
    if not isinstance(answer, dict):
        raise Refused("not an object of JSON")
    if _is_deep(answer):
        raise Refused("JSON nested too deep")
    return answer


def _is_deep(answer: Fields) -> bool:
    level: list[Json] = [answer]
    for _ in range(_DEPTH_MOST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
            if isinstance(inner, (dict, list))
        ]
    return bool(level)


# Invalid answers.


def _no_error(answer: Fields) -> None:
    """Raise the error for an answer without a network around the address."""
    code = _error_code(answer)
    notices = [answer, *objects(answer.get("notices"))]
    limit = next((notice for notice in notices if "rate limit notice" in words(notice.get("title"))), None)
    if limit is not None or code in _LIMITS:
        raise RateLimited(_retry_s(limit or answer))
    title = text(answer.get("title")) or "no title"
    if code == 404:
        raise NotANetwork(title)
    raise Refused("not about the address asked" if code is None else f"error {code}: {title}")


def _error_code(answer: Fields) -> int | None:
    """The HTTP status in the answer's body (RFC 9083, 6)."""
    code = answer.get("errorCode")
    if isinstance(code, str) and re.fullmatch(r"\d{3}", code, re.ASCII):
        return int(code)
    return code if isinstance(code, int) and abs(code) < 1000 else None


def _retry_s(notice: Fields) -> float:
    """Seconds that a notice such as "maxed at 10 queries per 1 minutes" asks to wait; 0 if not given."""
    said = _PER.search(" ".join(words(notice.get("description")))[:1000])
    return int(said[1]) * _SECONDS[said[2]] if said else 0.0


def _no_placeholder(answer: Fields, blocks: list[Block], asked: Block) -> None:
    kind = words(answer.get("objectClassName"))
    if kind and kind != ["ip network"]:
        raise Refused(f"about another kind of thing: {text(kind[0])}")
    if "administrative" in words(answer.get("status")):
        raise NotANetwork("an administrative entry")
    name = text(answer.get("name")) or ""
    if _PLACEHOLDER.match(name):
        raise NotANetwork(f"a placeholder: {name}")
    own = next(one for one in blocks if one.covers(asked))
    if own.prefix < SHORTEST[own.version]:
        raise NotANetwork(f"too large for a network: {own.cidr}")


# The CIDRs.


def _blocks(answer: Fields, asked: Block) -> list[Block]:
    """The network's CIDRs in order, including the one around `asked`; none if `asked` is not in the network."""
    ranged = _between(answer)
    listed = sorted(_listed(answer), key=lambda one: (one.first, one.prefix))
    if any(one.covers(asked) for one in ranged):
        first, last = ranged[0].first, ranged[-1].last
        listed = [one for one in listed if first <= one.first and one.last <= last]
    best: list[Block] = []
    longest = -1
    for told in (listed, ranged):
        there = [one for one in told if one.version == asked.version]
        own = max((one.prefix for one in there if one.covers(asked)), default=-1)
        if own > longest:
            best, longest = there, own
    return list(_bounded(best, asked))


def _bounded(blocks: list[Block], asked: Block) -> Iterator[Block]:
    """Drop CIDRs inside others, and too large ones unless they contain `asked`; keep at most MOST_CIDRS."""
    left, last = MOST_CIDRS - 1, -1
    for one in blocks:
        if one.last <= last or (one.prefix < SHORTEST[one.version] and not one.covers(asked)):
            continue
        last = one.last
        if one.covers(asked):
            yield one
        elif left:
            left -= 1
            yield one


def _listed(answer: Fields) -> Iterator[Block]:
    """The prefixes of the extension `cidr0`."""
    cidrs = answer.get("cidr0_cidrs")
    for cidr in objects(cidrs[:_LISTED_MOST] if isinstance(cidrs, list) else ()):
        prefix, length = _address(cidr.get("v4prefix") or cidr.get("v6prefix")), cidr.get("length")
        if prefix is None or not isinstance(length, int) or isinstance(length, bool):
            continue
        bits = 128 if ":" in prefix else 32
        if 0 <= length <= bits:
            yield block(prefix).at(length)


def _between(answer: Fields) -> list[Block]:
    first, last = _address(answer.get("startAddress")), _address(answer.get("endAddress"))
    if first is None or last is None:
        return []
    try:
        return list(blocks_between(first, last))
    except ValueError:  # of two IP versions, or the last before the first
        return []


def _address(value: Json) -> str | None:
    """A canonical address; some registries append a length, or write leading zeros (074.125.000.000)."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    bare = value.strip().partition("/")[0]
    if re.fullmatch(r"\d{1,3}(\.\d{1,3}){3}", bare, re.ASCII):
        bare = ".".join(str(int(part)) for part in bare.split("."))
    return canonical_address(bare)


# Other fields.


def _country(answer: Fields) -> str | None:
    """The first country it names; without such a field (ARIN), the registrant's."""
    named = answer.get("country")
    if not isinstance(named, str) or not named.strip():
        return jcard.country(answer)
    codes = re.split(r"[\s,;/]+", named[:64].partition("#")[0].upper())
    return next((code for code in codes if country_code(code)), None)


def _date(answer: Fields, action: str) -> str | None:
    """The date of an event, ISO 8601 as the registry gives it."""
    for event in objects(answer.get("events")):
        date = text(event.get("eventDate"))
        if action in words(event.get("eventAction")) and date and _is_date(date):
            return date
    return None


def _is_date(date: str) -> bool:
    try:
        return bool(_DATE.fullmatch(date) and datetime.fromisoformat(date))
    except ValueError:
        return False


def _remarks(answer: Fields) -> Iterator[tuple[str, str]]:
    """The lines of its remarks, with the remark's title."""
    for remark in objects(answer.get("remarks")):
        title = text(remark.get("title")) or ""
        lines = remark.get("description")
        for several in lines if isinstance(lines, list) else [lines]:
            for line in several.splitlines() if isinstance(several, str) else ():
                if clean := text(line):
                    yield title.casefold(), clean


def _is_owner(title: str, line: str) -> bool:
    """Whether a remark is the `descr` of whois, which names the owner at most registries: no ornament, no place."""
    if title not in ("", "description") or "://" in line or jcard.is_place(line):
        return False
    return any(char.isalpha() for char in line)
