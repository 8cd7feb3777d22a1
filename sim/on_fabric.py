"""Times a collective that is alone on a fabric: its flows on their paths, at max-min fair rates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.kernels.flows import complete_flows
from sim.perf.collectives.flows import Plan
from sim.policies.paths.base import PathPolicy, PathView, Routes, choose_path
from sim.rng import KeyedBits
from sim.site.fabric.failures import NetworkState
from sim.site.fabric.types import FloatArray
from sim.site.types import IntArray


@dataclass(frozen=True)
class OnFabric:
    """A collective's time with nothing else on the fabric.

    Attributes:
        time_s: the later of the closed form and of ``latency_s`` + the last flow.
        flows_s: when the last flow is complete, from the start of the flows on.
        busiest_link: the link that carries bytes for the longest at its full capacity; -1: none.
        busiest_s: that long.
    """

    time_s: float
    flows_s: float
    busiest_link: int
    busiest_s: float


@dataclass(frozen=True)
class Routed:
    """Flows on their paths, as ``complete_flows`` takes them."""

    size_bytes: FloatArray  # [n]
    link_ptr: IntArray  # [n + 1]
    link_idx: IntArray


def route(plan: Plan, network: NetworkState, policy: PathPolicy, seed: int = 1) -> Routed:
    """The paths of a collective's flows, chosen one after the other.

    A policy that looks at loads sees each flow chosen before as if it sent at the rate at which the
    slowest link of the whole fabric is full: all flows start together, and none has a rate yet.

    Raises:
        PartitionError: nothing joins the ends of a flow.
    """
    routes, rng, state = Routes(network), KeyedBits(seed, "collective"), policy.new_state()
    capacity = network.capacity_bytes_per_s
    load = np.zeros(network.fabric.links)
    unit = float(capacity[capacity > 0.0].min()) if (capacity > 0.0).any() else 0.0
    largest = max((float(phase.size_bytes.max()) for phase in plan.phases), default=0.0)
    sizes: list[float] = []
    paths: list[tuple[int, ...]] = []
    pairs: dict[tuple[int, int], int] = {}
    for phase in plan.phases:
        for source, target, size in zip(
            phase.source.tolist(), phase.target.tolist(), phase.size_bytes.tolist(), strict=True
        ):
            pair = pairs.get((source, target), 0)
            pairs[source, target] = pair + 1
            view = PathView(routes, source, target, len(paths), pair, load)
            path = choose_path(policy, view, state, rng)
            load[list(path)] += unit * size / largest if largest else 0.0
            sizes.append(size)
            paths.append(path)
    ptr = np.zeros(len(paths) + 1, dtype=np.int64)
    np.cumsum([len(path) for path in paths], out=ptr[1:])
    links = np.array([link for path in paths for link in path], dtype=np.int64)
    return Routed(np.array(sizes), ptr, links)


def time_on_fabric(
    plan: Plan, network: NetworkState, policy: PathPolicy, seed: int = 1
) -> OnFabric:
    """When a collective is complete that has the fabric for itself.

    Its flows start together, after the latency of the closed form. The links' own latencies are not
    added: the fitted latency has the switches of the measured networks in it.

    Raises:
        PartitionError: nothing joins the ends of a flow.
    """
    routed = route(plan, network, policy, seed)
    capacity = network.capacity_bytes_per_s
    alive = np.where(capacity > 0.0, capacity, 1.0)  # no path crosses a dead link
    finish_s = complete_flows(
        np.zeros(len(routed.size_bytes)),
        routed.size_bytes,
        routed.link_ptr,
        routed.link_idx,
        alive,
    )
    flows_s = float(finish_s.max(initial=0.0))
    carried = np.bincount(
        routed.link_idx, np.repeat(routed.size_bytes, np.diff(routed.link_ptr)), len(alive)
    )
    busy_s = carried / alive
    busiest = int(busy_s.argmax()) if len(routed.link_idx) else -1
    return OnFabric(
        max(plan.alone.time_s, plan.alone.latency_s + flows_s),
        flows_s,
        busiest,
        float(busy_s[busiest]) if busiest >= 0 else 0.0,
    )
