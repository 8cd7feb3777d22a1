"""Bounds: exact where they can be worked out by hand, below every policy everywhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sim.place.arrivals import arrivals
from sim.place.bound import bound_of
from sim.place.replay import replay
from sim.policies.base import policies
from sim.policies.scoring import scores
from tests.unit.place.lists import cluster, random_lists

HEAD = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"
ONE = "sn,cpu_milli,memory_mib,gpu,model\nn,100000,100000,2,G2\n"


def bound(folder: Path, nodes: str, pods: list[str]):
    lines = "".join(f"p{i},{pod}\n" for i, pod in enumerate(pods))
    found = cluster(folder, nodes, HEAD + lines)
    return bound_of(found, np.arange(len(pods)))


def test_parts_that_fill_no_gpu(tmp_path: Path) -> None:
    """Of 600s one fits on each of two GPUs: 800 of 2000 stay, which "free" cannot avoid either."""
    found = bound(tmp_path, ONE, ["100,1,1,600,"] * 4)
    assert found.free == pytest.approx(0.4)
    assert found.no_drop == pytest.approx(0.4)
    assert found.alpha == pytest.approx(0.6 + 0.3, abs=0.001)  # the third comes at 0.9


def test_refusing_a_pod_can_pay(tmp_path: Path) -> None:
    """Free to refuse the 600s, all is filled by 500s; who may not, leaves 800."""
    found = bound(tmp_path, ONE, [*["100,1,1,600,"] * 2, *["100,1,1,500,"] * 4])
    assert found.free == pytest.approx(0.0, abs=1e-9)
    assert found.alpha == pytest.approx(0.85, abs=0.001)
    assert found.no_drop == pytest.approx(0.4)


def test_cpu_and_types_bind(tmp_path: Path) -> None:
    nodes = ONE + "m,100000,100000,2,T4\n"
    found = bound(tmp_path, nodes, ["50000,1,1,1000,G2"] * 4)
    assert found.free == pytest.approx(0.5)  # of G2 alone
    found = bound(tmp_path, nodes, ["80000,1,1,1000,"] * 4)
    assert found.free == pytest.approx(1.0 - 2.5 / 4)  # CPU is summed, pods are taken in fractions


@pytest.mark.parametrize("seed", [1, 2])
def test_no_policy_is_better_than_free(tmp_path: Path, seed: int) -> None:
    found = cluster(tmp_path, *random_lists(seed))
    best = bound_of(found, arrivals(found.pods, found.nodes.gpu_milli, 1.3, seed))
    assert best.free <= best.no_drop + 1e-9
    for cls in policies("placement").values():
        if scores(cls):
            outcome = replay(found, cls(), seed, 1.3, (1.3,))
            assert 1.0 - outcome.allocated[-1] >= best.free - 1e-9
