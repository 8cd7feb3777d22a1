"""Stay on the rail of the target: forward over NVLink inside the source's domain first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sim.policies.base import register
from sim.policies.paths.base import Path, PathView, over_nvlink
from sim.policies.paths.ecmp import Ecmp, hashed_path
from sim.rng import KeyedBits

#: Links from GPU to GPU over one switch: to the NIC, to the leaf, and the same down.
_ONE_SWITCH = 4


@register("paths", "rail")
@dataclass(frozen=True)
class Rail(Ecmp):
    """Leave the domain from the GPU that is nearest to the target, as NCCL's PXN does.

    Data goes over NVLink to a GPU whose NIC is on the target's leaf, where its own is not; from
    there as ``ecmp``. Where no GPU's is, nothing is forwarded, unless the own NIC leads nowhere: a
    leaf that only happens to be fewer links away would draw the traffic of all rails.
    """

    def decide(self, view: PathView, state: None, rng: KeyedBits) -> Iterator[Path]:
        """NVLink inside a domain; else over the nearest GPU, and without forwarding."""
        yield from over_nvlink(view)
        label = (view.source, view.target, self.label(view))
        for relay in self._relays(view):
            for first in over_nvlink(replace(view, target=relay)):
                yield first + hashed_path(view, label, relay, rng)
        yield hashed_path(view, label, view.source, rng)

    def _relays(self, view: PathView) -> list[int]:
        """GPUs of the source's domain to go through, nearest first, own server first."""
        fabric = view.routes.network.fabric
        if view.source >= fabric.gpus:
            return []
        distances = view.routes.past_hosts(view.target)
        peers = np.flatnonzero(fabric.gpu_domain == fabric.gpu_domain[view.source])
        own = distances[view.source]
        near = distances[peers]
        on_its_leaf = (near >= 0) & (near < own) & (near <= _ONE_SWITCH)
        peers = peers[on_its_leaf | ((near >= 0) & (own < 0))]
        far = (fabric.gpu_node[peers] != fabric.gpu_node[view.source]).astype(np.int64)
        return [int(peer) for peer in peers[np.lexsort((peers, far, distances[peers]))]]
