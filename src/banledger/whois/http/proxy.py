"""Choose the HTTP proxy, if any. Pure."""

from collections.abc import Mapping
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it

from msgspec import Struct
from urllib3.util import make_headers


class Proxy(Struct, frozen=True):
    """An HTTP proxy that takes CONNECT. `headers`: with its password, if it needs one."""

    host: str
    port: int
    headers: dict[str, str]


def proxy_for(host: str, chosen: str, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy for a host: `chosen`, or HTTPS_PROXY of the environment unless NO_PROXY excludes the host.

    Raises ValueError unless it is `http://[user:password@]host[:port]`; the message does not show its text.
    """
    text = chosen or environment.get("https_proxy") or environment.get("HTTPS_PROXY") or ""
    spared = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if not text or (not chosen and proxy_bypass_environment(host, {"no": spared.replace("*.", ".")})):
        return None
    try:
        return _proxy(text)
    except ValueError:
        raise ValueError("the proxy is not of the form http://[user:password@]host:port") from None


def _proxy(text: str) -> Proxy:
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError
    headers: dict[str, str] = {}
    if parts.username is not None:
        headers = dict(make_headers(proxy_basic_auth=f"{unquote(parts.username)}:{unquote(parts.password or '')}"))
    return Proxy(parts.hostname, parts.port or 80, headers)
