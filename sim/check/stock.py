"""What a site has of each GPU type, and what holds a tensor-parallel group together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sim.catalog.types import Gpu, NodeType
from sim.perf.collectives.timing import Between
from sim.site.types import Site


@dataclass(frozen=True)
class GpuStock:
    """What a site has of one GPU type."""

    gpu: Gpu
    node: NodeType
    domains: tuple[int, ...]  # GPUs of each NVLink domain

    @property
    def count(self) -> int:
        """All GPUs of this type."""
        return sum(self.domains)

    @property
    def width(self) -> int:
        """GPUs of its largest NVLink domains."""
        return max(self.domains)

    def split(self, size: int) -> int:
        """NVLink domains that a group of ``size`` GPUs takes: one, or several whole ones.

        0: it comes out in neither, or nothing would join the domains.
        """
        if size <= self.width:
            return 1
        return 0 if size % self.width or not self.node.nics else size // self.width

    def groups(self, size: int) -> int:
        """How many groups of ``size`` GPUs there are room for, each as ``split`` has it."""
        if size <= self.width:
            return sum(domain // size for domain in self.domains)
        split = self.split(size)
        return self.domains.count(self.width) // split if split else 0

    def between(self) -> Between:
        """What joins its NVLink domains: the NICs of a domain's servers."""
        node = self.node
        rate = self.width * node.nics * node.nic_bytes_per_s / node.gpus
        nics = min(self.width, max(1, self.width * node.nics // node.gpus))
        return Between(nics, rate / nics)


def stock(site: Site) -> dict[str, GpuStock]:
    """GPU type → what the site has of it, in the order of the site."""
    sizes = np.bincount(site.gpu_domain)
    node_of_domain = {int(d): int(n) for d, n in zip(site.gpu_domain, site.gpu_node, strict=True)}
    first: dict[str, int] = {}  # GPU type → the first server that has it
    domains: dict[str, list[int]] = {}
    for domain, size in enumerate(sizes.tolist()):
        node = node_of_domain[domain]
        name = site.gpu_types[node].name
        first.setdefault(name, node)
        domains.setdefault(name, []).append(size)
    return {
        name: GpuStock(site.gpu_types[node], site.node_types[node], tuple(domains[name]))
        for name, node in first.items()
    }


def no_split(size: int, have: Mapping[str, GpuStock]) -> str:
    """Why no GPU type has a group of so many, and what would be right."""
    widest = max(have.values(), key=lambda kind: kind.width)
    if not size % widest.width:
        return (
            f"{size} GPUs are {size // widest.width} NVLink domains of {widest.width}, and nothing "
            f"joins them: {widest.node.name} has no NICs"
        )
    return (
        f"{size} GPUs must share one NVLink domain, of which the largest has {widest.width}, or "
        f"be several whole ones: write a multiple of {widest.width}, or split the layers with "
        "pipeline_parallel instead"
    )
