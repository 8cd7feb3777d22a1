"""What ``check`` makes of sound scenarios: values in SI, defaults, warnings, one canonical tree."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.check import Scenario, check
from sim.errors import ScenarioError
from sim.spec import read, read_text
from sim.spec.document import Document

BASE = yaml.safe_load(
    """
    rackplan: 1
    name: base
    duration: 10 min
    warm_up: 60 s
    site: {halls: [{name: hall-a, rows: [{name: row-1, racks: [{type: dgx-h100-4, count: 2}]}]}]}
    power:
      utility: {budget: 90 kW}
      ups: [{name: ups-a, rating: 100 kW}, {name: ups-b, rating: 100 kW}]
      pdus: {per_row: 2, rating: 60 kW, redundancy: 2N}
    llms: [{name: llama-3.1-70b, precision: fp8}]
    pools: [{name: chat, llm: llama-3.1-70b, tensor_parallel: 4, replicas: 16, priority: high}]
    workload:
      - {name: chat, pool: chat, source: synthetic-chat, rate: 8 /s, slo: {ttft: 2 s, tpot: 60 ms}}
    """
)


def document(**changes: Any) -> Document:
    return read_text(yaml.safe_dump({**BASE, **changes}), file="f.yaml")


def checked(**changes: Any) -> Scenario:
    return check(document(**changes))


def refusal(**changes: Any) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        checked(**changes)
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


def workload(**changes: Any) -> list[dict[str, Any]]:
    return [{**BASE["workload"][0], **changes}]


def pool(**changes: Any) -> list[dict[str, Any]]:
    return [{**BASE["pools"][0], **changes}]


def test_values_are_si_and_defaults_are_filled() -> None:
    scenario = checked(expect=["chat.ttft_p99 <= 500 ms", "chat.goodput_fraction >= 99 %"])
    assert (scenario.duration_s, scenario.warm_up_s, scenario.drain_s) == (600.0, 60.0, 300.0)
    assert (scenario.seed, scenario.record, scenario.record_iterations) == (1, "full", False)
    [work] = scenario.workloads
    assert (work.rate_per_s, work.objectives.ttft_s, work.objectives.tpot_s) == (8.0, 2.0, 0.06)
    assert math.isinf(work.timeout_s)
    assert math.isinf(work.cancel_after_s)
    assert work.synthetic is not None
    assert work.synthetic.arrivals == {"kind": "source"}
    [replicas] = scenario.pools
    assert replicas.llm.kv_precision == "fp8"
    assert list(replicas.models) == ["h100-sxm"]
    assert (replicas.batching.mode, replicas.batching.max_sequences) == ("chunked-prefill", 256)
    assert [e.threshold for e in scenario.expectations] == [0.5, 0.99]
    assert scenario.power.provisioned_w == 90e3
    assert scenario.warnings == ()
    assert "llama-card" in scenario.sources


def test_a_workload_has_its_pools_priority_unless_it_states_one() -> None:
    assert checked().workloads[0].priority == 0
    assert checked(workload=workload(priority="low")).workloads[0].priority == 2
    assert checked(workload=workload(priority=7)).workloads[0].priority == 7


@pytest.mark.parametrize(("precision", "kv"), [("bf16", "bf16"), ("fp8", "fp8"), ("int4", "fp8")])
def test_kv_precision_follows_the_weights_down_to_eight_bits(precision: str, kv: str) -> None:
    scenario = checked(llms=[{"name": "llama-3.1-70b", "precision": precision}])
    assert scenario.pools[0].llm.kv_precision == kv


@pytest.mark.parametrize(
    ("burstiness", "arrivals"),
    [
        ("poisson", {"kind": "poisson"}),
        ({"cv": 2}, {"kind": "gamma", "cv": 2.0}),
        ({"on": "10 s", "off": "1 min"}, {"kind": "on-off", "on_s": 10.0, "off_s": 60.0}),
    ],
)
def test_burstiness(burstiness: Any, arrivals: dict[str, Any]) -> None:
    synthetic = checked(workload=workload(burstiness=burstiness)).workloads[0].synthetic
    assert synthetic is not None
    assert synthetic.arrivals == arrivals


def test_fixed_lengths_are_poisson_unless_closed() -> None:
    fixed = {"input_tokens": 1000, "output_tokens": 100}
    synthetic = checked(workload=workload(source=fixed)).workloads[0].synthetic
    assert synthetic is not None
    assert (synthetic.lengths, synthetic.input_tokens, synthetic.output_tokens) == (
        "fixed",
        1000,
        100,
    )
    assert synthetic.arrivals == {"kind": "poisson"}
    [closed] = checked(
        workload=[{"name": "c", "pool": "chat", "source": fixed, "clients": 64, "think": "2 s"}]
    ).workloads
    assert (closed.clients, closed.think_s, closed.rate_per_s) == (64, 2.0, None)


def test_policies_of_a_pool_override_the_sites() -> None:
    scenario = checked(
        pools=pool(policies={"batching": {"kind": "static", "max_sequences": 8}}),
        policies={"routing": {"kind": "random"}, "batching": {"kind": "prefill-first"}},
    )
    [replicas] = scenario.pools
    assert (replicas.batching.mode, replicas.batching.max_sequences) == ("static", 8)
    assert type(replicas.routing).__name__ == "Random"


def test_one_llm_at_two_precisions() -> None:
    scenario = checked(
        llms=[
            {"name": "llama-3.1-70b", "precision": "FP8"},
            {"name": "llama-3.1-70b", "as": "exact", "precision": "bf16"},
        ],
        pools=[
            {"name": "chat", "llm": "llama-3.1-70b", "tensor_parallel": 4, "replicas": 8},
            {"name": "fine", "llm": "exact", "tensor_parallel": 8, "replicas": 4},
        ],
    )
    assert [p.llm.precision for p in scenario.pools] == ["fp8", "bf16"]
    assert scenario.warnings == ("pools[fine]: no workload sends requests to pool 'fine'",)


def test_warnings_name_what_a_user_should_know() -> None:
    scenario = checked(
        power=None,
        fabric={"kind": "leaf-spine"},
        llms=[*BASE["llms"], {"name": "qwen3-8b", "precision": "fp8"}],
        workload=workload(rate="0.01 /s", timeout="1 s"),
    )
    assert scenario.warnings == (
        "power: not stated, so nothing limits the draw",
        "workload[chat].timeout: is shorter than the ttft objective, so misses are cut short",
        "workload[chat].rate: only about 5.4 requests fall into the measured time",
        "llms[qwen3-8b]: no pool serves 'qwen3-8b'",
        "fabric: checked and kept, but nothing of this scenario crosses it",
    )


def test_a_mixed_site_places_replicas_where_they_fit() -> None:
    rows = [{"name": "row-1", "racks": [{"type": "dgx-h100-4"}, {"type": "l4-16"}]}]
    scenario = checked(
        site={"halls": [{"name": "a", "rows": rows}]},
        power=None,
        pools=pool(tensor_parallel=2, replicas=8),
    )
    [replicas] = scenario.pools
    assert list(replicas.models) == ["h100-sxm"]
    assert any("does not fit" in warning for warning in scenario.warnings)
    alone = refusal(
        site={"halls": [{"name": "a", "rows": rows}]},
        power=None,
        pools=pool(tensor_parallel=2, replicas=8, gpu="l4"),
    )
    assert len(alone) == 1
    assert alone[0].startswith("pools[0].llm: llama-3.1-70b in fp8 does not fit on 2 x l4: of ")


def test_reserved_words_may_stand_empty() -> None:
    assert checked(events=[], tenants={}, faults=None).warnings == ()


@pytest.mark.parametrize(
    ("power", "message"),
    [
        (
            {"ups": [{"name": "ups-a", "rating": "20 kW"}]},
            "power.ups[0].rating: with every GPU idle, ups-a already carries ",
        ),
        (
            {"pdus": {"rating": "60 kW", "budget": "5 kW"}},
            "power.pdus.budget: with every GPU idle, row-1-pdu-a already carries ",
        ),
        (
            {"ups": [{"name": "u", "rating": "1 MW"}, {"name": "u", "rating": "1 MW"}]},
            "power.ups[1].name: UPS 'u' is named twice (first: power.ups[0])",
        ),
        (
            {"ups": [{"name": "u", "rating": "1 MW", "budget": "2 MW"}]},
            "power.ups[0].budget: the budget 2.00 MW is above the rating 1.00 MW it must respect",
        ),
        (
            {"ups": [{"name": "row-1-rack-1", "rating": "1 MW"}]},
            "power.ups[0].name: the name 'row-1-rack-1' is both a ",
        ),
    ],
)
def test_power_that_cannot_be(power: dict[str, Any], message: str) -> None:
    assert refusal(power=power)[0].startswith(message)


def test_nvlink_domains_can_leave_gpus_over() -> None:
    [message] = refusal(
        llms=[{"name": "qwen3-8b", "precision": "fp8"}],
        pools=[{"name": "chat", "llm": "qwen3-8b", "tensor_parallel": 4, "replicas": 17}],
    )
    assert "17 replicas x 4 GPUs (chat) need 68 GPUs, but the site has 64" in message


def test_requests_must_fit_the_kv_cache() -> None:
    [message] = refusal(
        llms=[{"name": "llama-3.1-70b", "precision": "fp8"}],
        pools=pool(tensor_parallel=1, replicas=4),
        workload=workload(source={"input_tokens": 100_000, "output_tokens": 100}),
    )
    assert message.startswith(
        ("workload[0].source: 100,000 + 100 = 100,100 tokens", "pools[0].llm")
    )


@pytest.mark.parametrize("level", ["full", "summary"])
def test_every_says_how_sampled_records_are(level: str) -> None:
    assert refusal(record={"level": level, "every": 10}) == [
        f"record.every: only 'level: sampled' writes one request in so many, not 'level: {level}'"
    ]
    assert checked(record={"level": "sampled", "every": 10}).sample_every == 10


def test_changes_of_draw_can_be_left_out() -> None:
    assert checked().record_power == "changes"
    assert checked(record="sampled").record_power == "changes"
    assert checked(record={"power": "minutes"}).record_power == "minutes"
    assert checked(record="summary").record_power == "minutes"
    assert checked(record={"level": "summary", "power": "minutes"}).record_power == "minutes"
    assert refusal(record={"level": "summary", "power": "changes"}) == [
        "record.power: 'level: summary' writes no changes of draw, only minutes; "
        "write 'level: full'"
    ]


def test_words_without_effect_are_warned_of() -> None:
    scenario = checked(
        pools=pool(shed="oldest"),
        workload=workload(kind="embedding", slo={"ttft": "2 s"}),
    )
    assert scenario.warnings == (
        "pools[chat].shed: has no effect without max_queue",
        "workload[chat].source: an embedding generates nothing, so output lengths are not used",
    )


def test_equal_meaning_gives_an_equal_tree() -> None:
    one = checked(duration="10 min", llms=[{"name": "llama-3.1-70b", "precision": "fp8"}])
    other = check(
        read_text(
            yaml.safe_dump(
                {
                    **BASE,
                    "x-note": "mine",
                    "kind": "serving",
                    "duration": "600 s",
                    "seed": 7,
                    "drain": "300 s",
                    "events": [],
                    "llms": [{"name": "llama-3.1-70b", "precision": "e4m3", "kv_precision": "fp8"}],
                    "pools": pool(priority=0, pipeline_parallel=1, shed="reject"),
                    "workload": workload(rate="480 /min", priority="high"),
                    "policies": {
                        "routing": {"kind": "least-outstanding-tokens"},
                        "power": {"kind": "none"},
                    },
                }
            ),
            file="elsewhere.yaml",
        )
    )
    assert json.dumps(one.resolved) == json.dumps(other.resolved)
    assert json.dumps(one.resolved) != json.dumps(checked(duration="11 min").resolved)


def test_a_trace_is_found_beside_the_file_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "t.csv").write_text("arrival_s,input_tokens,output_tokens\n0,5,6\n1,7,8\n")
    part = {
        "name": "chat",
        "pool": "chat",
        "trace": {"file": "t.csv", "end": "1 min", "loop": True},
    }
    (tmp_path / "lib" / "base.yaml").write_text(yaml.safe_dump({**BASE, "workload": [part]}))
    (tmp_path / "top.yaml").write_text("extends: lib/base.yaml\n")
    scenario = check(read("top.yaml"))
    trace = scenario.workloads[0].trace
    assert trace is not None
    assert trace.file == tmp_path / "lib" / "t.csv"
    assert (trace.format, trace.end_s, trace.loop, trace.spread_s) == ("csv", 60.0, True, 0.0)
    assert scenario.resolved["workload"][0]["trace"]["file"] == "lib/t.csv"


_VALUES = st.sampled_from(
    [
        None, True, 0, -1, 3, 1.5, 10**18, "", "x", "fp8", "8", "2 s", "5 kW", "1e400 s", "chat",
        [], {}, [None], [{}],
    ]
)  # fmt: skip


@st.composite
def broken_trees(draw: st.DrawFn) -> dict[str, Any]:
    """The base with a few of its values replaced, removed, or new keys put beside them."""
    tree = copy.deepcopy(BASE)
    tree["policies"] = {"batching": {"kind": "static", "max_sequences": 64}}
    tree["expect"] = [
        "chat.ttft_p99 <= 2 s",
        "pools[chat].busy_fraction <= 90 %",
        "over_budget_s <= 0 s",
    ]
    for _ in range(draw(st.integers(1, 4))):
        node: Any = tree
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(node[key], (dict, list)) and draw(st.integers(0, 3)):
                node = node[key]
                continue
            action = draw(st.integers(0, 2))
            if action == 0:
                node[key] = copy.deepcopy(draw(_VALUES))
            elif action == 1:
                del node[key]
            elif isinstance(node, dict):
                added = draw(st.sampled_from(["as", "gpu", "kind", "trace", "clients", "zz"]))
                # Copied, as above: later steps may change what stands in the tree.
                node[added] = copy.deepcopy(draw(_VALUES))
            break
    return tree


@settings(max_examples=120, deadline=None)
@given(broken_trees())
def test_any_tree_is_a_scenario_or_a_scenario_error(tree: dict[str, Any]) -> None:
    try:
        scenario = check(read_text(yaml.safe_dump(tree), file="f.yaml"))
    except ScenarioError as error:
        for problem in error.problems:
            assert "\n" not in problem.message
            assert problem.mark.line > 0
    else:
        assert json.loads(json.dumps(scenario.resolved, allow_nan=False))
