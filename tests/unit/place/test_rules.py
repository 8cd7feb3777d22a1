"""Tenants, isolation, quotas and priorities: what holds whatever the policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.errors import DataError, RackplanError
from sim.place.replay import Outcome, replay
from sim.place.rules import REASONS
from sim.policies.base import policies
from tests.unit.place.lists import cluster

NODES = "sn,cpu_milli,memory_mib,gpu,model,rack,leaf\n" + "".join(
    f"n{i},96000,400000,8,G2,r{i // 2},l{i // 4}\n" for i in range(8)
)
HEAD = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,tenant,isolation,priority\n"


def played(folder: Path, pods: str, quotas: Any = None, policy: str = "first-fit") -> Outcome:
    found = cluster(folder, NODES, HEAD + pods)
    return replay(found, policies("placement")[policy](), 1, None, (None,), quotas or {})


def reasons(outcome: Outcome) -> list[str]:
    return [REASONS[why] for why in outcome.why]


@pytest.mark.parametrize(("level", "size"), [("node", 1), ("rack", 2), ("leaf", 4)])
def test_a_tenant_alone_shares_no_domain(tmp_path: Path, level: str, size: int) -> None:
    """b stays out of a's domain, and a's next pod keeps out of b's."""
    outcome = played(
        tmp_path,
        f"a1,1000,10,1,100,a,{level},\nb1,1000,10,1,100,b,,\nc1,1000,10,1,100,,,\n"
        f"a2,1000,10,1,100,a,{level},\nb2,1000,10,1,100,b,{level},\n",
    )
    domain = (outcome.node // size).tolist()
    assert domain[0] == domain[3] == 0  # a's own, which first-fit would share with everybody
    assert domain[1] == domain[2] == 1  # b and pods of no tenant share: neither is to be alone yet
    assert domain[4] == 2 if size < 4 else reasons(outcome)[4] == "isolation"


def test_isolation_that_nothing_satisfies(tmp_path: Path) -> None:
    pods = "".join(f"f{i},1000,10,8,1000,a,,\n" for i in range(7)) + "b,1000,10,1,1000,b,,\n"
    outcome = played(tmp_path, pods + "c,1000,10,1,1000,c,node,\n")
    assert reasons(outcome)[-1] == "isolation"


def test_levels_need_a_column(tmp_path: Path) -> None:
    nodes = "sn,cpu_milli,memory_mib,gpu,model\nn,96000,400000,8,G2\n"
    found = cluster(tmp_path, nodes, f"{HEAD}p,1000,10,1,1000,a,rack,\n")
    with pytest.raises(DataError, match=r"nodes\.csv: has no column 'rack', and .* isolation is r"):
        replay(found, policies("placement")["fgd"](), 1, None, (None,))


def test_quotas_stop_a_tenant_and_nobody_else(tmp_path: Path) -> None:
    pods = "".join(f"a{i},1000,10,2,1000,a,,\n" for i in range(4)) + "b,1000,10,8,1000,b,,\n"
    outcome = played(tmp_path, pods, {"a": 5.0})
    assert reasons(outcome) == ["placed", "placed", "quota", "quota", "placed"]
    with pytest.raises(RackplanError, match=r"no such tenant .did you mean 'b'|known: a, b"):
        played(tmp_path, pods, {"bb": 5.0})


class TestPreemption:
    """Who is more urgent takes the place of the least that makes room."""

    def test_the_cheapest_victims_go(self, tmp_path: Path) -> None:
        """Every node is full: of small pods on n0, of one large on each other."""
        small = "".join(f"s{i},1000,10,1,1000,,,{1 if i < 4 else 0}\n" for i in range(8))
        large = "".join(f"l{i},1000,10,8,1000,,,0\n" for i in range(7))
        outcome = played(tmp_path, f"{small}{large}u,1000,10,2,1000,,,5\n")
        assert outcome.node[-1] == 0
        # Of n0 two pods of priority 0 suffice, the latest first; the large ones would cost more.
        assert [i for i, why in enumerate(reasons(outcome)) if why == "preempted"] == [6, 7]
        left = outcome.states[-1][0]
        assert (left["left"], left["free"], left["pods"]) == (0, 0, 7)

    def test_equals_do_not_preempt(self, tmp_path: Path) -> None:
        pods = "".join(f"l{i},1000,10,8,1000,,,3\n" for i in range(8))
        outcome = played(tmp_path, f"{pods}u,1000,10,1,1000,,,3\nlow,1000,10,1,1000,,,1\n")
        assert reasons(outcome)[-2:] == ["gpu", "gpu"]

    def test_who_need_not_go_is_spared(self, tmp_path: Path) -> None:
        """CPU is short, not GPUs: the small pod of lowest priority would go first, in vain."""
        nodes = "sn,cpu_milli,memory_mib,gpu,model,rack,leaf\nn,10000,1000,8,G2,r,l\n"
        pods = "a,500,10,1,1000,,,0\nb,9000,10,1,1000,,,1\nu,9000,10,1,1000,,,2\n"
        found = cluster(tmp_path, nodes, HEAD + pods)
        outcome = replay(found, policies("placement")["fgd"](), 1, None, (None,))
        assert reasons(outcome) == ["placed", "preempted", "placed"]

    def test_states_and_quotas_follow(self, tmp_path: Path) -> None:
        pods = "".join(f"l{i},1000,10,8,1000,a,,0\n" for i in range(8))
        outcome = played(
            tmp_path,
            f"{pods}u,1000,10,8,1000,b,,5\nv,1000,10,8,1000,b,,5\nw,1000,10,8,1000,a,,9\n",
            {"a": 64.0},
        )
        assert reasons(outcome).count("preempted") == 3
        assert reasons(outcome)[-1] == "placed"  # what was evicted left room in the quota
        assert int(outcome.states[-1]["left"].sum()) == 0

    @pytest.mark.parametrize("kind", ["fgd", "absorb", "random", "packing"])
    def test_the_most_urgent_lose_nothing_to_others(self, tmp_path: Path, kind: str) -> None:
        """They stay where they are, and are served as if nobody else were there."""
        rng = np.random.default_rng(5)
        rows = [
            f"{rng.integers(1, 30) * 1000},10,{1 if part < 1000 else rng.choice([1, 4, 8])},"
            f"{part},,,{rng.integers(3)}\n"
            for part in rng.choice([190, 460, 810, 1000, 1000], size=220).tolist()
        ]
        outcome = played(tmp_path, "".join(f"p{i},{row}" for i, row in enumerate(rows)), None, kind)
        found = cluster(tmp_path, NODES, HEAD + "".join(f"p{i},{r}" for i, r in enumerate(rows)))
        first = found.pods.priority == 2
        evicted = outcome.why == REASONS.index("preempted")
        assert evicted.any()
        assert not evicted[first].any()
        spent = found.pods.request[outcome.node >= 0].sum()
        assert spent == 64_000 - outcome.states[-1]["left"].sum()
        # A pod that found no place: no node would hold it with all the less urgent gone, even now.
        refused = np.flatnonzero((outcome.why > 0) & ~evicted & first)
        assert len(refused)
        for i in refused.tolist():
            for n in range(8):
                stay = (outcome.node == n) & first & (np.arange(len(first)) < i)
                left = np.full(8, 1000)
                for j in np.flatnonzero(stay).tolist():
                    left -= [found.pods.gpu_milli[j] * (outcome.gpus[j] >> g & 1) for g in range(8)]
                cpu = 96_000 - found.pods.cpu_milli[stay].sum()
                fits = (left >= found.pods.gpu_milli[i]).sum() >= found.pods.gpus[i]
                assert not (fits and cpu >= found.pods.cpu_milli[i])
