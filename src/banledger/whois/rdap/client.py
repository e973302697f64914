"""Whose an address is, asked of the registry that has it, over RDAP (RFC 7480, 9082).

    address ──► bootstrap: which registry? ──► GET base/ip/address ──► redirects (3 at most) ──► rdap.parse ──► Answer
                                                                       Team Cymru's DNS, if asked too ──────────┘

A registry may send us on, to another one or to a national one below it; only to hosts of registries, only over https,
and all of it within one deadline. What the network does ends in an `Answer`, never in an error.
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
from banledger.whois.rdap.bootstrap_refresh import Get, Refreshed

ACCEPT = "application/rdap+json"
REDIRECTS_MOST = 3

_REDIRECTS = {301, 302, 303, 307, 308}
_LIMITS = {429, 503}


class Lookup:
    """Asks registries. Any number of threads may ask.

    get         what asks (`Transport.get`)
    bootstrap   who has which address
    origin      a second source: who announces an address; raises nothing. None: nobody is asked
    take        waits for a registry's next turn (name, interval in seconds), or says for how many seconds it is left
                alone (`Pace.take`): called when a registry sends us on. The turn of the first one is taken by who
                calls `ask`. None: no waiting
    deadline_s  for a question with all its redirects; waiting for turns is not counted
    clock       UTC epoch seconds; `monotonic`: seconds that never go back
    """

    def __init__(
        self,
        get: Get,
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
        """Who is to be asked about that address or network; None: nobody. Does not wait."""
        asked = canonical_address(address)
        return self._bootstrap.current.registry_of(asked) if asked and not unaskable(asked) else None

    def ask(self, address: str, now: float | None = None) -> Answer:
        """Ask about an address or network (UTC epoch `now`; None: by the clock). Raises nothing."""
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
        """What the registry says, or whoever it sends us to."""
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
        """The response at the end of all redirects; `seen` gets every place that was asked, or was to be.

        Raises TransportError, Refused for a redirect that may not be, RateLimited for one to who is left alone.
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
        """The answer with what the second source knows; it stands in where registries know nothing.

        Where they failed it does not: they are to be asked again.
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
    """Why nobody is to be asked about a canonical address or network; empty if somebody is."""
    there = block(asked)
    if there.prefix < SHORTEST[there.version]:
        return "wider than any registry's network"
    if special := described(there):
        return special
    ends = (Block(there.version, number, there.prefix + there.host_bits).text for number in (there.first, there.last))
    return "" if all(map(is_public, ends)) else "a private or reserved address"


def _next(response: Response, url: Url, seen: list[Url], bootstrap: Bootstrap) -> Url:
    """Where a redirect leads. Raises Refused if we may not go there."""
    try:
        there = https_url(response.location or "", base=url)
    except ValueError as error:
        raise rdap.Refused(f"sent on by {url.host} to nowhere: {error}"[:300]) from error
    if not bootstrap.permits(there.host):
        raise rdap.Refused(f"sent on by {url.host} to {there.host}, which is no registry")
    if there in seen or len(seen) > REDIRECTS_MOST:
        raise rdap.Refused(f"sent on by {url.host} too often")
    return there


def _network(response: Response, asked: str, now: float) -> Network:
    """What a response says. Raises the errors of `rdap`."""
    host = https_url(response.url).host
    if response.status in _LIMITS:
        raise rdap.RateLimited(response.retry_after_s)
    if response.status == 404:
        raise rdap.NotANetwork(f"{host} knows of none")
    if response.status != 200:
        raise rdap.Refused(f"{host} answered with status {response.status}")
    return rdap.parse(response.body, asked, registry=registry_at(host).name, fetched=now)
