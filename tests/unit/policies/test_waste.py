"""CPU that nobody would fill: how much it is, what it costs, and where pods go because of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sim.place.cluster import Cluster
from sim.place.replay import replay
from sim.policies.placement.absorb import Absorb
from sim.policies.placement.waste import STEPS, step_of, usable, waste_of
from sim.policies.placement.wishes import Wishes
from sim.policies.scoring import Fleet
from tests.unit.place.lists import cluster

#: Four nodes of 40 cores and one GPU.
NODES = "sn,cpu_milli,memory_mib,gpu,model\n" + "".join(f"n{i},40000,9,1,G\n" for i in range(4))
HEADER = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n"


def usable_of(sizes: list[int], asked: list[float], step: int) -> np.ndarray:
    return usable(np.array(sizes), np.array(asked), step)


def test_pods_of_one_size_fill_whole_multiples_of_it() -> None:
    found = usable_of([3000], [7.0], 1000)
    assert found[[0, 1, 2, 3, 5, 6, 500]].tolist() == [0, 0, 0, 3000, 3000, 6000, 498000]


def test_pods_of_two_sizes_fill_what_random_ones_would() -> None:
    found = usable_of([3000, 5000], [3.0, 1.0], 1000)
    # Of 5: three times in four 3 and no more, else 5. Of 8: 3 and what 5 takes, or 5 and 3.
    assert found[5] == pytest.approx(0.75 * 3000 + 0.25 * 5000)
    assert found[8] == pytest.approx(0.75 * (3000 + found[5]) + 0.25 * 8000)


def test_sizes_between_and_below_steps_are_not_rounded_up() -> None:
    assert usable_of([100], [1.0], 1000)[10] == pytest.approx(10000, abs=1)
    assert usable_of([2500], [1.0], 1000)[400] == pytest.approx(400000, rel=0.01)
    assert usable_of([2500, 0], [0.0, 5.0], 1000).tolist() == [0.0] * (STEPS + 1)


def wasted(found: Cluster) -> np.ndarray:
    fleet = Fleet(found.idle, found.types, found.shapes, found.allowed, found.typical, 1)
    wishes = Wishes(fleet, 500.0, 2.0)
    return waste_of(wishes, wishes.before, found.idle, step_of(found.idle))


def test_waste_costs_what_pods_with_gpus_would_fill_if_cpu_runs_out(tmp_path: Path) -> None:
    """20 cores a GPU, and for each GPU pod three of 15 cores: 65 are wanted where 40 are."""
    pods = "g,20000,1,1,1000\n" + "".join(f"c{i},15000,1,0,0\n" for i in range(3))
    waste, step = wasted(cluster(tmp_path, NODES, HEADER + pods))[0], 79
    cores = [10, 15.05, 29, 30.1]
    left = [10, 0.05, 14, 0.1]
    found = [waste[int(1000 * c) // step] / 50 for c in cores]  # 1000 thousandths for 20 cores
    assert found == pytest.approx(left, abs=0.6)


def test_waste_costs_nothing_while_there_is_cpu_for_all(tmp_path: Path) -> None:
    pods = "g,8000,1,1,1000\nc,2000,1,0,0\n"
    assert not wasted(cluster(tmp_path, NODES, HEADER + pods)).any()
    assert not wasted(
        cluster(tmp_path, NODES, HEADER + "c,50000,1,0,0\n")
    ).any()  # no GPU: no price


def first_places(folder: Path, cpu_pods: int) -> set[str]:
    """Where the first of so many pods of 6 cores goes under eight seeds."""
    nodes = "sn,cpu_milli,memory_mib,gpu,model\ng,8000,90,1,G\nnine,9000,90,0,\nsix,6000,90,0,\n"
    pods = HEADER + "".join(f"c{i},6000,1,0,0\n" for i in range(cpu_pods)) + "g,8000,1,1,1000\n"
    found = cluster(folder, nodes, pods)
    runs = [replay(found, Absorb(), seed, None, (None,)) for seed in range(8)]
    return {found.nodes.names[run.node[0]] for run in runs}


def test_where_cpu_runs_short_pods_leave_no_remains(tmp_path: Path) -> None:
    assert first_places(tmp_path / "short", 6) == {"six"}


def test_without_the_waste_they_go_by_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sim.policies.placement.learning.waste_of", lambda wishes, asked, nodes, step: 0.0
    )
    assert first_places(tmp_path / "free", 6) == {"six", "nine"}
