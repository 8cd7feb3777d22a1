"""A run by hand whose flows crossed a network: what links did, and the tables of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sim.kernels.flow_network import FlowNetwork
from sim.kernels.flow_readings import LinkMeters
from sim.policies.paths.base import PathView, Routes, choose_path
from sim.policies.paths.ecmp import Ecmp
from sim.results.freeze import freeze
from sim.results.links import link_tables
from sim.results.memory import MemorySink
from sim.results.result import RunResult
from sim.results.sink import Sink
from sim.rng import KeyedBits
from sim.site.fabric.failures import NetworkState
from sim.site.fabric.types import Fabric
from tests.unit.results.by_hand import fill, parts, requests, summariser
from tests.unit.site.fabrics import built, plan_of, site_of

WINDOW = (60.0, 600.0)


def small_fabric() -> Fabric:
    """Four servers on leaves with half as much above them as below."""
    return built(site_of(4), plan_of("leaf-spine", radix=24, over=2.0))


def traffic(fabric: Fabric, flows: int, lost: str = "") -> LinkMeters:
    """Transfers of 8 GB between GPUs of different servers in the window; a part may be lost."""
    network = NetworkState(fabric)
    routes = Routes(network)
    links = FlowNetwork(fabric.capacity_bytes_per_s, metered=True)
    links.open_window(WINDOW[0])
    if lost:
        for link in network.fail(lost):
            links.set_capacity(WINDOW[0], int(link), 0.0)
    rng = np.random.default_rng(3)
    load = np.zeros(fabric.links)
    policy, keyed = Ecmp(), KeyedBits(1, "paths")
    for number in range(flows):
        now_s = WINDOW[0] + number // 20
        while links.next_completion_s() <= now_s:
            links.pop_metered(links.next_completion_s())
        source, target = rng.choice(fabric.gpus // 8, 2, replace=False) * 8 + rng.integers(0, 8, 2)
        view = PathView(routes, int(source), int(target), number, number, load)
        path = choose_path(policy, view, policy.new_state(), keyed)
        links.add(now_s, 8e9, path)
    while links.next_completion_s() < math.inf:
        links.pop_metered(links.next_completion_s())
    return links.close_window(WINDOW[1])


def run_over(tables: dict[str, Any], inner: Sink | None = None, **changes: Any) -> RunResult:
    """A finished run with tables of links and a stated network."""
    content = parts(**{"resolved": {"fabric": {"kind": "leaf-spine"}}, **changes})
    sink = summariser(MemorySink() if inner is None else inner)
    fill(sink, requests(200), **tables)
    return freeze(sink, content)


def run_with(fabric: Fabric, meters: LinkMeters, inner: Sink | None = None) -> RunResult:
    """The same of meters."""
    return run_over(link_tables(fabric, meters), inner)
