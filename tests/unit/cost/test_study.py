"""Costs as columns of a study, and the front of its points."""

from __future__ import annotations

from pathlib import Path

from sim.cost.pareto import pareto_front
from sim.study.points import load_study
from sim.study.sweep import run_study
from sim.study.sweep_files import rows_of
from tests.unit.study.works import InProcess, scenario_file

STUDY = """
rackplan: 1
kind: study
name: sizes
base: tiny.yaml
axes:
  replicas:
    - {label: 1, set: {"pools[chat].replicas": 1}}
    - {label: 8, set: {"pools[chat].replicas": 8}}
  price:
    - {label: cheap, set: {costs: {nodes: {dgx-h100: 100000 USD}}}}
    - {label: dear, set: {costs: {nodes: {dgx-h100: 400000 USD}}}}
seeds: 2
metrics: [cost_per_million_tokens, chat.ttft_p99]
"""


def test_a_sweep_has_costs_and_its_front_the_cheap_points(tmp_path: Path) -> None:
    scenario_file(tmp_path)
    (tmp_path / "sizes.yaml").write_text(STUDY, encoding="utf-8")
    study = load_study(tmp_path / "sizes.yaml")
    table = rows_of(run_study(study, InProcess(), out=tmp_path / "runs", engine="compiled"))
    rows = table.to_pylist()
    costs = {
        (row["replicas"], row["price"], row["seed"]): row["cost_per_million_tokens"] for row in rows
    }
    for replicas in (1, 8):
        for seed in study.seeds:
            assert costs[replicas, "cheap", seed] < costs[replicas, "dear", seed]
    assert table.schema.field("cost_per_million_tokens").metadata[b"unit"] == b"USD/Mtoken"
    found = pareto_front(table, {"cost_per_million_tokens": "lower", "chat.ttft_p99": "lower"})
    # The dearer twin of a point has its latency and costs more.
    assert set(found.front.column("price").to_pylist()) == {"cheap"}
    assert found.points.num_rows == 4
    assert found.unknown == ()
