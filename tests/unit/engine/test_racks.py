"""Pools that may use some racks only."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.engine.api import load_scenario
from sim.engine.build import build
from sim.errors import BuildError

SCENARIO = """\
rackplan: 1
name: racks
duration: 10 s
site:
  halls: [{name: hall, rows: [{name: row, racks: [{type: dgx-h100-2, count: 4}]}]}]
llms: [{name: llama-3.1-8b, precision: fp8}]
pools:
  - {name: one, llm: llama-3.1-8b, tensor_parallel: 4, replicas: 3, racks: [row-rack-3]}
  - {name: two, llm: llama-3.1-8b, tensor_parallel: 4, replicas: 5, racks: [row-rack-2, row-rack-3]}
  - {name: any, llm: llama-3.1-8b, tensor_parallel: 4, replicas: 3}
workload: [{name: chat, pool: one, source: {input_tokens: 1, output_tokens: 1}, rate: 1 /s}]
"""


def racks_of(folder: Path, placement: str) -> dict[str, list[str]]:
    """Pool → the racks its replicas are in."""
    file = folder / "s.yaml"
    file.write_text(SCENARIO)
    world = build(load_scenario(file, sets=[f"policies.placement={{kind: {placement}}}"]), 1)
    site = world.scenario.site
    found: dict[str, list[str]] = {}
    for placed in world.replicas:
        racks = {site.rack_names[site.node_rack[server]] for server, _ in placed.servers}
        name = world.scenario.pools[placed.pool].name
        found[name] = sorted({*found.get(name, []), *racks})
    return found


@pytest.mark.parametrize("placement", ["first-fit", "topology-aware"])
def test_replicas_are_placed_in_the_racks_of_their_pool_only(
    placement: str, tmp_path: Path
) -> None:
    found = racks_of(tmp_path, placement)
    assert found["one"] == ["row-rack-3"]
    assert found["two"] == ["row-rack-2", "row-rack-3"]  # which fills both


def test_racks_that_others_have_filled_are_named_as_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(SCENARIO.replace("replicas: 5", "replicas: 6"))
    with pytest.raises(BuildError) as caught:
        build(load_scenario(file), 1)
    assert "0 suitable GPUs are free in its racks" in str(caught.value)
