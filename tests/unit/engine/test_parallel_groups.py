"""scenarios/experts.yaml: experts and attention in parallel groups, end to end on both engines."""

from __future__ import annotations

import pytest

import sim
from sim.paths import share

BRIEF = ["duration=15 s", "warm_up=5 s", "drain=20 s"]


def test_both_engines_serve_it_alike() -> None:
    scenario = sim.load_scenario(share("scenarios") / "experts.yaml", sets=BRIEF)
    one, two = (sim.run_scenario(scenario, engine=e) for e in ("reference", "compiled"))
    assert one.tables["requests"].num_rows > 500
    assert one.tables["requests"].equals(two.tables["requests"])
    rows = [run.tables["replicas"].to_pylist() for run in (one, two)]
    for mine, other in zip(*rows, strict=True):
        assert mine == {
            name: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
            for name, value in other.items()
        }


def test_groups_have_more_room_and_less_to_wait_for() -> None:
    path = share("scenarios") / "experts.yaml"
    plain = ["pools[chat].expert_parallel=1", "pools[chat].data_parallel_attention=1"]
    grouped = sim.load_scenario(path, sets=BRIEF)
    sliced = sim.load_scenario(path, sets=[*BRIEF, *plain])
    pools = [scenario.pools[0] for scenario in (grouped, sliced)]
    assert [pool.data_parallel_attention for pool in pools] == [2, 1]
    blocks = [pool.models["h100-sxm"].kv_blocks for pool in pools]
    assert 1.2 < blocks[0] / blocks[1] < 2
    tpot = [
        sim.run_scenario(scenario).metrics["chat.tpot_p50"].value for scenario in (grouped, sliced)
    ]
    assert tpot[0] < tpot[1]


def test_the_manifest_has_the_layout() -> None:
    scenario = sim.load_scenario(share("scenarios") / "experts.yaml", sets=BRIEF)
    (pool,) = sim.run_scenario(scenario).manifest["resolved"]["pools"]
    assert (pool["expert_parallel"], pool["data_parallel_attention"]) == (8, 2)


@pytest.mark.parametrize(
    ("key", "message"),
    [("ep_size", "expert_parallel: 8"), ("attention_dp", "data_parallel_attention: 8")],
)
def test_other_names_of_the_keys_are_explained(key: str, message: str) -> None:
    with pytest.raises(sim.ScenarioError, match=message):
        sim.load_scenario(share("scenarios") / "experts.yaml", sets=[f"pools[chat].{key}=8"])
