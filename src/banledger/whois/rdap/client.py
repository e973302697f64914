"""Look an address up at its registry, over RDAP (RFC 7480, 9082).

    address ──► bootstrap: which registry? ──► GET base/ip/address ──► redirects (3 at most) ──► rdap.parse ──► Answer
                                                                       Team Cymru's DNS, if asked too ──────────┘

A registry may redirect to another registry or to a national one below it: only to hosts of registries, only over https,
and all within one deadline. Network errors end in an `Answer`, never in an exception.
"""

import time
from collections.abc import Callable
from typing import Any

from msgspec import structs

from banledger.ledger.network import SHORTEST, Answer, Network, Outcome
from banledger.net.address import canonical_address
from banledger.net.codes import country_code
from banledger.net.prefix import Block, block
from banledger.net.special import described
from banledger.whois.cymru import Announcement, around
from banledger.whois.http.client import Response, TransportError
from banledger.whois.http.guard import is_public
from banledger.whois.http.url import Url, https_url
from banledger.whois.rdap import parser as rdap
from banledger.whois.rdap.bootstrap import Bootstrap, Registry, registry_at
from banledger.whois.rdap.bootstrap_refresh import Fetch, Refreshed

ACCEPT = "application/rdap+json"
REDIRECTS_MOST = 3

_REDIRECTS = {301, 302, 303, 307, 308}
_LIMITS = {429, 503}


class Lookup:
    """Client of the registries. Thread-safe.

    get         sends a request (`Transport.get`)
    bootstrap   registries by address
    origin      second source: the announcement of an address; raises nothing. None: there is none
    take        waits for a registry's next turn (name, interval in seconds), or returns for how many seconds it is
                paused (`Pace.take`): called for a redirect. The caller of `ask` takes the first registry's turn.
                None: no waiting
    deadline_s  for a look-up with all its redirects; waiting for turns is not counted
    clock       UTC epoch seconds; `monotonic`: elapsed seconds
    """

    def __init__(
        self,
        get: Fetch,
        bootstrap: Refreshed,
        *,
        origin: Callable[[str], Announcement | None] | None = None,
        take: Callable[[str, float], float] | None = None,
        deadline_s: float = 20.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._get = get
        self._bootstrap = bootstrap
        self._origin = origin
        self._take = take
        self._deadline_s = deadline_s
        self._clock = clock
        self._monotonic = monotonic

    def registry_of(self, address: str) -> Registry | None:
        """The registry of an address or network; None: there is none. Does not wait."""
        asked = canonical_address(address)
        return self._bootstrap.current.registry_of(asked) if asked and not unaskable(asked) else None

    def ask(self, address: str, now: float | None = None) -> Answer:
        """Look up an address or network (UTC epoch `now`; None: by the clock). Raises nothing."""
        now = self._clock() if now is None else now
        asked = canonical_address(address)
        problem = unaskable(asked) if asked else "not an address"
        if asked is None or problem:
            return Answer(address=asked or address, registry="", outcome=Outcome.FAILED, problem=problem)
        self._bootstrap.refresh(now)
        bootstrap = self._bootstrap.current
        registry = bootstrap.registry_of(asked)
        if registry is None:
            none = Answer(address=asked, registry="", outcome=Outcome.NONE, problem="no registry has it")
            return self._with_origin(none, now)
        return self._with_origin(self._ask(asked, registry, bootstrap, now), now)

    def _ask(self, asked: str, registry: Registry, bootstrap: Bootstrap, now: float) -> Answer:
        """The answer of the registry, or of the one it redirects to."""
        seen: list[Url] = []

        def ended(outcome: Outcome, **more: Any) -> Answer:
            by = registry_at(seen[-1].host).name if seen else registry.name
            return Answer(address=asked, registry=registry.name, outcome=outcome, by=by, **more)

        try:
            response = self._follow(https_url(f"{registry.urls[0]}ip/{asked}"), seen, bootstrap)
            return ended(Outcome.FOUND, network=_network(response, asked, now))
        except rdap.NotANetwork as error:
            return ended(Outcome.NONE, problem=str(error))
        except rdap.RateLimited as error:
            return ended(Outcome.LIMITED, problem=str(error), retry_s=error.retry_s)
        except (rdap.Refused, TransportError) as error:
            return ended(Outcome.FAILED, problem=str(error))

    def _follow(self, url: Url, seen: list[Url], bootstrap: Bootstrap) -> Response:
        """The response at the end of all redirects; `seen` collects every URL that was or would be requested.

        Raises TransportError, Refused for a forbidden redirect, RateLimited for one to a paused registry.
        """
        until = self._monotonic() + self._deadline_s
        while True:
            seen.append(url)
            left_s = until - self._monotonic()
            if left_s <= 0:
                raise TransportError(f"no answer within {self._deadline_s:.3g} s")
            response = self._get(str(url), ACCEPT, deadline_s=left_s)
            if response.status not in _REDIRECTS:
                return response
            url = _next(response, url, seen, bootstrap)
            if self._take is not None:
                there, began = registry_at(url.host), self._monotonic()
                if rest_s := self._take(there.name, there.interval_s):
                    seen.append(url)
                    raise rdap.RateLimited(rest_s)
                until += self._monotonic() - began

    # The second source.

    def _with_origin(self, answer: Answer, now: float) -> Answer:
        """Add the second source to the answer; it replaces an empty answer.

        It does not replace a failed one: the registry is asked again.
        """
        if self._origin is None or answer.outcome not in (Outcome.FOUND, Outcome.NONE):
            return answer
        origin = self._origin(answer.address)
        if origin is None:
            return answer
        announced = around(origin.prefix, block(answer.address))
        prefix = announced.cidr if announced else None
        network = answer.network
        if network is not None:
            network = structs.replace(network, asn=origin.asn)
        elif prefix and country_code(origin.country):
            network = Network(
                cidrs=(prefix,),
                source="cymru",
                registry=origin.registry or answer.registry or "cymru",
                fetched=now,
                country=origin.country,
                asn=origin.asn,
            )
        outcome = answer.outcome if network is None else Outcome.FOUND
        return structs.replace(answer, outcome=outcome, network=network, asn=origin.asn, prefix=prefix)


def unaskable(asked: str) -> str:
    """Why a canonical address or network is not looked up; empty if it is."""
    there = block(asked)
    if there.prefix < SHORTEST[there.version]:
        return "wider than any registry's network"
    if special := described(there):
        return special
    ends = (Block(there.version, number, there.prefix + there.host_bits).text for number in (there.first, there.last))
    return "" if all(map(is_public, ends)) else "a private or reserved address"


def _next(response: Response, url: Url, seen: list[Url], bootstrap: Bootstrap) -> Url:
    """The target of a redirect. Raises Refused if it is forbidden."""
    try:
        there = https_url(response.location or "", base=url)
    except ValueError as error:
        raise rdap.Refused(f"sent on by {url.host} to nowhere: {error}"[:300]) from error
    if not bootstrap.permits(there.host):
        raise rdap.Refused(f"sent on by {url.host} to {there.host}, which is not a registry")
    if there in seen or len(seen) > REDIRECTS_MOST:
        raise rdap.Refused(f"sent on by {url.host} too often")
    return there


def _network(response: Response, asked: str, now: float) -> Network:
    """Parse a response. Raises the errors of `rdap`."""
    host = https_url(response.url).host
    if response.status in _LIMITS:
        raise rdap.RateLimited(response.retry_after_s)
    if response.status == 404:
        raise rdap.NotANetwork(f"{host} knows of none")
    if response.status != 200:
        raise rdap.Refused(f"{host} answered with status {response.status}")
    return rdap.parse(response.body, asked, registry=registry_at(host).name, fetched=now)
