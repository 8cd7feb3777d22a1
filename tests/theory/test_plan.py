"""Plans where queueing theory knows the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from sim.perf.step import Batch
from sim.plan.least.find import make_plan
from sim.plan.least.question import load_question
from sim.plan.margins import Objective
from sim.plan.runs import Making, PlanRuns
from sim.plan.search import Search
from sim.results.metrics import lookup
from sim.study.here import InThisProcess

LATE = 0.01


def erlang_c(servers: int, load: float) -> float:
    """The probability that a customer of M/M/c waits; ``load`` is in servers."""
    blocked = 1.0
    for n in range(1, servers + 1):  # Erlang-B by its recursion
        blocked = load * blocked / (n + load * blocked)
    return servers * blocked / (servers - load * (1.0 - blocked))


def waits_longer(servers: int, load: float, t: float) -> float:
    """P(W > t), t in mean services, of M/M/c."""
    return erlang_c(servers, load) * math.exp(-(servers - load) * t) if servers > load else 1.0


class Queue:
    """M/M/c by the recursion of Kiefer and Wolfowitz, under common random numbers."""

    def __init__(self, load: float, limit: float, first: int) -> None:
        self.load, self.limit, self.first = load, limit, first
        self.shares: dict[tuple[int, int], float] = {}
        self.seen: dict[int, int] = {}

    def see(self, wanted: Mapping[int, int]) -> None:
        for point, seeds in wanted.items():
            self.seen[point] = max(seeds, self.seen.get(point, 0))
            for seed in range(seeds):
                if (point, seed) not in self.shares:
                    self.shares[point, seed] = self.late(point + self.first, seed)

    def late(self, servers: int, seed: int) -> float:
        rng = np.random.default_rng(seed)
        n = 12_000
        gaps = rng.exponential(1.0 / self.load, n).tolist()
        services = rng.exponential(1.0, n).tolist()
        import heapq

        free, now, late = [0.0] * servers, 0.0, 0
        for i, (gap, service) in enumerate(zip(gaps, services, strict=True)):
            now += gap
            start = max(now, free[0])
            heapq.heapreplace(free, start + service)
            late += i >= 2_000 and start - now > self.limit
        return late / (n - 2_000)

    def margins(self, point: int) -> Mapping[str, Sequence[float]]:
        return {"wait": [self.shares[point, seed] - LATE for seed in range(self.seen[point])]}


@pytest.mark.parametrize(("load", "limit"), [(3.0, 1.0), (8.0, 0.5), (20.0, 0.2)])
def test_the_least_servers_of_an_erlang_c_queue(load: float, limit: float) -> None:
    first = math.ceil(load) + 1
    truth = next(c for c in range(first, 100) if waits_longer(c, load, limit) <= LATE)
    definition = lookup("chat.queue_p99", workloads=["chat"], pools=[], power_nodes=[])
    line = Objective("wait", "chat.queue_p99", definition, LATE, False, "chat", "queue", limit)
    found = Search([line], Queue(load, limit, first), 0, 20, 16, True).run()
    assert found.point is not None
    answer = found.point + first
    no = max((p for p, t in found.tested.items() if t.answer == "no"), default=-1) + 1 + first
    yes = min(p for p, t in found.tested.items() if t.answer == "yes") + first
    assert no <= truth <= yes  # what is claimed is true
    assert abs(answer - truth) <= 1


def m_d_1_waits_longer(load: float, services: float) -> float:
    """P(W > t) of M/D/1, t in services (Erlang 1909)."""
    total = 0.0
    for k in range(math.floor(services) + 1):
        at = load * (k - services)
        total += at**k / math.factorial(k) * math.exp(-at)
    return 1.0 - (1.0 - load) * total


SITE = """
rackplan: 1
name: one-by-one
duration: 20 min
warm_up: 1 min
site: {halls: [{name: hall-a, rows: [{name: row-1, racks: [{type: dgx-h100-4, count: 1}]}]}]}
llms: [{name: llama-3.1-8b, precision: fp8}]
pools: [{name: chat, llm: llama-3.1-8b, replicas: 5, prefix_cache: false}]
workload:
  - {name: chat, pool: chat, source: {input_tokens: 4000, output_tokens: 1}, rate: 20 /s}
policies:
  routing: {kind: random}
  batching: {kind: chunked-prefill, max_sequences: 1}
"""
QUESTION = """
rackplan: 1
kind: study
name: one-by-one
base: site.yaml
question: {minimum: 'pools[chat].replicas', from: 1, to: 16}
subject_to: [chat.queue_p99 <= LIMIT]
seeds: 12
"""


def test_replicas_that_are_queues_of_their_own(tmp_path: Path) -> None:
    """Random routing of Poisson arrivals to replicas that take one prompt at a time: M/D/1 each."""
    (tmp_path / "site.yaml").write_text(SITE)
    file = tmp_path / "question.yaml"
    file.write_text(QUESTION.replace("LIMIT", "300 ms"))
    question = load_question(file)
    (model,) = question.scenario(0).pools[0].models.values()
    service_s = model.cost[0].iteration_s(Batch(4000, 0, 0, 0, 4000**2, 0))
    rate = 20.0

    def late(replicas: int) -> float:
        load = rate * service_s / replicas
        return m_d_1_waits_longer(load, 0.3 / service_s) if load < 1.0 else 1.0

    truth = next(n for n in range(1, 17) if late(n) <= LATE)
    runs = PlanRuns(question, Making(InThisProcess(), tmp_path / "runs", "compiled"))
    plan = make_plan(question, runs)
    assert plan.answer is not None
    # Another load than that of a bound: what the runs measured is what theory says.
    for point in plan.points:
        if point.seeds > 4:
            share = point.lines[0]
            assert share.interval.low <= late(int(point.value)) <= share.interval.high
    assert plan.low is not None
    assert plan.high is not None
    assert int(plan.low) <= truth <= int(plan.high)
    assert plan.answer.value == truth
