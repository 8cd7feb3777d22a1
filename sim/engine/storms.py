"""Loads that overlap in time, and which link bound each of them: rows of ``transfers``.

A storm lasts while any replica loads. Of the links that a load came over, the one that bound it is
that which needs longest for what it carried to all loads of the storm: bytes over capacity. No load
of the storm could have been over sooner than that after its beginning, whatever shares what.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sim.engine.alone import durations_s
from sim.engine.load import Load
from sim.engine.network import Flow, Network
from sim.engine.recorder import Recorder


class Storms:
    """What loads have carried over which link since the network was last without any."""

    def __init__(self, network: Network, recorder: Recorder) -> None:
        self._network, self._recorder = network, recorder
        self._under_way = 0
        self._bytes: dict[int, float] = {}  # by link
        self._ended: list[tuple[Load, float | None, str]] = []

    def begin(self, load: Load) -> None:
        """A replica has booted and wants its weights."""
        self._under_way += 1

    def carried(self, load: Load, flow: Flow, size_bytes: float) -> None:
        """A share has arrived over the path that its flow has now."""
        load.links.update(flow.path)
        for link in flow.path:
            self._bytes[link] = self._bytes.get(link, 0.0) + size_bytes

    def end(self, load: Load, time_s: float | None, outcome: str) -> None:
        """A load is over; with the last one the storm is."""
        self._ended.append((load, time_s, outcome))
        self._under_way -= 1
        if not self._under_way:
            self._write()

    def alone(self, flows: Mapping[int, Flow]) -> float:
        """How long flows that start together take on a network without any others, s."""
        sizes = np.array([flow.size_bytes for flow in flows.values()])
        paths = [flow.path for flow in flows.values()]
        done = durations_s(paths, sizes, self._network.capacity_bytes_per_s)
        return float((done + np.array([flow.latency_s for flow in flows.values()])).max())

    def _write(self) -> None:
        """A row for each load of the storm, in the order of their ends."""
        capacity, fabric = self._network.fabric.capacity_bytes_per_s, self._network.fabric
        needs = {link: size / float(capacity[link]) for link, size in self._bytes.items()}
        for load, end_s, outcome in self._ended:
            bound = min(load.links, key=lambda link: (-needs[link], link), default=None)
            replicas = list(load.sources.values())
            self._recorder.weights(
                replicas[0] if len(replicas) == 1 else None,
                load.replica, load.size_bytes, load.ready_s, load.start_s, end_s, load.alone_s,
                outcome, ", ".join(load.sources) or None,
                None if bound is None else fabric.link_name(bound),
                None if bound is None else needs[bound],
            )  # fmt: skip
        self._bytes.clear()
        self._ended.clear()
