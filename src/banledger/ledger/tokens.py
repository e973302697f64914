"""Outside text as part of a key: percent-encoded, bounded, and reversible unless it was cut. Pure."""

from functools import lru_cache

_TOKEN_MAX = 128
_NOT_PLAIN = frozenset("%:{}|~")


@lru_cache(maxsize=8192)
def token(text: str) -> str:
    """Encode a text for keys: `% : { } | ~`, blanks and controls percent-encoded, long text cut and hashed."""
    if text.isprintable() and " " not in text and len(text) <= 32 and _NOT_PLAIN.isdisjoint(text):
        return text
    raw = text.encode("utf-8", "surrogatepass")
    coded = "".join(char if _plain(char) else _percent(char) for char in text)
    if len(coded.encode()) <= _TOKEN_MAX:
        return coded
    start = coded.encode()[:80].decode("utf-8", "ignore")
    if "%" in start[-2:]:
        start = start[: start.rindex("%")]
    import hashlib  # seldom needed, and not for `--help`

    return f"{start}~{hashlib.sha256(raw).hexdigest()[:32]}"


def _plain(char: str) -> bool:
    return char.isprintable() and not char.isspace() and char not in _NOT_PLAIN


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def text_of(tok: str) -> str:
    """Decode a token. A text that was cut stays cut."""
    if "%" not in tok:
        return tok
    from urllib.parse import unquote

    return unquote(tok, errors="backslashreplace")


def source_token(server: str, jail: str) -> str:
    """Return the token of a source, for keys and for members of the set of sources."""
    return f"{token(server)}|{token(jail)}"


def is_source_token(tok: str) -> bool:
    """Whether the text has the form of a source's token."""
    parts = tok.split("|")
    return (
        len(parts) == 2
        and all(len(part.encode("utf-8", "surrogatepass")) <= _TOKEN_MAX for part in parts)
        and all(char in "%~" or _plain(char) for part in parts for char in part)
    )
