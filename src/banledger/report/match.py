"""Match bans against a query, and networks against a filter on addresses. Pure."""

from collections.abc import Callable

from banledger.ledger.ban import Ban
from banledger.net.prefix import block
from banledger.report.query import PRIVATE, Query


def matcher(query: Query) -> Callable[[Ban], bool]:
    """A predicate: whether a ban matches the query."""
    span = query.span
    tests: list[Callable[[Ban], bool]] = [lambda ban: span.holds(ban.day, ban.time)]
    if query.jail:
        jails = frozenset(query.jail)
        tests.append(lambda ban: ban.jail in jails)
    if query.server:
        servers = frozenset(query.server)
        tests.append(lambda ban: ban.server in servers)
    if query.user:
        users = frozenset(query.user)
        tests.append(lambda ban: not users.isdisjoint(ban.users))
    if query.asn:
        systems = frozenset(map(int, query.asn))
        tests.append(lambda ban: ban.asn in systems)
    if query.country:
        codes = frozenset(query.country)
        tests.append(lambda ban: (PRIVATE if ban.scope == "private" else ban.country) in codes)
    if query.ip:
        tests.append(_address_test(query.ip))
    return lambda ban: all(test(ban) for test in tests)


def _address_test(wanted: tuple[str, ...]) -> Callable[[Ban], bool]:
    exact = frozenset(wanted)
    networks = [block(text) for text in wanted if "/" in text]

    def test(ban: Ban) -> bool:
        if ban.ip is None or not networks:
            return ban.ip in exact
        if ban.ip in exact:
            return True
        own = block(ban.ip)
        return any(network.covers(own) for network in networks)

    return test
