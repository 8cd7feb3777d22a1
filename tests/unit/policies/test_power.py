"""Power policies on a plant whose draw follows clocks: what they hold, and in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sim.check.control import control_deadline
from sim.check.scenario import Actuation, Telemetry
from sim.policies.base import policies
from tests.unit.engine.control_plant import LIMIT_W, Run, control

SLOW = Actuation()
FAST = Actuation(clock_delay_s=2.0)


def policy(kind: str, **parameters: Any) -> Any:
    return policies("power")[kind](**parameters)


def clocks(run: Run, pool: int) -> list[tuple[float, float]]:
    """(time, share) of every change of a pool's clocks."""
    return [(time_s, share) for time_s, some, share in run.plant.calls if 2 * pool in some]


def draw_w(run: Run, base_w: float) -> float:
    """What a node draws at the end."""
    return base_w * sum(run.plant.shares) / len(run.plant.shares)


# ---- static clock -----------------------------------------------------------------------------


def test_a_static_clock_is_there_from_the_start_by_priority() -> None:
    run = control(
        policy("static-clock", high=0.93, normal=0.9, low=0.79), 10.0, priorities=(0, 1, 2, 5)
    )
    assert sorted(run.plant.calls) == [
        (0.0, (0, 1), 0.93), (0.0, (2, 3), 0.9), (0.0, (4, 5, 6, 7), 0.79),
    ]  # fmt: skip
    assert run.chain.controllers == ()


# ---- POLCA ------------------------------------------------------------------------------------


def test_polca_caps_low_priority_first_and_undoes_it_below_the_hysteresis() -> None:
    # 0.84 of the limit; from 100 s on 0.70.
    run = control(policy("polca"), 200.0, lambda t: 8_400.0 if t < 100.0 else 7_000.0)
    assert clocks(run, 0) == []
    assert clocks(run, 1) == [(44.0, 0.9), (144.0, 1.0)]


def test_polca_caps_high_priority_only_when_a_reading_shows_the_deep_cap() -> None:
    # 0.98 of the limit: 0.877 with the low class at 0.79.
    held = control(policy("polca"), 200.0, lambda _: 9_800.0)
    assert clocks(held, 1) == [(44.0, 0.79)]
    assert clocks(held, 0) == []
    # 0.999: still 0.894 with it, seen in the period (44, 46], which arrives at 48 s.
    fine = Telemetry(quantum_w=10.0)
    above = control(policy("polca"), 200.0, lambda _: 9_990.0, telemetry=fine)
    assert clocks(above, 1)[0] == (44.0, 0.79)
    assert clocks(above, 0)[0] == (88.0, 0.93)
    assert above.times("brake-commanded") == []


def test_polca_brakes_once_where_caps_hold_the_surge() -> None:
    """Readings under the brake look like headroom; without the rules it would flap."""
    run = control(policy("polca"), 400.0, lambda t: 8_000.0 if t < 100.0 else 10_900.0)
    assert run.times("brake-commanded") == [104.0] * 2  # a controller at each PDU
    assert run.times("brake-on") == [109.0] * 2
    # Held for 45 s; the deep caps of 144 s show in the reading of (144, 146].
    assert run.times("release-commanded") == [154.0] * 2
    assert clocks(run, 0) == [(109.0, 0.2), (159.0, 0.93)]
    assert clocks(run, 1) == [(109.0, 0.2), (159.0, 0.79)]
    assert draw_w(run, 10_900.0) < LIMIT_W
    naive = control(
        policy("polca"), 400.0, lambda t: 8_000.0 if t < 100.0 else 10_900.0,
        actuation=replace(SLOW, brake_hold_s=0.0, brake_refractory_s=0.0),
    )  # fmt: skip
    assert len(naive.times("brake-commanded")) == 8


@pytest.mark.parametrize("onset_s", [100.0, 100.125, 100.5, 101.0, 101.875])
def test_the_brake_acts_within_the_deadline_whenever_a_surge_begins(onset_s: float) -> None:
    run = control(policy("polca"), 130.0, lambda t: 7_000.0 if t < onset_s else 10_200.0)
    late_s = run.times("brake-on")[0] - onset_s
    deadline_s = -control_deadline(Telemetry(), Actuation(), "brake", 0.0)
    assert deadline_s - 2.0 - 0.25 <= late_s <= deadline_s
    if onset_s == 100.125:  # just after a reading: the whole of the sum but an eighth
        assert late_s == deadline_s - 0.125


def test_polca_with_every_clock_at_its_maximum_is_a_brake_and_nothing_else() -> None:
    brake_only = policy("polca", low_clock=1.0, low_deep_clock=1.0, high_clock=1.0)
    run = control(brake_only, 200.0, lambda t: 10_500.0 if 20.0 <= t < 40.0 else 9_500.0)
    assert run.times("brake-commanded") == [24.0, 24.0]  # one for each PDU
    assert len(run.times("brake-off")) == 2
    assert run.times("clock-commanded") == []


def test_polca_without_telemetry_takes_its_deepest_clocks_and_no_brake() -> None:
    run = control(policy("polca"), 60.0, telemetry=Telemetry(lost=1.0))
    assert clocks(run, 0) == [(50.0, 0.93)]
    assert clocks(run, 1) == [(50.0, 0.79)]
    assert run.times("brake-commanded") == []


def test_polca_takes_everyone_for_high_where_nobody_is_low() -> None:
    run = control(policy("polca"), 60.0, lambda _: 9_500.0, priorities=(1,))
    assert run.plant.calls == [(44.0, (0, 1), 0.93)]


# ---- Dynamo -----------------------------------------------------------------------------------


def test_dynamo_brings_the_draw_under_its_cap_from_low_to_high() -> None:
    run = control(policy("dynamo", gain=1.0), 60.0, lambda _: 11_000.0, actuation=FAST)
    first = next(row for row in run.decisions)
    assert first["suggestion"] == "low to 86.3636 % of the maximum clock"
    assert clocks(run, 1)[0] == (6.0, 0.79)
    assert draw_w(run, 11_000.0) <= 0.99 * LIMIT_W
    assert clocks(run, 0) == []


def test_dynamo_goes_on_to_the_next_class_and_stops_at_floors() -> None:
    run = control(policy("dynamo", floor=0.9), 90.0, lambda _: 12_000.0, actuation=FAST)
    assert [share for _, share in clocks(run, 1)] == [0.9]
    assert [share for _, share in clocks(run, 0)] == [0.9]
    assert clocks(run, 0)[0][0] > clocks(run, 1)[0][0]


def test_dynamo_frees_everyone_below_the_uncap_band() -> None:
    run = control(
        policy("dynamo"), 120.0, lambda t: 10_500.0 if t < 30.0 else 8_000.0, actuation=FAST
    )
    assert run.plant.shares == [1.0] * 4
    assert clocks(run, 1)[-1][1] == 1.0


def test_upper_nodes_of_dynamo_decide_more_seldom() -> None:
    both = policy("dynamo", watch="ups+pdu", upper_period=9.0, floor=0.01, gain=0.1)
    run = control(both, 80.0, lambda _: 1e7, actuation=replace(FAST, clock_delay_s=0.0))
    upper = [row["t_s"] for row in run.decisions if row["subject"] == "ups-a"]
    leaf = [row["t_s"] for row in run.decisions if row["subject"] == "row-pdu-a"]
    assert upper == [4.0, 14.0, 24.0, 34.0, 44.0, 54.0, 64.0, 74.0]
    assert len(leaf) > 2 * len(upper)


# ---- demand response --------------------------------------------------------------------------


def test_demand_response_reaches_its_target_low_priority_first_and_rises_in_steps() -> None:
    """Nothing can wait here, so clocks have to do."""
    ask = policy(
        "demand-response", at=100.0, lasts=200.0, cut=0.1, release_every=50.0, flexible_from=8,
        settle=20.0,
    )  # fmt: skip
    run = control(ask, 600.0, lambda _: 9_000.0, actuation=FAST)
    (event,) = [row for row in run.events if row["kind"] == "demand-response"]
    assert event["detail"] == "asked for 10 % less than 9,000 W: at most 8,100 W"
    assert event["t_s"] == 100.0
    lowered = [(t, share) for t, share in clocks(run, 1) if t < 300.0]
    # 102 s; seen in the reading that arrives at 106 s, and ten of them make 20 s: 124 s.
    assert lowered == [(102.0, 0.9), (126.0, 0.79)]
    assert clocks(run, 0) == []
    assert [t for t, share in clocks(run, 1) if t > 300.0] == [302.0, 352.0]
    assert run.plant.shares == [1.0] * 4
    assert run.plant.holds == []


def test_demand_response_holds_what_can_wait_before_it_slows_anybody() -> None:
    """The low class is half of the replicas; what holding takes off is seen in the readings."""

    ask = policy(
        "demand-response", at=100.0, lasts=300.0, cut=0.5, settle=20.0, hold_step=0.5,
        release_every=50.0, parks=False,
    )  # fmt: skip
    run = control(ask, 900.0, lambda t: 9_000.0 if t < 101.0 else 8_000.0, actuation=FAST)
    assert run.plant.holds[:2] == [(101.0, 3, False), (125.0, 2, False)]
    assert clocks(run, 1)[0][0] > 125.0
    (warning,) = [w for w in run.warnings if "not reachable" in w]
    assert "of 4 replicas took 1,000 W off" in warning
    # 4,500 W are asked for; clocks take 2,800 W of the 8,000 W: half a replica more per 1,000 W.
    assert "so about 85 % of the replicas would have to wait" in warning
    # Afterwards clocks rise first, then who was held is let in, in two steps.
    back = [(t, some) for t, some, admits in run.plant.holds if admits]
    assert [some for _, some in back] == [2, 3]
    assert back[1][0] - back[0][0] == 50.0
    assert run.plant.shares == [1.0] * 4


def test_demand_response_parks_who_is_held_and_loads_them_again() -> None:
    ask = policy("demand-response", at=100.0, lasts=100.0, cut=0.1, settle=20.0, hold_step=1.0,
                 release_every=50.0)  # fmt: skip
    run = control(ask, 800.0, lambda t: 9_000.0 if t < 101.0 else 8_000.0, actuation=FAST)
    assert run.plant.holds[:2] == [(101.0, 2, False), (101.0, 3, False)]
    assert run.plant.held_mw == {70_000, None}
    restart_s = run.chain._actuators._restart_s
    assert run.plant.holds[2:] == [(201.0 + restart_s, 2, True), (201.0 + restart_s, 3, True)]
    (ended,) = [row for row in run.events if row["kind"] == "demand-response-ended"]
    assert ended["t_s"] == 200.0
    # The readings of (96, 98] and (98, 100] are of before; (100, 102] is half and half.
    less = 100 * (1 - (3 * 9_000 - 500 + 47 * 8_000) / 50 / 9_000)
    assert ended["detail"] == (
        f"drew {less:.1f} % less in the mean, {less:.1f} to {less:.1f} % by 5 minutes, "
        "1 of 1 of these within the target"
    )


def test_demand_response_says_when_its_target_is_out_of_reach_and_what_would_do() -> None:
    ask = policy(
        "demand-response", at=100.0, lasts=600.0, cut=0.4, settle=20.0, low_floor=0.79,
        hold_step=1.0,
    )  # fmt: skip
    run = control(ask, 680.0, lambda t: 9_000.0 if t < 101.0 else 7_500.0, actuation=FAST)
    assert len(run.times("not-reachable")) == 1
    text = run.warnings[-1]
    # 7,500 W · 0.79 = 5,925 W is reached, 5,400 W was asked for.
    assert "every clock at its floor it draws 5,900 W, above 5,400 W" in text
    held_w, clocks_w = 1_500.0, 1_600.0
    share = 0.5 * (3_600.0 - clocks_w) / held_w
    assert f"so about {100 * share:.0f} % of the replicas would have to wait" in text
    assert run.times("brake-commanded") == []
    more = policy("demand-response", at=100.0, lasts=600.0, cut=0.7, settle=20.0, hold_step=1.0)
    run = control(more, 680.0, lambda t: 9_000.0 if t < 101.0 else 7_500.0, actuation=FAST)
    assert "not even all of them held would do" in run.warnings[-1]
    none = policy("demand-response", at=100.0, lasts=600.0, cut=0.4, settle=0.0, flexible_from=8)
    run = control(none, 680.0, lambda _: 9_000.0, actuation=FAST)
    assert "no pool has priority 8 or more, so none can wait" in run.warnings[-1]


@pytest.mark.parametrize("hold_step", [0.1, 0.2, 0.25])
def test_demand_response_holds_all_that_can_wait_in_any_steps(hold_step: float) -> None:
    """Ten times 0.1 off 1 leaves 1e-16: nobody admits by then, and clocks are next."""
    ask = policy(
        "demand-response", at=100.0, lasts=900.0, cut=0.5, settle=0.0, hold_step=hold_step,
    )  # fmt: skip
    run = control(ask, 900.0, actuation=FAST)
    assert {some for _, some, _ in run.plant.holds} == {2, 3}
    assert clocks(run, 1)[-1][1] == 0.5  # its floor, 0.6, lies between two levels
    assert len(run.times("not-reachable")) == 1


def test_demand_response_judges_its_first_step_by_the_reading_not_the_hour_before() -> None:
    """A stated base: what is drawn now is above the target, the hour before was far below."""
    ask = policy(
        "demand-response", at=100.0, lasts=60.0, cut=0.1, base=9_000.0, settle=40.0, hold_step=0.5
    )
    run = control(ask, 150.0, lambda t: 2_000.0 if t < 96.0 else 9_000.0, actuation=FAST)
    assert run.plant.holds[0] == (101.0, 3, False)


def test_demand_response_says_what_became_of_it_when_it_is_over() -> None:
    """A step waits 20 s: an event of 50 s ends amid them, one of 200 s at its target."""
    ask = {"at": 100.0, "cut": 0.3, "flexible_from": 8, "settle": 20.0}
    run = control(policy("demand-response", lasts=50.0, **ask), 400.0, lambda _: 9_000.0,
                  actuation=FAST)  # fmt: skip
    (event,) = [row for row in run.events if row["kind"] == "not-reached"]
    assert event["t_s"] == 150.0
    (warning,) = run.warnings
    assert "its 50 s were over before its steps had brought the draw to the target" in warning
    run = control(policy("demand-response", lasts=200.0, **(ask | {"cut": 0.1})), 400.0,
                  lambda _: 9_000.0, actuation=FAST)  # fmt: skip
    assert [row for row in run.events if row["kind"] == "not-reached"] == []
    (ended,) = [row for row in run.events if row["kind"] == "demand-response-ended"]
    assert ended["detail"].startswith("drew 9.0 % less in the mean")
    assert run.warnings == []


# ---- parameters -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("polca", {"watch": "pud"}, "watch 'pud' must be kinds of power nodes"),
        ("polca", {"watch": "pdu+utility"}, "from the top down"),
        ("polca", {"cap_at": 0.9}, "cap_at 0.9 must be below deep_at 0.89"),
        ("polca", {"hysteresis": 0.8}, "hysteresis must be from 0 to below cap_at"),
        ("polca", {"low_clock": 1.2}, "low_clock must be above 0 % and at most 100 %, not 120 %"),
        ("polca", {"low_from": 0}, "low_from must be a priority from 1 to 7"),
        ("dynamo", {"target": 1.0}, "target 1 must be below cap_at 0.99"),
        ("dynamo", {"gain": 0.0}, "gain must be above 0"),
        ("static-clock", {"high": 0.0}, "high must be above 0 %"),
        ("demand-response", {"at": -1.0}, "at must not be negative"),
        ("demand-response", {"at": 1.0, "cut": 0.0}, "cut must be above 0 %"),
    ],
)
def test_senseless_parameters_are_refused(
    kind: str, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message.replace("+", r"\+")):
        policy(kind, **parameters)
