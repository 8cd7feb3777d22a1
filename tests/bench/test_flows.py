"""What flows on shared links cost: the recorded runs, alone and on SimPy's clock."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simpy

from sim.engine.shared_links import SharedLinks
from sim.kernels.flow_network import FlowNetwork
from sim.kernels.flow_reference import complete_simply
from sim.kernels.flows import complete_checked, complete_flows
from tests.bench.figures import Figures, cpu_s
from tests.unit.kernels.test_flows import NAMES, RECORDED, recording

#: Least times as fast as a full solve at every event, where the region of a change is small.
LEAST_RATIO = {"fat_tree_1024_10000_load0.3": 40.0, "storm_weights": 3.0}
#: Least flows per CPU second with arrivals and completions as SimPy's events.
LEAST_UNDER_SIMPY = 30_000.0
#: Most times the CPU time that meters may take, with an event at a time and much in flight.
MOST_METERED = 2.5
#: Least times as fast as SimGrid.
LEAST_OVER_SIMGRID = 25.0


def arrays(run: Any) -> tuple[Any, ...]:
    """A recording in the types that nothing converts."""
    return (
        run["start_s"].astype(np.float64),
        run["size_bytes"].astype(np.float64),
        run["link_ptr"].astype(np.int64),
        run["link_idx"].astype(np.int64),
        np.full(int(run["n_links"]), float(run["capacity_bytes_per_s"])),
    )


def repeated(work: Callable[[], object], repeats: int) -> float:
    """CPU seconds of work done once; the first time compiles."""
    work()
    return cpu_s(work, repeats)


@pytest.mark.bench
@pytest.mark.parametrize("name", RECORDED)
def test_flows_of_a_recording(shared_data: Path, figures: Figures, name: str) -> None:
    """Flows per CPU second, arrays and checks included, and the ratio to full solves."""
    run = recording(shared_data, name)
    given = arrays(run)
    start, size, ptr, idx, capacity = given
    order, finish = np.argsort(start, kind="stable"), start.copy()
    count = len(start)
    inputs = [run[key] for key in NAMES]
    ours = repeated(lambda: complete_flows(*inputs), 15)
    afresh = repeated(lambda: complete_checked(*given, afresh=True), 2)
    # The plain reference is slow where much is in flight: once, and it is compiled before.
    complete_simply(order[:9], start, size, ptr, idx, capacity, finish)
    simply = cpu_s(lambda: complete_simply(order, start, size, ptr, idx, capacity, finish), 1)
    np.testing.assert_allclose(complete_checked(*given, afresh=True), run["finish_s"], rtol=1e-9)
    np.testing.assert_allclose(complete_flows(*inputs), run["finish_s"], rtol=1e-9)
    label = f"flows/{name}"
    figures.add(label, count / ours, "flows/CPU s")
    ratio = figures.add(f"{label}, every rate anew at every event", afresh / ours, "x the CPU time")
    figures.add(f"{label}, plain reference", simply / ours, "x the CPU time")
    assert ratio >= LEAST_RATIO.get(name, 0.0)


@pytest.mark.bench
@pytest.mark.parametrize("name", ["fat_tree_1024_10000_load0.3", "storm_weights"])
def test_flows_under_simpy(shared_data: Path, figures: Figures, name: str) -> None:
    """The same flows, each a process that waits for its start and then for its completion."""
    start, size, ptr, idx, capacity = arrays(recording(shared_data, name))
    paths = [idx[ptr[i] : ptr[i + 1]].tolist() for i in range(len(start))]
    starts, sizes = start.tolist(), size.tolist()
    finish = [math.nan] * len(start)

    def send(env: Any, shared: SharedLinks, i: int) -> Generator[Any, Any, None]:
        yield env.timeout(starts[i])
        finish[i] = yield shared.transfer(sizes[i], paths[i])

    def simulate() -> None:
        env = simpy.Environment()
        shared = SharedLinks(env, FlowNetwork(capacity))
        for i in range(len(starts)):
            env.process(send(env, shared, i))
        env.run()

    speed = len(starts) / repeated(simulate, 5)
    figures.add(f"flows/{name}, SimPy's events", speed, "flows/CPU s")
    np.testing.assert_allclose(finish, complete_checked(start, size, ptr, idx, capacity), rtol=1e-9)
    if name.startswith("fat_tree"):
        assert speed >= LEAST_UNDER_SIMPY


@pytest.mark.bench
@pytest.mark.parametrize("name", RECORDED)
def test_flows_with_meters(shared_data: Path, figures: Figures, name: str) -> None:
    """The same flows one event at a time from Python, without and with meters of all links."""
    start, size, ptr, idx, capacity = arrays(recording(shared_data, name))
    paths = [idx[ptr[i] : ptr[i + 1]] for i in range(len(start))]
    order, starts, sizes = np.argsort(start, kind="stable").tolist(), start.tolist(), size.tolist()

    def drive(metered: bool) -> float:
        network = FlowNetwork(capacity, metered=metered)
        pop = network.pop_metered if metered else network.pop
        if metered:
            network.open_window(0.0)
        end_s = 0.0
        for i in order:
            while (next_s := network.next_completion_s()) <= starts[i]:
                pop(next_s)
            network.add(starts[i], sizes[i], paths[i])
        while (next_s := network.next_completion_s()) < math.inf:
            pop(next_s)
            end_s = next_s
        return float(network.close_window(end_s).bytes.sum()) if metered else 0.0

    plain, metered = (repeated(partial(drive, on), 5) for on in (False, True))
    figures.add(f"flows/{name}, step by step", len(start) / plain, "flows/CPU s")
    ratio = figures.add(f"flows/{name}, with meters", metered / plain, "x the CPU time")
    assert drive(True) == pytest.approx(float((size * np.diff(ptr)).sum()), rel=1e-9)
    if name == "fat_tree_1024_10000_load0.3":
        assert ratio <= MOST_METERED


# ---- against SimGrid -----------------------------------------------------------------------


def python_with_simgrid() -> str:
    """This Python, or the system's, whichever imports ``simgrid``; a skip if neither does."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            found = subprocess.run(
                [python, "-c", "import simgrid"], capture_output=True, check=False
            )
        except OSError:
            continue
        if found.returncode == 0:
            return python
    pytest.skip("needs the Python module simgrid: PyPI simgrid, or Debian python3-simgrid")


@pytest.mark.bench
@pytest.mark.parametrize("name", RECORDED)
def test_flows_in_simgrid(shared_data: Path, figures: Figures, name: str) -> None:
    """The same flows in SimGrid, whose platform and start are not in its time."""
    python = python_with_simgrid()
    run = recording(shared_data, name)
    start, size, ptr, idx, capacity = arrays(run)
    given = {
        "start_s": start.tolist(),
        "size_bytes": size.tolist(),
        "paths": [idx[ptr[i] : ptr[i + 1]].tolist() for i in range(len(start))],
        "capacity_bytes_per_s": capacity.tolist(),
    }
    script = Path(__file__).with_name("simgrid_flows.py")
    done = subprocess.run(
        [python, str(script)], input=json.dumps(given), text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout.splitlines()[-1])
    inputs = [run[key] for key in NAMES]
    complete_flows(*inputs)
    ours = cpu_s(lambda: complete_flows(*inputs), 15)
    np.testing.assert_allclose(complete_flows(*inputs), theirs["finish_s"], rtol=1e-9)
    figures.add(f"flows/{name}, SimGrid", len(start) / theirs["cpu_s"], "flows/CPU s")
    ratio = figures.add(f"flows/{name}, SimGrid's time", theirs["cpu_s"] / ours, "x the CPU time")
    assert ratio >= LEAST_OVER_SIMGRID
