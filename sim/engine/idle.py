"""What the GPUs of a site draw before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

from sim.engine.world import PlacedReplica
from sim.site.types import Site


def parked_mw(site: Site, replica: PlacedReplica) -> int:
    """What each GPU of a replica draws without its LLM; 0 of one that has none."""
    if not replica.servers:
        return 0
    return round(site.gpu_types[replica.servers[0][0]].parked_w * 1000)


def idle_gpu_mw(site: Site, replicas: Sequence[PlacedReplica]) -> list[int]:
    """[servers] mW, sum over a server's GPUs: those of replicas idle, every other one parked."""
    parked = [round(gpu.parked_w * 1000) for gpu in site.gpu_types]
    draw = [each * node.gpus for each, node in zip(parked, site.node_types, strict=True)]
    for placed in replicas:
        for server, gpus in placed.servers:
            draw[server] += gpus * (placed.model.power[0].idle_mw - parked[server])
    return draw
