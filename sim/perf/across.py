"""All-reduces of tensor-parallel groups over several NVLink domains: bytes and rates of one rank.

A hierarchical all-reduce leaves each rank of a domain with its part of S = tokens · hidden · 2
bytes; a ring over the N domains, with k ranks in each, then has every rank send 2(N − 1)/N · S/k to
the rank of its number in the next domain (``sim.perf.collectives``).
"""

from __future__ import annotations

from sim.perf.collectives.constants import network_fit
from sim.perf.collectives.ops import nic_share
from sim.perf.collectives.timing import Between, domain_row
from sim.perf.operators import HALF
from sim.perf.step import Across
from sim.perf.timing import ALL_REDUCES

OP = "all-reduce"


def across(gpu: str, ranks: int, domains: int, between: Between) -> Across:
    """What ``Stage.all_reduce_s`` assumes of the network between domains.

    Where NVLink inside a domain is the slower of the two, that is the rate: so much of the network
    can be taken before it costs anything.

    Raises:
        RackplanError: no all-reduce was measured on this GPU.
    """
    inside = ranks // domains
    rate = between.nics * between.nic_bytes_per_s / inside
    if inside > 1:
        in_domain = domain_row(OP, gpu, inside, 16).fit.bulk.s_per_byte
        rate = min(rate, ring_share(ranks, domains) / in_domain)
    fit, _ = network_fit(between.transport, OP)
    return Across(domains, rate, fit.efficiency)


def ring_share(ranks: int, domains: int) -> float:
    """Bytes that one rank sends to the next domain in an all-reduce, over S."""
    return nic_share(OP, "ring", domains, ranks, ranks // domains)


def ring_token_bytes(layers: float, hidden: int, ranks: int, domains: int) -> float:
    """Bytes that one rank sends to the next domain for each token that passes ``layers`` layers."""
    return ALL_REDUCES * layers * hidden * HALF * ring_share(ranks, domains)
