"""The best placement of given pods: against trying everything, and between policies and bounds."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from sim.errors import RackplanError
from sim.place import optimal as program
from sim.place.arrivals import arrivals
from sim.place.bound import free_milli
from sim.place.cluster import Cluster
from sim.place.optimal import Optimal, optimal, refuse_rules
from sim.place.patterns import TooMany, every_pattern, pack
from sim.place.replay import replay
from sim.place.snapshot import snapshot
from sim.policies.base import policies
from tests.unit.place.lists import cluster, random_lists

NODES = "sn,cpu_milli,memory_mib,gpu,model\n"
PODS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"


def tiny(seed: int) -> tuple[str, str]:
    """Up to three small nodes and seven pods, some with parts of several GPUs."""
    rng = np.random.default_rng(seed)
    nodes, pods = NODES, PODS
    for i in range(rng.integers(1, 4)):
        gpus, model = int(rng.integers(i == 0, 4)), str(rng.choice(["T4", "G2"]))
        cpu, memory = rng.choice([4000, 8000]), rng.choice([8000, 16000])
        nodes += f"n{i},{cpu},{memory},{gpus},{model if gpus else ''}\n"
    for i in range(rng.integers(3, 8)):
        gpus = int(rng.choice([0, 1, 1, 1, 1, 2, 2]))
        milli = int(rng.choice([1000] if gpus == 0 else [300, 400, 500, 600, 700, 1000]))
        spec = str(rng.choice(["", "", "T4", "G2"]))
        cpu, memory = rng.choice([1000, 2000, 3000]), rng.choice([1000, 4000, 6000])
        pods += f"p{i},{cpu},{memory},{gpus},{milli if gpus else 0},{spec if gpus else ''}\n"
    return nodes, pods


def by_trying(found: Cluster, pods: np.ndarray) -> int:
    """Every pod nowhere, or on any GPUs of any node."""
    shapes, idle = found.shapes, found.idle
    start = tuple((int(n["cpu_left"]), int(n["mem_left"]), (1000,) * int(n["gpus"])) for n in idle)
    order = [int(found.shape[pod]) for pod in pods]

    @cache
    def most(at: int, state: tuple[tuple[int, int, tuple[int, ...]], ...]) -> int:
        if at == len(order):
            return 0
        s = order[at]
        pod = shapes[s]
        best = most(at + 1, state)
        for n, (cpu, memory, left) in enumerate(state):
            if not found.allowed[s, idle[n]["type"]] or cpu < pod["cpu"] or memory < pod["mem"]:
                continue
            for gpus in combinations(range(len(left)), int(pod["gpus"])):
                if any(left[gpu] < pod["gpu_milli"] for gpu in gpus):
                    continue
                after = list(left)
                for gpu in gpus:
                    after[gpu] -= int(pod["gpu_milli"])
                node = (cpu - int(pod["cpu"]), memory - int(pod["mem"]), tuple(sorted(after)))
                now = int(pod["request"]) + most(at + 1, (*state[:n], node, *state[n + 1 :]))
                best = max(best, now)
        return best

    return most(0, start)


def holds(found: Cluster, pods: np.ndarray, answer: Optimal) -> bool:
    """Whether the patterns fit, on so many nodes, and have places for what they allocate."""
    places = np.zeros(len(found.shapes), dtype=int)
    used = np.zeros(len(found.types), dtype=int)
    for kind, pattern, times in answer.patterns:
        node = found.idle[found.types[kind]]
        used[kind] += times
        assert pack(pattern, found.shapes, int(node["gpus"])) is not None
        for wish, there in (("cpu", "cpu_left"), ("mem", "mem_left")):
            assert sum(found.shapes[s][wish] * number for s, number in pattern) <= node[there]
        for s, number in pattern:
            assert found.allowed[s, kind]
            places[s] += number * times
    counts = np.bincount(found.shape[pods], minlength=len(found.shapes))
    fine = (used <= np.bincount(found.idle["type"], minlength=len(used))).all()
    allocated = int(np.minimum(places, counts) @ found.shapes["request"])
    return bool(fine) and allocated == answer.found_milli


@pytest.mark.parametrize("seed", range(60))
def test_it_is_what_trying_everything_finds(tmp_path: Path, seed: int) -> None:
    found = cluster(tmp_path, *tiny(seed))
    pods = np.arange(len(found.pods))
    answer = optimal(found, pods, 30.0)
    assert answer.proven
    assert answer.listed
    assert answer.found_milli == by_trying(found, pods)
    assert holds(found, pods, answer)


@pytest.mark.parametrize("seed", range(20))
def test_generated_patterns_bound_the_truth(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where there are too many to list: the truth is between what is found and the bound."""
    monkeypatch.setattr(program, "MOST_LISTED", 0)
    found = cluster(tmp_path, *tiny(seed))
    pods = np.arange(len(found.pods))
    answer, truth = optimal(found, pods, 30.0), by_trying(found, pods)
    counts = np.bincount(found.shape, minlength=len(found.shapes))
    assert answer.found_milli <= truth <= answer.bound_milli <= free_milli(found, counts) + 1e-6
    assert holds(found, pods, answer)
    assert not answer.proven or answer.found_milli == truth


@pytest.mark.parametrize("seed", [1, 2])
def test_no_policy_is_better_and_linear_programs_are_weaker(tmp_path: Path, seed: int) -> None:
    found = cluster(tmp_path, *random_lists(seed, nodes=12, pods=60))
    kinds = {kind: policies("placement")[kind] for kind in ("random", "best-fit", "fgd")}
    answer = snapshot(found, kinds, seed, 1.3, 6.0)
    pods = arrivals(found.pods, found.nodes.gpu_milli, 1.3, seed)
    counts = np.bincount(found.shape[pods], minlength=len(found.shapes))
    best = max(one["allocated_gpus"] for one in answer["policies"].values())
    assert best <= answer["found_gpus"] <= answer["bound_gpus"]
    assert answer["bound_gpus"] <= free_milli(found, counts) / 1000 + 1e-6
    run = replay(found, kinds["fgd"](), seed, 1.3, (1.3,))
    told = answer["policies"]["fgd"]
    assert told["allocated_gpus"] * 1000 == pytest.approx(run.allocated[-1] * found.nodes.gpu_milli)
    assert told["below_bound_gpus"] == pytest.approx(answer["bound_gpus"] - told["allocated_gpus"])
    assert answer["proven"] == (answer["found_gpus"] == answer["bound_gpus"])
    assert ("proven in the time" in answer["sentence"]) != answer["proven"]


def test_a_pod_of_two_parts_needs_two_gpus(tmp_path: Path) -> None:
    """Two GPUs: the first pod's parts are on both, so 500 of each are left for the others."""
    lines = PODS + "a,1,1,2,500,\nb,1,1,2,300,\nc,1,1,1,400,\n"
    found = cluster(tmp_path, NODES + "n,9000,9000,2,T4\n", lines)
    answer = optimal(found, np.arange(3), 10.0)
    assert (answer.found_milli, answer.proven) == (1600, True)  # a and b; c would need 400 of 200
    one = cluster(tmp_path, NODES + "n,9000,9000,1,T4\n", lines)
    assert optimal(one, np.arange(3), 10.0).found_milli == 400


def test_known_patterns_are_kept_where_there_is_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "MOST_LISTED", 0)
    found = cluster(tmp_path, *random_lists(3, nodes=12, pods=60))
    run = replay(found, policies("placement")["fgd"](), 3, 1.3, (1.3,))
    answer = optimal(found, run.pods, 1e-3, run.node)
    assert answer.found_milli >= run.allocated[-1] * found.nodes.gpu_milli - 1e-6
    assert holds(found, run.pods, answer)


def test_patterns_of_a_node_are_counted_by_hand(tmp_path: Path) -> None:
    """Of 600s one, of 400s two fit on one GPU: 400, 400 400, 400 600, 600."""
    lines = PODS + "a,1,1,1,400,\nb,1,1,1,400,\nc,1,1,1,600,\nd,1,1,1,600,\n"
    found = cluster(tmp_path, NODES + "n,9000,9000,1,T4\n", lines)
    every = every_pattern(found.idle[0], found.shapes, [2, 2], 100)
    assert sorted(every) == [((0, 1),), ((0, 1), (1, 1)), ((0, 2),), ((1, 1),)]
    with pytest.raises(TooMany):
        every_pattern(found.idle[0], found.shapes, [2, 2], 3)


def test_rules_that_it_does_not_know_are_refused(tmp_path: Path) -> None:
    found = cluster(tmp_path)
    with pytest.raises(RackplanError, match="--optimal: the integer program does not know --quota"):
        refuse_rules(found, {"team": 4.0})
    lines = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,tenant,isolation\np,1,1,1,1000,a,node\n"
    with pytest.raises(RackplanError, match="does not know isolation"):
        refuse_rules(cluster(tmp_path, pods=lines), {})
