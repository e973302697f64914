"""Replies as `redis-cli` prints them (its 7.0 `cliFormatReplyTTY` and `cliFormatReplyRaw`)."""

from banledger.stores.commands import Failure, Reply, Status

_NAMED = {0x5C: "\\\\", 0x22: '\\"', 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x07: "\\a", 0x08: "\\b"}


def for_terminal(reply: Reply, indent: str = "") -> str:
    """A reply for people: with types, quoted strings, numbered elements. Ends in a newline."""
    if isinstance(reply, Failure):
        return f"(error) {quoted(reply.text)[1:-1]}\n"
    if isinstance(reply, Status):
        return f"{reply.text}\n"
    if isinstance(reply, int):
        return f"(integer) {reply}\n"
    if isinstance(reply, str):
        return f"{quoted(reply)}\n"
    if reply is None:
        return "(nil)\n"
    return _numbered(reply, indent)


def _numbered(replies: list[Reply], indent: str) -> str:
    if not replies:
        return "(empty array)\n"
    digits = len(str(len(replies)))
    deeper = indent + " " * (digits + 2)
    lines = (f"{number:{digits}d}) {for_terminal(reply, deeper)}" for number, reply in enumerate(replies, 1))
    return indent.join(lines)


def quoted(text: str) -> str:
    """A string as `sdscatrepr` quotes it: bytes that are not printable ASCII are escaped."""
    return '"' + "".join(map(_byte, text.encode("utf-8", "surrogatepass"))) + '"'


def _byte(byte: int) -> str:
    if named := _NAMED.get(byte):
        return named
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"


def raw(reply: Reply) -> str:
    """A reply for programs: one string or number per line. Ends in a newline."""
    return _raw(reply) + "\n"


def _raw(reply: Reply) -> str:
    if isinstance(reply, Failure):
        return reply.text + "\n"
    if isinstance(reply, Status):
        return reply.text
    if isinstance(reply, list):
        return "\n".join(map(_raw, reply))
    return "" if reply is None else str(reply)
