"""Flows in SimGrid, run by any Python that can import ``simgrid``; needs nothing else.

Standard input: JSON with ``start_s``, ``size_bytes``, ``paths`` and, one for each link,
``capacity_bytes_per_s``. Standard output: JSON with ``cpu_s``, of the simulation alone, and
``finish_s``.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import simgrid

#: Fluid max-min sharing and nothing else: no latency, no factors, no window of TCP.
SETTINGS = (
    "network/model:CM02",
    "network/TCP-gamma:0",
    "network/latency-factor:1",
    "network/bandwidth-factor:1",
    "network/crosstraffic:0",
    # Events a nanosecond apart are one to SimGrid otherwise.
    "precision/timing:1e-15",
)


def simulate(given: dict[str, Any]) -> dict[str, Any]:
    """Completion times and CPU seconds. Each flow has two hosts in a zone of their own."""
    settings = [f"--cfg={setting}" for setting in SETTINGS]
    engine = simgrid.Engine(["flows", *settings, "--log=root.thresh:error"])
    root = engine.netzone_root
    links = [
        root.add_link(f"link{i}", [capacity])
        for i, capacity in enumerate(given["capacity_bytes_per_s"])
    ]
    ends = []
    for i, path in enumerate(given["paths"]):
        zone = root.add_netzone_full(f"zone{i}")
        hosts = zone.add_host(f"from{i}", 1e9), zone.add_host(f"to{i}", 1e9)
        route = [simgrid.LinkInRoute(links[link]) for link in path]
        zone.add_route(*hosts, route, False)
        zone.seal()
        ends.append(hosts)
    root.seal()
    transfers: dict[int, Any] = {}

    def send() -> None:
        waiting = simgrid.ActivitySet()
        start = given["start_s"]
        for i in sorted(range(len(start)), key=start.__getitem__):
            simgrid.this_actor.sleep_until(start[i])
            transfers[i] = simgrid.Comm.sendto_async(*ends[i], round(given["size_bytes"][i]))
            waiting.push(transfers[i])
        waiting.wait_all()

    engine.add_actor("sender", ends[0][0], send)
    begin = time.process_time()
    engine.run()
    cpu_s = time.process_time() - begin
    finish_s = [transfers[i].finish_time for i in range(len(ends))]
    return {"cpu_s": cpu_s, "finish_s": finish_s}


if __name__ == "__main__":
    print(json.dumps(simulate(json.load(sys.stdin))))
