"""The loss of each feed before any run: loads, times, and what clocks and brake can do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import sim
from sim.check.scenario import Scenario
from sim.engine.build import build
from sim.engine.outages import Loss, Survivor, losses
from sim.site.losses import after_loss

SCENARIO = """\
rackplan: 1
name: loss
duration: 90 s
site:
  halls: [{{name: hall-a, rows: [{{name: row-1, racks: [{{type: dgx-h100-2, count: 2}}]}}]}}]
power:
  ups:
    - {{name: ups-a, rating: {rating}, product: {product}, battery: 5 min}}
    - {{name: ups-b, rating: {rating}, product: {product}, battery: 5 min}}
  pdus: {{per_row: 2, rating: 80 kW, redundancy: 2N}}
llms: [{{name: llama-3.1-8b, precision: fp8}}]
pools:
  - {{name: chat, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 16, priority: high}}
  - {{name: batch, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 12, priority: low}}
workload:
  - {{name: chat, pool: chat, source: synthetic-chat, rate: 40 /s}}
  - {{name: batch, pool: batch, source: synthetic-chat, rate: 20 /s}}
policies: {{power: {policy}}}
events: {events}
"""
POLCA = "{kind: polca, watch: ups}"


def scenario(tmp_path: Path, **words: str) -> Scenario:
    file = tmp_path / "loss.yaml"
    words = {"rating": "80 kW", "product": "galaxy-vxl", "policy": POLCA, "events": "[]"} | words
    file.write_text(SCENARIO.format(**words))
    return sim.load_scenario(file)


def lost(found: Scenario, name: str) -> Loss:
    return next(loss for loss in losses(found) if loss.name == name)


def survivor(loss: Loss, name: str) -> Survivor:
    return next(one for one in loss.survivors if one.name == name)


def sized(tmp_path: Path, percent: int, **words: str) -> Survivor:
    """ups-b after the loss of ups-a, rated so that this is ``percent`` of its rating."""
    load_w = survivor(lost(scenario(tmp_path), "ups-a"), "ups-b").after_w
    rating = f"{math.ceil(load_w * 100 / percent)} W"
    return survivor(lost(scenario(tmp_path, rating=rating, **words), "ups-a"), "ups-b")


@pytest.mark.parametrize(
    ("product", "percent", "mains_s", "battery_s"),
    [
        ("galaxy-vxl", 80, math.inf, 375.0),
        ("galaxy-vxl", 100, math.inf, 300.0),
        ("galaxy-vxl", 125, 600.0, 0.5),
        ("galaxy-vxl", 150, 60.0, 0.5),
        ("riello-dlp", 100, math.inf, 300.0),
        ("riello-dlp", 125, 30.0, 30.0),
        ("riello-dlp", 150, 10.0, 10.0),
        ("ups2000-g", 125, 60.0, 60.0),
        ("ups2000-g", 150, 3.0, 3.0),
        ("firstline", 125, 30.0, 0.0),
        ("firstline", 150, 0.0, 0.0),
    ],
)
def test_one_of_two_upss_lost(
    tmp_path: Path, product: str, percent: int, mains_s: float, battery_s: float
) -> None:
    """At 40, 50, 62.5 and 75 % of the rating of each; time to act is that less 2 · 2 s + 2 s."""
    one = sized(tmp_path, percent, product=product)
    assert one.after_w / (one.rating_w or 0.0) == pytest.approx(percent / 100, abs=1e-4)
    assert one.before_w == pytest.approx(one.after_w / 2, rel=0.01)
    assert one.tolerance.carried_s("mains") == mains_s
    assert one.tolerance.carried_s("battery") == pytest.approx(battery_s, rel=1e-4)
    assert one.left_s["mains"] == mains_s - 6.0
    clock, brake = one.helps
    assert (clock.acts_s, brake.acts_s) == (40.0, 5.0)
    assert clock.margin_s["mains"] == mains_s - 46.0
    assert brake.margin_s["mains"] == mains_s - 11.0


def test_in_time_and_enough_are_two_things(tmp_path: Path) -> None:
    """Clocks of −21 and −7 % come in time for a Galaxy at 150 %, but leave it above 112 %."""
    one = sized(tmp_path, 150)
    clock, brake = one.helps
    assert clock.share == pytest.approx(0.79)
    assert (clock.margin_s["mains"] or 0.0) > 0.0
    assert clock.enough == {"mains": False, "battery": False}
    assert brake.enough == {"mains": True, "battery": True}
    for acts in (clock, brake):
        for cut in acts.cuts:
            assert cut.removed_w > 0.0
            held = cut.after_w <= 1.12 * (one.rating_w or 0.0)
            assert held or not acts.enough["mains"]
    decode, prefill = clock.cuts
    assert prefill.before_w == one.after_w
    assert decode.before_w < prefill.before_w
    deeper = brake.cuts[0].removed_w, brake.cuts[1].removed_w
    assert deeper > (decode.removed_w, prefill.removed_w)


def test_watts_are_those_of_the_tables_at_the_classes_clocks(tmp_path: Path) -> None:
    """By hand from the model's tables: 16 replicas at 93 %, 12 at 79 %, 4 GPUs parked."""
    found = scenario(tmp_path)
    model = found.pools[0].models["h100-sxm"]
    node, gpu = found.site.node_types[0], found.site.gpu_types[0]

    def server_w(high_mw: int, low_mw: int, high: int, low: int) -> float:
        draw_w = (high_mw * high + low_mw * low) / 1000 + gpu.parked_w * (8 - high - low)
        return node.base_w + draw_w + node.fan_w * (draw_w / (8 * gpu.tdp_w)) ** 3

    levels = [hz / max(model.clocks_hz) for hz in model.clocks_hz]
    high, low = levels.index(pytest.approx(0.93)), levels.index(pytest.approx(0.79))
    counts = [(0, 0)] * len(found.site.node_names)
    for placed in build(found, 1).replicas:
        for server, gpus in placed.servers:
            was = counts[server]
            counts[server] = (
                was[0] + gpus * (placed.pool == 0),
                was[1] + gpus * (placed.pool == 1),
            )
    one = survivor(lost(found, "ups-a"), "ups-b")
    tables = [max(map(max, model.power[level].decode_mw)) for level in (0, high, low)]
    before_w = sum(server_w(tables[0], tables[0], *count) for count in counts)
    after_w = sum(server_w(tables[1], tables[2], *count) for count in counts)
    # Power supplies and PDUs lose a few per cent on top, of what is taken off as well.
    removed_w = one.helps[0].cuts[0].removed_w
    assert removed_w == pytest.approx(before_w - after_w, rel=0.08)
    assert removed_w > before_w - after_w


def test_a_policy_that_watches_elsewhere_or_nothing(tmp_path: Path) -> None:
    pdus = sized(tmp_path, 125, policy="{kind: dynamo, watch: pdu}")
    assert pdus.seen_by == ("row-1-pdu-b",)  # the one that is alive
    assert [(one.actuator, one.commanded) for one in pdus.helps] == [
        ("clock", True),
        ("brake", False),  # dynamo has none
    ]
    top = "{kind: demand-response, at: 1 min, watch: utility}"
    above = sized(tmp_path, 125, policy=top)
    assert above.seen_by == ("utility",)
    clock, brake = above.helps
    assert (clock.commanded, brake.commanded) == (True, False)
    assert clock.share == pytest.approx(0.6)
    none = sized(tmp_path, 125, policy="{kind: none}")
    assert none.seen_by == ()
    assert [(one.actuator, one.commanded) for one in none.helps] == [("brake", False)]


def test_without_a_product_there_is_no_number(tmp_path: Path) -> None:
    text = SCENARIO.replace(", product: {product}, battery: 5 min", "")
    file = tmp_path / "loss.yaml"
    file.write_text(text.format(rating="20 kW", policy=POLCA, events="[]"))
    one = survivor(lost(sim.load_scenario(file), "ups-a"), "ups-b")
    assert one.product is None
    assert one.left_s == {"mains": None, "battery": None}
    assert one.helps[0].margin_s == {"mains": None, "battery": None}
    assert one.helps[0].enough == {"mains": None, "battery": None}


def test_a_run_moves_loads_as_foreseen(tmp_path: Path) -> None:
    """With the servers' draw of the instant after the loss, every node is as in the run."""
    scenario(tmp_path, events="[{at: 1 min, fail: ups-a}]")
    # Nothing after that instant is looked at.
    found = sim.load_scenario(tmp_path / "loss.yaml", sets=["duration=61 s"])
    result = sim.run_scenario(found, engine="reference")
    now: dict[int, dict[str, Any]] = {}
    for row in result.tables["power"].to_pylist():
        if row["t_s"] <= 60.0:
            now[row["node"]] = row
    servers = found.power.server_index
    names = [node.name for node in found.power.nodes]
    after = after_loss(found.power, names.index("ups-a"))
    out_mw = after.out_mw(servers * 0 + [int(now[s]["out_mw"]) for s in servers.tolist()])
    assert [now[n]["out_mw"] for n in range(len(names))] == out_mw.tolist()
    assert out_mw[names.index("ups-b")] > 0
