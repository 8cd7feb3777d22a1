"""Sites and networks for the tests of ``sim.site.fabric``."""

from __future__ import annotations

from dataclasses import replace

from sim import catalog
from sim.site import HallPlan, RowPlan, Site, build_site
from sim.site.fabric.compile import compile_fabric, findings_of
from sim.site.fabric.graph import fabric_graph
from sim.site.fabric.types import Fabric, FabricPlan

#: A rack of each server that has one.
RACKS = {"dgx-h100": "dgx-h100-2", "dgx-b200": "dgx-b200-2", "tray": "gb200-nvl72"}


def site_of(nodes: int, node: str = "dgx-h100") -> Site:
    """A site of exactly so many servers: the last rack may be short of one."""
    rack = RACKS[node]
    per_rack = catalog.rack_type(rack).nodes
    site = build_site([HallPlan("hall", (RowPlan("row", ((rack, -(-nodes // per_rack)),)),))])
    gpus = int((site.gpu_node < nodes).sum())
    return replace(
        site,
        node_names=site.node_names[:nodes],
        node_rack=site.node_rack[:nodes],
        node_types=site.node_types[:nodes],
        gpu_types=site.gpu_types[:nodes],
        gpu_node=site.gpu_node[:gpus],
        gpu_domain=site.gpu_domain[:gpus],
    )


def plan_of(
    kind: str = "rail-optimised",
    *,
    radix: int | None = 64,
    over: float = 1.0,
    cables: int | None = None,
    nic: float | None = None,
) -> FabricPlan:
    """A built-in kind on switches like the QM9700, with another number of ports."""
    switch = catalog.switch("qm9700")
    return FabricPlan(kind, nic, over, radix, switch.port_bytes_per_s, switch.latency_s, cables)


def built(site: Site, plan: FabricPlan) -> Fabric:
    """The arrays of a built-in kind, in which nothing is wrong."""
    graph = fabric_graph(site, plan)
    assert findings_of(graph, site) == []
    return compile_fabric(graph, site)
