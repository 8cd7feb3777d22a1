"""The ``telemetry`` and ``actuation`` sections, and whether control can be in time."""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from sim.check.control import control_deadline
from sim.check.scenario import Actuation, Scenario, Telemetry

BASE = Path(__file__).resolve().parents[2] / "broken" / "common" / "base.yaml"


def load(*sets: str) -> Scenario:
    return sim.load_scenario(BASE, sets=sets)


def test_the_deadline_is_a_sum() -> None:
    """2 · 2 s + 2 s + 5 s = 11 s against the 10 s of a UPS: there is no margin."""
    assert control_deadline(Telemetry(), Actuation(), "brake", 10.0) == -1.0
    ramp = Actuation(clock_delay_s=2.0, clock_steps=4, clock_step_s=1.0)
    assert control_deadline(Telemetry(delay_s=1.0), ramp, "clock", 10.0) == 0.0


def test_control_that_comes_too_late_is_warned_of_with_the_arithmetic() -> None:
    (warning,) = load("policies.power={kind: polca}").warnings
    assert warning == (
        "policies.power: a surge is acted on up to 11.0 s after it begins: 2 × 2.00 s telemetry "
        "period + 2.00 s delay + 5.00 s until the brake acts; that is 1.00 s more than the 10.0 s "
        "(assumed) for which an overload is tolerated"
    )
    (warning,) = load(
        "policies.power={kind: dynamo}", "actuation={deadline: 30 s, clock: {steps: 3}}"
    ).warnings
    assert "42.0 s until the clock acts; that is 18.0 s more than the 30.0 s (stated)" in warning


@pytest.mark.parametrize(
    "sets",
    [
        ["policies.power={kind: polca}", "actuation={deadline: 11 s}"],
        ["policies.power={kind: polca}", "telemetry={period: 1 s}"],
        ["policies.power={kind: dynamo}", "actuation={clock: {delay: 2 s}}"],
        ["policies.power={kind: demand-response, at: 5 min, lasts: 5 min}"],
        ["policies.power={kind: static-clock}"],
    ],
)
def test_control_in_time_is_not_warned_of(sets: list[str]) -> None:
    assert load(*sets).warnings == ()


def test_demand_response_that_outlasts_the_run_is_warned_of() -> None:
    """Its default is three hours, the run's end 15 minutes."""
    (warning,) = load("policies.power={kind: demand-response, at: 5 min}").warnings
    assert warning.startswith(
        "policies.power: demand-response lasts until 11,100 s, beyond the end of the run at 900 s"
    )


def remarked(*sets: str) -> str:
    scenario = load(*sets)
    assert scenario.warnings == ()
    (remark,) = scenario.remarks
    return remark


def test_the_margin_is_said_where_control_is_in_time() -> None:
    assert remarked("policies.power={kind: polca}", "telemetry={period: 1 s}") == (
        "policies.power: a surge is acted on up to 9.00 s after it begins: 2 × 1.00 s telemetry "
        "period + 2.00 s delay + 5.00 s until the brake acts; that leaves 1.00 s of the 10.0 s "
        "(assumed) for which an overload is tolerated"
    )
    assert load().remarks == ()
    assert load("policies.power={kind: static-clock}").remarks == ()


def upss(rating: str, a: str, b: str) -> str:
    named = (("ups-a", a), ("ups-b", b))
    each = (f"{{name: {name}, rating: {rating}, {gear}}}" for name, gear in named)
    return f"power.ups=[{', '.join(each)}]"


POLCA = "policies.power={kind: polca}"


def test_the_stampede_of_the_published_row_is_a_second_too_late() -> None:
    """2 · 2 + 2 + 5 = 11 s against the rule of 10 s, at whatever overload."""
    gear = "product: polca-10s"
    (warning,) = load(POLCA, upss("60 kW", gear, gear), "power.utility.budget=200 kW").warnings
    assert warning.endswith(
        "that is 1.00 s more than the 10.0 s for which ups-b (polca-10s) carries 140 % of its "
        "rating, every GPU at its TDP and ups-a lost"
    )


def test_the_weakest_product_at_its_worst_planned_load_decides() -> None:
    galaxy, riello = "product: galaxy-vxl", "product: riello-dlp"
    says = remarked(POLCA, upss("70 kW", galaxy, galaxy))
    assert "leaves 589 s of the 600 s for which ups-b (galaxy-vxl) carries 120 %" in says
    says = remarked(POLCA, upss("70 kW", riello, galaxy))
    assert "leaves 19.0 s of the 30.0 s for which ups-a (riello-dlp) carries 120 %" in says
    assert says.endswith("every GPU at its TDP and ups-b lost")
    says = remarked(POLCA, upss("100 kW", galaxy, galaxy))
    assert says.endswith(
        "need not be in time: ups-b (galaxy-vxl) carries 84.2 % of its rating, every GPU at its "
        "TDP and ups-a lost, for ever"
    )
    half = remarked(POLCA, "telemetry={period: 1 s}", upss("70 kW", galaxy, "budget: 65 kW"))
    assert "ups-a (galaxy-vxl) carries 120 %" in half  # the other states nothing


def test_a_stated_deadline_and_a_ups_that_is_not_above_count_otherwise() -> None:
    gear = upss("70 kW", "product: riello-dlp", "product: riello-dlp")
    stated = remarked(POLCA, gear, "actuation={deadline: 12 s}")
    assert "leaves 1.00 s of the 12.0 s (stated)" in stated
    (warning,) = load("policies.power={kind: polca, watch: utility}", gear).warnings
    assert "1.00 s more than the 10.0 s (assumed)" in warning


def test_sections_without_a_controller_are_said_to_do_nothing() -> None:
    scenario = load("telemetry={lost: 1 %}", "actuation={deadline: 5 s}")
    assert scenario.warnings == (
        "telemetry: has no effect: power policy 'none' watches nothing",
        "actuation: has no effect: power policy 'none' watches nothing",
    )


def test_values_reach_the_scenario_and_its_canonical_form() -> None:
    scenario = load(
        "policies.power={kind: polca, watch: utility}",
        "telemetry={period: 3 s, delay: 500 ms, quantum: 1 kW, lost: 2 %, stale_after: 9 s}",
        "actuation={clock: {delay: 2 s, steps: 4, step_time: 500 ms}, brake: {delay: 1 s, "
        "clock: 25 %, hold: 20 s, refractory: 30 s}}",
    )
    assert scenario.telemetry == Telemetry(3.0, 0.5, 1000.0, 0.02, 9.0)
    assert scenario.actuation == Actuation(2.0, 4, 0.5, 1.0, 0.25, 20.0, 30.0)
    assert scenario.resolved["telemetry"]["period_s"] == 3.0
    assert scenario.resolved["policies"]["power"]["cap_at"] == 0.8
    assert "telemetry" not in load().resolved
