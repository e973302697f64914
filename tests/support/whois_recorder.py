"""`python -m tests.support.whois_recorder HOW record …`: banledger with registries that behave one way, and no network.

HOW: prompt, slow (some seconds each), failing, or hanging (never an answer).
"""

import sys
import time
from threading import Event

from banledger.cli.main import run
from banledger.ledger.network import Answer, Network, Outcome
from banledger.net.prefix import block
from banledger.service import wiring as lookups
from banledger.whois.rdap.bootstrap import Registry

SLOW_S = 1.5


class Registries:
    """Stands for enrich.lookup.Lookup: five registries, every /24 of the world is a network."""

    def __init__(self, how: str) -> None:
        self._how = how

    def registry_of(self, address: str) -> Registry:
        """By the address's last bits of its first byte."""
        return Registry(f"registry{(block(address).first >> 24) % 5}", interval_s=0.05)

    def ask(self, address: str) -> Answer:
        """What such a registry says."""
        name = self.registry_of(address).name
        if self._how == "hanging":
            Event().wait()
        if self._how == "slow":
            time.sleep(SLOW_S)
        if self._how == "failing":
            return Answer(address=address, registry=name, outcome=Outcome.FAILED, problem="out of order")
        network = Network(
            cidrs=(block(address).at(24).cidr,), source="rdap", registry=name, fetched=time.time(), country="AQ",
            org="Penguins", asn=1,
        )  # fmt: skip
        return Answer(address=address, registry=name, outcome=Outcome.FOUND, network=network, asn=1)


if __name__ == "__main__":
    registries = Registries(sys.argv[1])
    lookups.lookup = lambda *_: registries  # type: ignore[assignment]
    sys.exit(run(sys.argv[2:]))
