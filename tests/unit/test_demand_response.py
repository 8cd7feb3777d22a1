"""scenarios/demand-response.yaml: a quarter less for three hours, and what it takes."""

from __future__ import annotations

import re

import numpy as np
import pytest

import sim
from sim.paths import share
from sim.results.result import RunResult

HOUR_S, PART_S = 3600.0, 300.0
#: A tenth of the replicas can wait.
TENTH = (
    "pools[low].replicas=4", "pools[high].replicas=36",
    "workload[low].rate=0.4 /s", "workload[high].rate=3.6 /s",
)  # fmt: skip


def row(*sets: str, seed: int = 1) -> RunResult:
    scenario = sim.load_scenario(share("scenarios") / "demand-response.yaml", sets=sets)
    return sim.run_scenario(scenario, seed=seed)


def cuts(result: RunResult) -> np.ndarray:
    """[36] by how much the true draw of each five minutes was below that of the hour before."""
    nodes = result.tables["power_nodes"].to_pylist()
    ups = next(node["node"] for node in nodes if node["name"] == "row-ups")
    table = result.tables["power"].to_pandas()
    table = table[table["node"] == ups]
    starts, drawn_w = table["t_s"].to_numpy(), table["out_mw"].to_numpy() / 1000
    energy_j = np.concatenate([[0.0], np.cumsum(drawn_w[:-1] * np.diff(starts))])

    def upto(time_s: np.ndarray) -> np.ndarray:
        at = np.searchsorted(starts, time_s, side="right") - 1
        return energy_j[at] + drawn_w[at] * (time_s - starts[at])

    base = np.diff(upto(np.array([12.0, 13.0]) * HOUR_S))[0] / HOUR_S
    parts = np.diff(upto(13 * HOUR_S + PART_S * np.arange(37))) / PART_S
    return 1.0 - parts / base


def said(result: RunResult, kind: str) -> list[str]:
    return [e["detail"] for e in result.tables["events"].to_pylist() if e["kind"] == kind]


@pytest.mark.parametrize("seed", [1, 2])
def test_half_of_the_work_that_waits_unloaded_is_enough(seed: int) -> None:
    result = row(seed=seed)
    shares = cuts(result)
    assert shares.mean() > 0.25
    assert all(shares[1:] > 0.25)
    # What the readings say is what was.
    (told,) = said(result, "demand-response-ended")
    assert told.endswith("35 of 36 of these within the target")
    assert float(told.split()[1]) == pytest.approx(100 * shares.mean(), abs=0.3)
    assert said(result, "not-reachable") == []
    free = row("policies.power={kind: none}", seed=seed)
    (high, before) = (r.metrics["high.e2e_p50"].value for r in (result, free))
    assert 1.0 <= high / before < 1.01
    for metrics in (result.metrics, free.metrics):
        assert metrics["low.goodput_fraction"].value == 1.0
        assert metrics["high.goodput_fraction"].value > 0.99
    assert result.metrics["low.e2e_p99"].value > 3 * HOUR_S
    # Work that was put off makes no peak that the row was not built for.
    assert result.metrics["power[row-ups].peak_w"].value < 206e3


@pytest.mark.parametrize("sets", [("policies.power.parks=false",), TENTH])
def test_too_little_that_can_wait_is_said_with_what_would_do(sets: tuple[str, ...]) -> None:
    result = row(*sets)
    assert min(cuts(result)[12:]) < 0.25
    (told,) = said(result, "not-reachable")
    assert told.startswith("not reachable with objectives held")
    found = re.search(r"about (\d+) % of the replicas would have to wait", told)
    assert found is not None
    # Half of them, unloaded, are enough; half of them, loaded, are just not.
    assert 40 <= int(found[1]) <= 60
    assert any("not reachable" in warning for warning in result.manifest["warnings"])
