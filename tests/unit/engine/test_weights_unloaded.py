"""A replica that demand response unloaded loads its weights before it admits again."""

from __future__ import annotations

import pytest

import sim
from sim.paths import share
from sim.results.result import RunResult

#: For ten seconds a quarter of a pool, five replicas, is unloaded; a server's disks give 10 GB/s.
SETS = (
    "duration=80 s", "warm_up=20 s", "policies.power.at=30 s", "policies.power.lasts=10 s",
    "storage={local: 10 GB/s}", "pools[low].weights={from: local, boot: 5 s}",
    "workload[low].rate=20 /s",
)  # fmt: skip
#: From the command on; after it the boot.
COMMAND_S, BOOT_S = 1.0, 5.0
PCIE_S = 0.4e-6


def row(engine: str, *sets: str) -> RunResult:
    file = share("scenarios") / "demand-response.yaml"
    return sim.run_scenario(sim.load_scenario(file, sets=[*SETS, *sets]), engine=engine)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_it_admits_when_its_weights_are_there(engine: str) -> None:
    result = row(engine)
    rows = result.tables["transfers"].to_pylist()
    idle = {one["target"] for one in rows}
    assert idle <= {15, 16, 17, 18, 19}
    assert idle
    for one in rows:
        assert one["ready_s"] == 40.0 + COMMAND_S + BOOT_S
        took_s = one["size_bytes"] / 10e9 + PCIE_S
        assert one["end_s"] == pytest.approx(one["ready_s"] + took_s, abs=1e-9)
    loaded_s = rows[0]["end_s"]
    waited = [
        request["admitted_s"]
        for request in result.tables["requests"].to_pylist()
        if request["replica"] in idle and 41.0 <= (request["admitted_s"] or 0.0) < loaded_s
    ]
    assert waited == []
    after = [
        request["admitted_s"]
        for request in result.tables["requests"].to_pylist()
        if request["replica"] in idle and (request["admitted_s"] or 0.0) >= loaded_s
    ]
    assert min(after) == pytest.approx(loaded_s, abs=1e-9)
