"""The waterfall: parts that sum exactly, by hand, from scenarios and from runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from sim.check.deadline import full_servers_mw
from sim.check.scenario import Scenario
from sim.cost.built import Built, built_of
from sim.cost.of_run import built_of_run
from sim.cost.run_power import RunPower, run_power
from sim.cost.stranded import measured, planned
from sim.cost.waterfall import SPENT, STRANDED, USEFUL, Waterfall
from sim.errors import ResultError
from sim.results.manifest import manifest_of, manifest_parts
from sim.results.result import RunResult
from sim.site import PowerPlan, UpsPlan, build_power_tree, tree_flow

SHIPPED = sorted(Path("scenarios").glob("*.yaml"))
_ROW = "[{name: row-1, racks: [{type: dgx-h100-4}]}]"


def load(*sets: str) -> Scenario:
    """One rack of four DGX H100, three quarters of its GPUs taken; its feeds as ``sets`` say."""
    site = f"site={{halls: [{{name: hall, rows: {_ROW}}}]}}"
    scenario = sim.load_scenario(
        "scenarios/quickstart.yaml", sets=[site, "expect=[]", "pools[chat].replicas=6", *sets]
    )
    assert isinstance(scenario, Scenario)
    return scenario


def holds(found: Waterfall) -> dict[str, float]:
    """Name → kW; every waterfall that a test looks at sums exactly and has nothing negative."""
    assert sum(part.mw for part in found.parts) == found.provisioned_mw
    assert all(part.mw >= 0 and isinstance(part.mw, int) for part in found.parts)
    assert [part.kind for part in found.parts].count(USEFUL) == 1
    assert found.useful.kind == USEFUL
    assert sum(found.total_mw(kind) for kind in (STRANDED, SPENT, USEFUL)) == found.provisioned_mw
    assert all(part.meaning for part in found.parts)
    assert len({part.name for part in found.parts}) == len(found.parts)
    return {part.name: part.watts / 1e3 for part in found.parts}


def test_a_rack_behind_a_contract_alone() -> None:
    kw = holds(planned(load("power={utility: {budget: 100 kW}}")))
    # Four servers of 10.2 kW; 32 GPUs of 700 W, of which 6 replicas take 24.
    assert kw["GPUs of replicas"] == pytest.approx(24 * 0.7)
    assert kw["GPUs without a replica"] == pytest.approx(8 * 0.7)
    assert kw["servers without their GPUs"] == pytest.approx(4 * (2.661 + 1.530))
    assert kw["no servers installed"] == pytest.approx(100 - 4 * 10.2, abs=0.1)
    assert set(kw) == {
        "GPUs of replicas", "GPUs without a replica", "servers without their GPUs",
        "losses of power supplies", "no servers installed",
    }  # fmt: skip


def test_pdus_that_carry_less_than_is_contracted() -> None:
    whole = holds(planned(load("power={utility: {budget: 100 kW}}")))
    pdus = "power={utility: {budget: 100 kW}, pdus: {per_row: 1, rating: 45 kW}}"
    kw = holds(planned(load(pdus)))
    # They leave 45 kW less the rack's full draw.
    assert kw["no servers installed"] == pytest.approx(45 - 4 * 10.2, abs=0.1)
    held = kw["more than the PDUs carry"] + kw["losses of PDUs"]
    assert held == pytest.approx(whole["no servers installed"] - kw["no servers installed"])


def ups_load_kw(scenario: Scenario) -> float:
    out_mw, _ = tree_flow(scenario.power, full_servers_mw(scenario.site))
    return sum(int(out_mw[i]) for i, n in enumerate(scenario.power.nodes) if n.kind == "ups") / 1e6


def test_two_feeds_keep_half_in_reserve() -> None:
    ups = "ups: [{name: a, rating: 100 kW}, {name: b, rating: 100 kW}]"
    scenario = load(f"power={{{ups}, pdus: {{per_row: 2, redundancy: 2N}}}}")
    kw = holds(planned(scenario))  # provisioned: the ratings of both UPSs
    assert sum(kw.values()) == pytest.approx(200)
    # Half of the ratings less the load may be drawn; of the rest all is held but the UPSs' losses.
    assert kw["reserve of the UPSs"] == pytest.approx(100 - kw["losses of UPSs"])
    assert kw["no servers installed"] == pytest.approx(100 - ups_load_kw(scenario), abs=1e-3)
    single = holds(planned(load(f"power={{{ups}, pdus: {{per_row: 2}}}}")))
    assert "reserve of the UPSs" not in single
    assert single["no servers installed"] > kw["no servers installed"]


def test_a_full_hall_has_no_position_left() -> None:
    hall = f"site={{halls: [{{name: hall, rows: {_ROW}, limits: {{racks: %d}}}}]}}"
    power = "power={utility: {budget: 100 kW}}"
    free = holds(planned(load(power)))["no servers installed"]
    kw = holds(planned(load(power, hall % 1)))
    assert kw["no position for a rack"] == pytest.approx(free)
    kw = holds(planned(load(power, hall % 2)))  # one more rack would draw as much as this one
    assert kw["no servers installed"] == pytest.approx(100 - free)
    assert kw["no position for a rack"] == pytest.approx(2 * free - 100)
    assert "no position for a rack" not in holds(planned(load(power, hall % 9)))


def test_an_oversubscribed_site_says_so() -> None:
    found = planned(load("power={utility: {budget: 35 kW}}"))
    kw = holds(found)
    assert "no servers installed" not in kw
    assert kw["GPUs of replicas"] < 24 * 0.7
    assert any("oversubscribed" in note for note in found.notes)


def test_cooling_counts_where_the_tree_feeds_it() -> None:
    power, weather = "power={utility: {budget: 100 kW}}", "weather: {wet_bulb: 20 C}"
    beside = planned(load(power, f"cooling={{{weather}}}"))
    assert "cooling" not in holds(beside)
    assert any("no load of the electrical tree" in note for note in beside.notes)
    fed = holds(planned(load(power, f"cooling={{{weather}, fed_by: utility}}")))
    assert 2.0 < fed["cooling"] < 20.0
    free = holds(beside)["no servers installed"]
    assert fed["no servers installed"] == pytest.approx(free - fed["cooling"])


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_scenarios_and_their_runs_agree(file: Path) -> None:
    scenario = sim.load_scenario(file)
    if not isinstance(scenario, Scenario):
        pytest.skip("a placement has no power")
    found = planned(scenario)
    holds(found)
    parts = manifest_parts(scenario, seed=1, engine="compiled", simulated_s=scenario.duration_s)
    again = built_of_run(manifest_of(parts, aborted=None, tables={}))
    assert planned(again) == found
    assert again.book == built_of(scenario).book
    assert (again.nodes, again.network) == (built_of(scenario).nodes, built_of(scenario).network)


BASE = built_of(load())
_KW = st.one_of(st.none(), st.floats(1e3, 400e3))


@st.composite
def sites(draw: st.DrawFn) -> Built:
    twice = draw(st.booleans())
    pdus = draw(st.sampled_from([2, 4])) if twice else draw(st.integers(0, 3))
    counts = [count for count in (0, 2, 4) if count <= (pdus or 1)]
    plan = PowerPlan(
        utility_budget_w=draw(_KW),
        utility_rating_w=draw(_KW),
        ups=tuple(
            UpsPlan(f"ups-{i}", draw(st.floats(5e3, 400e3)), draw(_KW))
            for i in range(draw(st.sampled_from(counts)))
        ),
        pdus_per_row=pdus,
        pdu_rating_w=draw(_KW),
        pdu_budget_w=draw(_KW),
        redundancy="2N" if twice else "N",
    )
    return replace(
        BASE,
        power=build_power_tree(BASE.site, plan),
        positions=((1, draw(st.one_of(st.none(), st.integers(1, 20)))),),
        replicas=tuple(
            (draw(st.sampled_from([(), ("h100-sxm",)])), draw(st.integers(0, 40)))
            for _ in range(draw(st.integers(0, 3)))
        ),
    )


@st.composite
def powers(draw: st.DrawFn) -> RunPower:
    some_w = st.floats(0.0, 300e3)
    drawn = ["site_w", "cooling_w", "rest_w", "parked_w", "idling_w", "missed_w"]
    not_drawn = ["unallocated_w", "idle_w", "clocked_w", "bound_w"]
    losses = {kind: draw(some_w) for kind in ("ups", "server")}
    return RunPower(losses_w=losses, **{name: draw(some_w) for name in drawn + not_drawn})


@given(sites(), powers())
@settings(max_examples=150, deadline=None)
def test_whatever_the_numbers_the_parts_sum(site: Built, power: RunPower) -> None:
    holds(planned(site))
    holds(measured(site, [power]))


@given(sites(), st.floats(0.0, 200e3))
@settings(max_examples=60, deadline=None)
def test_more_contracted_power_is_never_less_useful(site: Built, more_w: float) -> None:
    wider = replace(site.power, provisioned_w=site.provisioned_w + more_w)
    before, after = planned(site), planned(replace(site, power=wider))
    # Parts are whole milliwatts that sum exactly, so each may have been rounded the other way.
    assert after.useful.mw >= before.useful.mw - len(before.parts)
    assert after.provisioned_mw >= before.provisioned_mw


def test_a_run_by_hand() -> None:
    plan = PowerPlan(60e3, None, (), 0, None, None, "N")
    site = replace(BASE, power=build_power_tree(BASE.site, plan))
    power = RunPower(
        site_w=30e3, cooling_w=0.0, losses_w={"server": 2e3}, rest_w=13e3, parked_w=0.5e3,
        idling_w=1.5e3, missed_w=3e3, unallocated_w=5e3, idle_w=2e3, clocked_w=1e3, bound_w=0.5e3,
    )  # fmt: skip
    kw = holds(measured(site, [power]))
    full = 60 - kw.pop("no servers installed")
    assert full == pytest.approx(4 * 10.2, abs=0.1)
    assert kw.pop("losses and fans not incurred") == pytest.approx(full - 30 - 8.5)
    assert kw == {
        "GPUs without a replica": 5.0, "replicas idle": 2.0, "clock or cap": 1.0,
        "memory or network": 0.5, "losses of power supplies": 2.0,
        "servers without their GPUs": 13.0, "GPUs parked": 0.5, "GPUs idle": 1.5,
        "requests that missed": 3.0, "GPUs, within SLO": 10.0,
    }  # fmt: skip
    twice = replace(power, site_w=34e3, missed_w=7e3)
    assert holds(measured(site, [power, twice]))["requests that missed"] == pytest.approx(5.0)
    with pytest.raises(ValueError, match="at least one run"):
        measured(site, [])


@pytest.fixture(scope="module")
def run() -> RunResult:
    """A minute in which the pool is half idle, with a policy that locks clocks."""
    scenario = load(
        "duration=60 s", "warm_up=20 s", "workload[chat].rate=6 /s",
        "power={utility: {budget: 60 kW}}", "pools[chat].priority=high",
        "policies.power={kind: static-clock, high: 0.7}",
    )  # fmt: skip
    return sim.run_scenario(scenario, seed=3)


def test_the_power_of_a_run_is_all_accounted_for(run: RunResult) -> None:
    power = run_power(run)
    replicas = run.tables["replicas"].to_pylist()
    busy_w = sum(row["energy_j"] for row in replicas) / 40.0 - power.idling_w
    spent = sum(power.losses_w.values()) + power.rest_w + power.parked_w + power.idling_w
    assert power.site_w == pytest.approx(spent + busy_w, rel=1e-9)
    assert power.site_w == pytest.approx(run.metrics["mean_draw_w"].value, rel=1e-9)
    assert 0.0 <= power.missed_w < busy_w
    # Eight GPUs have no replica; the clock is locked all the time, so nothing else holds GPUs down.
    assert power.parked_w + power.unallocated_w == pytest.approx(8 * 700.0)
    assert power.bound_w == pytest.approx(0.0, abs=1e-6)
    assert power.clocked_w > 0.0
    assert power.idling_w + power.idle_w + busy_w + power.clocked_w == pytest.approx(24 * 700.0)


def test_the_waterfall_of_a_run(run: RunResult) -> None:
    power = run_power(run)
    kw = holds(measured(built_of_run(run.manifest), [power]))
    busy_w = sum(row["energy_j"] for row in run.tables["replicas"].to_pylist()) / 40.0
    useful_w = busy_w - power.idling_w - power.missed_w
    assert kw["GPUs, within SLO"] == pytest.approx(useful_w / 1e3, abs=1e-3)
    assert kw["clock or cap"] == pytest.approx(power.clocked_w / 1e3, abs=1e-5)


def test_what_a_run_does_not_say_is_refused(run: RunResult) -> None:
    bare = {key: value for key, value in run.manifest.items() if key != "network"}
    with pytest.raises(ResultError, match="run it again"):
        built_of_run(bare)
    none = RunResult(run.tables, {**run.manifest, "window": {"measured_s": 0.0}})
    with pytest.raises(ResultError, match="measured no power"):
        run_power(none)
