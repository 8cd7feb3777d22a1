"""The replay against one written plainly, and what must hold whatever the policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.errors import RackplanError
from sim.kernels.node_state import fits, take
from sim.kernels.place_by_value import pair
from sim.place.arrivals import arrivals
from sim.place.cluster import Cluster
from sim.place.replay import replay
from sim.place.report import fragmentation_milli
from sim.place.rules import REASONS
from sim.policies.base import policies
from sim.policies.placement.absorb import Absorb
from sim.policies.placement.fgd import fragmentation, typical_of
from sim.policies.scoring import Fleet, Refresh, Seen, scores
from sim.rng import generator
from tests.unit.place.lists import cluster, random_lists

SCORING = [kind for kind, cls in policies("placement").items() if scores(cls)]
#: Small, so that the plain replay need not value thousands of offers.
SMALL = {"absorb": Absorb(streams=3, offers=5, refresh_every=20)}


def made(kind: str) -> Any:
    return SMALL.get(kind) or policies("placement")[kind]()


class Plain:
    """A replay that scores every node at every arrival, in plain Python, nothing kept."""

    def __init__(self, found: Cluster, policy: Any, seed: int) -> None:
        self.found, self.policy = found, policy
        self.nodes = found.idle.copy().view(np.recarray)
        self.rank = generator(seed, "place/ranks").permutation(len(self.nodes))
        fleet = Fleet(found.idle, found.types, found.shapes, found.allowed, found.typical, seed)
        self.memory = policy.prepare(fleet) if hasattr(policy, "prepare") else 0
        self.known = self.memory.known if hasattr(self.memory, "refresh") else self.memory

    def worth(self, node: Any) -> float:
        state = np.array([node]).view(np.recarray)
        state["gpu_left"] = -np.sort(-state["gpu_left"])
        price = getattr(self.policy, "price", lambda node, known: 0.0)
        return self.policy.value(state[0], self.known) + price(state[0], self.known)

    def choice(self, node: Any, pod: Any) -> tuple[float, int]:
        if hasattr(self.policy, "score"):
            result = self.policy.score(node, pod, self.known)
            return result if isinstance(result, tuple) else (result, -1)
        grade = getattr(self.policy, "grade", lambda gain, known: gain)
        best: tuple[float, int] = (-np.inf, -1)
        options = range(node.gpus) if pod.kind == 1 else [-1]
        for gpu in options:
            if gpu >= 0 and node.gpu_left[gpu] < pod.gpu_milli:
                continue
            after = np.array([node]).view(np.recarray)
            take(after[0], pod, gpu)
            gain = grade(self.worth(after[0]) - self.worth(node), self.known)
            if gain > best[0]:
                best = (gain, gpu)
        return best

    def run(self, order: np.ndarray) -> list[int]:
        placed = []
        for t, pod_index in enumerate(order.tolist()):
            shape = int(self.found.shape[pod_index])
            pods = self.found.shapes[[shape]].view(np.recarray)
            pods["arrival"] = t
            pod = pods[0]
            found = np.full(len(self.nodes), -np.inf)
            gpus = np.full(len(self.nodes), -1)
            for n, node in enumerate(self.nodes):
                if self.found.allowed[shape, node.type] and fits(node, pod):
                    found[n], gpus[n] = self.choice(node, pod)
            if hasattr(self.policy, "post"):
                out = np.empty(len(found))
                self.policy.post(found, out)
                found = out
            best = max(range(len(found)), key=lambda n: (found[n], -self.rank[n]))
            if found[best] == -np.inf:
                placed.append(-1)
            else:
                take(self.nodes[best], pod, gpus[best])
                placed.append(best)
            every = getattr(self.memory, "refresh_every", 0)
            if every and (t + 1) % every == 0:
                counts = np.bincount(
                    self.found.shape[order[: t + 1]], minlength=len(self.found.shapes)
                )
                assert isinstance(self.memory.refresh(Seen(t + 1, counts, self.nodes)), Refresh)
        return placed


@pytest.mark.parametrize("kind", SCORING)
@pytest.mark.filterwarnings("ignore:overflow encountered")  # hashes of policies that draw
def test_kept_scores_decide_as_scores_made_anew(tmp_path: Path, kind: str) -> None:
    """What is kept between arrivals, and machine code, change no decision."""
    found = cluster(tmp_path, *random_lists(7, nodes=12, pods=90))
    outcome = replay(found, made(kind), 5, 1.3, (1.3,))
    assert outcome.node.tolist() == Plain(found, made(kind), 5).run(outcome.pods)
    assert -1 in outcome.node  # or the lists would be too easy


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_prices_that_move_often_leave_no_old_score(tmp_path: Path, seed: int) -> None:
    """New prices every other pod, and new values at 20, 40 and 80: as with every node scored."""
    policy = Absorb(streams=3, offers=8, typical=20.0, step=2.0, moved=0.0, refresh_every=2)
    found = cluster(tmp_path, *random_lists(seed, nodes=10, pods=120))
    outcome = replay(found, policy, seed, 1.3, (1.3,))
    plain = Plain(found, policy, seed)
    assert outcome.node.tolist() == plain.run(outcome.pods)
    np.testing.assert_array_equal(outcome.states[0]["gpu_left"], plain.nodes["gpu_left"])


class _Turning:
    """What has a small value is good and bad in turn; the value itself stays."""

    refresh_every = 7

    def __init__(self, *_: Any) -> None:
        self.known = np.ones(1)

    def prepare(self, fleet: Fleet) -> _Turning:
        return _Turning()

    def refresh(self, seen: Seen) -> Refresh:
        self.known *= -1.0
        return Refresh.SCORES

    @staticmethod
    def value(node: Any, known: Any) -> float:
        return float(node.left * node.cpu_left)

    @staticmethod
    def grade(gain: float, known: Any) -> float:
        return float(gain * known[0])


def test_grades_that_a_refresh_changes(tmp_path: Path) -> None:
    """Without a price there is no bound to keep, and every score is made anew."""
    found = cluster(tmp_path, *random_lists(4, nodes=12, pods=60))
    outcome = replay(found, _Turning(), 1, 1.0, (1.0,))
    assert outcome.node.tolist() == Plain(found, _Turning(), 1).run(outcome.pods)


def test_states_are_told_apart() -> None:
    """Keys differ where the exclusive or of both numbers is the same, and if they change places."""
    numbers = [(kind, cpu) for kind in range(8) for cpu in (0, 1, 7, 96_000, 96_001, 96_007)]
    with np.errstate(over="ignore"):  # a hash
        assert len({int(pair(*one)) for one in numbers}) == len(numbers)
        assert pair(1, 2) != pair(2, 1)


@pytest.mark.parametrize("kind", SCORING)
def test_what_holds_for_any_policy(tmp_path: Path, kind: str) -> None:
    """States are what the placed pods leave; nobody is refused who fits; a seed says all."""
    found = cluster(tmp_path, *random_lists(3))
    outcome = replay(found, made(kind), 42, 1.2, (0.5, 1.2))
    left = found.idle.copy().view(np.recarray)
    for pod_index, node, bits in zip(outcome.pods, outcome.node, outcome.gpus, strict=True):
        shape = found.shapes[[found.shape[pod_index]]].view(np.recarray)[0]
        if node < 0:
            there = found.allowed[shape.shape_id, left.type]
            assert not any(there[n] and fits(left[n], shape) for n in range(len(left)))
            continue
        gpus = [gpu for gpu in range(left.gpus[node]) if bits >> gpu & 1]
        assert len(gpus) == shape.gpus
        assert found.allowed[shape.shape_id, left.type[node]]
        left.gpu_left[node][gpus] -= shape.gpu_milli
        left.cpu_left[node] -= shape.cpu
        left.mem_left[node] -= shape.mem
        left.left[node] -= shape.request
    assert min(left.gpu_left.min(), left.cpu_left.min(), left.mem_left.min()) >= 0
    end = outcome.states[-1]
    for name in ("gpu_left", "cpu_left", "mem_left", "left"):
        np.testing.assert_array_equal(end[name], left[name])
    np.testing.assert_array_equal(end["free"], (left.gpu_left == 1000).sum(axis=1))
    assert outcome.allocated[-1] == 1.0 - left.left.sum() / found.nodes.gpu_milli
    assert ((outcome.node < 0) == (outcome.why > 0)).all()
    again = replay(found, made(kind), 42, 1.2, (1.2,))
    assert again.node.tolist() == outcome.node.tolist()


def test_fragmentation_by_its_definition(tmp_path: Path) -> None:
    """The policy's, the report's, and the sentence of the paper, pod by pod."""
    found = cluster(tmp_path, *random_lists(11))
    outcome = replay(found, made("best-fit"), 1, 1.0, (1.0,))
    nodes = outcome.states[-1].view(np.recarray)
    typical = found.typical
    total = 0.0
    for node in nodes:
        gpus = node.gpu_left[: node.gpus].tolist()
        here = 0.0
        for m, share in enumerate(typical.share):
            milli, count = typical.gpu_milli[m], typical.gpus[m]
            fitting = [left for left in gpus if left >= milli]
            if (
                milli == 0
                or not typical.allowed[m, node.type]
                or node.cpu_left < typical.cpu[m]
                or len(fitting) < count
            ):
                here += share * sum(gpus)
            else:
                here += share * sum(left for left in gpus if left < milli)
        fleet = Fleet(found.idle, found.types, found.shapes, found.allowed, typical, 0)
        assert fragmentation(node, typical_of(fleet)) == pytest.approx(here)
        total += here
    assert fragmentation_milli(outcome.states[-1], typical) == pytest.approx(total)


def test_typical_pods_are_the_most_frequent(tmp_path: Path) -> None:
    pods = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n" + "".join(
        f"p{i},{cpu},{1024 + i},1,500\n" for i, cpu in enumerate([1000] * 12 + [2000] * 7 + [3000])
    )
    typical = cluster(tmp_path, pods=pods).typical
    assert typical.cpu.tolist() == [1000, 2000]  # 19 of 20 make 95 %; memory does not count
    assert typical.share.tolist() == pytest.approx([12 / 19, 7 / 19])


class TestArrivals:
    """Shuffled, drawn again, or taken out."""

    def test_up_to_the_share_and_no_further(self, tmp_path: Path) -> None:
        found = cluster(tmp_path, *random_lists(1))
        capacity = found.nodes.gpu_milli
        once = found.pods.request.sum() / capacity
        order = arrivals(found.pods, capacity, 3.0 * once, 42)
        assert sorted(order[: len(found.pods)].tolist()) == list(range(len(found.pods)))
        demand = found.pods.request[order].sum() / capacity
        assert 3.0 * once - 8000 / capacity <= demand <= 3.0 * once
        fewer = arrivals(found.pods, capacity, 0.5 * once, 42)
        assert len(set(fewer.tolist())) == len(fewer)
        demand = found.pods.request[fewer].sum() / capacity
        assert 0.5 * once - 8000 / capacity <= demand <= 0.5 * once

    def test_seeds_differ_and_repeat(self, tmp_path: Path) -> None:
        pods = cluster(tmp_path).pods
        one, same, other = (arrivals(pods, 16_000, 2.0, seed).tolist() for seed in (1, 1, 2))
        assert one == same != other

    def test_as_listed(self, tmp_path: Path) -> None:
        pods = cluster(tmp_path).pods
        assert arrivals(pods, 16_000, None, 1).tolist() == list(range(len(pods)))

    def test_pods_without_gpus_never_fill_them(self, tmp_path: Path) -> None:
        only = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1000,1,0,0\n"
        found = cluster(tmp_path, pods=only)
        with pytest.raises(RackplanError, match="no pod asks for a GPU"):
            arrivals(found.pods, 1000, 1.0, 1)

    def test_a_mistyped_share_does_not_take_all_memory(self, tmp_path: Path) -> None:
        few = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,0,0,1,1\n"
        found = cluster(tmp_path, pods=few)
        with pytest.raises(RackplanError, match=r"5,000,000 is the most"):
            arrivals(found.pods, 10**9, 100.0, 1)


def test_reasons_name_what_was_missing(tmp_path: Path) -> None:
    """One node, full in one way after the other."""
    nodes = "sn,cpu_milli,memory_mib,gpu,model\na,10000,1000,2,G2\nb,64000,1000,1,T4\n"
    head = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"
    for pod, why in (
        ("p,1000,10,4,1000,", "gpu"),
        ("p,70000,10,1,500,", "cpu"),
        ("p,1000,2000,1,500,", "memory"),
        ("p,20000,10,1,500,G2", "gpu_type"),
        ("p,1000,10,1,500,H100", "gpu_type"),
    ):
        found = cluster(tmp_path, nodes, f"{head}{pod}\n")
        outcome = replay(found, made("fgd"), 1, None, (None,))
        assert [REASONS[why] for why in outcome.why] == [why]
