"""The control chain: what is seen and when, what acts and when, and the rules of brakes."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from sim.check.scenario import Actuation, Telemetry
from sim.engine.control import rounded_mw
from sim.engine.controllers import ClassState
from sim.engine.levers import levers
from sim.errors import SimulationError
from sim.policies.power.base import (
    Admit,
    Brake,
    Cap,
    ClassView,
    Clock,
    Note,
    PowerView,
    Release,
)
from sim.rng import KeyedBits
from tests.unit.engine.control_plant import Run, Scripted, control

#: Everything at once, so that a test can slow down the one thing that it is about.
AT_ONCE = Actuation(clock_delay_s=0.0, brake_delay_s=0.0, brake_hold_s=0.0, brake_refractory_s=0.0)


def on_a(*script: object) -> Scripted:
    """Commands to the controller of the first PDU only."""
    return Scripted(tuple((*line, "row-pdu-a") for line in script))


def calls(run: Run) -> list[tuple[float, float]]:
    """(time, share) of every change of clocks of the first pool's replicas."""
    return [(time_s, share) for time_s, replicas, share in run.plant.calls if 0 in replicas]


# ---- telemetry --------------------------------------------------------------------------------


def test_a_reading_is_the_mean_of_its_period_and_comes_late() -> None:
    run = control(Scripted(), 9.0, lambda t: 8_000.0 if t < 3.0 else 9_000.0)
    views = run.views()
    assert [view.time_s for view in views] == [4.0, 6.0, 8.0]
    assert [(view.from_s, view.until_s) for view in views] == [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0)]
    assert [view.reading_w for view in views] == [8_000.0, 8_500.0, 9_000.0]
    assert views[0].limit_w == 10_000.0
    assert views[1].use == 0.85


@pytest.mark.parametrize(
    ("mean_mw", "quantum_mw", "shown_mw"),
    [
        (1_234_567.4, 1, 1_234_567), (1_234_567.4, 0, 1_234_567), (1_249_999.6, 100_000, 1_300_000),
        (1_249_999.4, 100_000, 1_200_000), (1_250_000.0, 100_000, 1_300_000),
        (1_250_000.0 - 1e-7, 100_000, 1_300_000), (49_999.0, 100_000, 0), (0.0, 100_000, 0),
    ],
)  # fmt: skip
def test_readings_are_rounded_to_the_quantum(
    mean_mw: float, quantum_mw: int, shown_mw: int
) -> None:
    assert rounded_mw(mean_mw, quantum_mw) == shown_mw


def test_which_readings_are_lost_depends_on_the_seed_and_the_node_alone() -> None:
    telemetry = Telemetry(lost=0.5, stale_after_s=1e9)
    seen = {
        delay_s: {
            view.number
            for view in control(
                Scripted(), 40.0, telemetry=replace(telemetry, delay_s=delay_s)
            ).views()
        }
        for delay_s in (0.0, 1.0)
    }
    bits = KeyedBits(1, "telemetry/row-pdu-a/lost")
    there = {number for number in range(1, 21) if bits.uniform(number) >= 0.5}
    assert seen[0.0] == there
    assert seen[1.0] == there - {20}
    assert 3 < len(there) < 17


def test_without_readings_a_controller_decides_nothing_until_it_is_blind() -> None:
    run = control(Scripted(), 21.0, telemetry=Telemetry(lost=1.0, stale_after_s=10.0))
    assert [(view.time_s, view.reading_w) for view in run.views()] == [
        (time_s, None) for time_s in (10.0, 12.0, 14.0, 16.0, 18.0, 20.0)
    ]
    assert run.times("telemetry-stale") == [10.0, 10.0]  # once for each of two controllers
    assert run.chain.controllers[0].counts["lost"] == 9


def test_a_policy_sees_nothing_but_telemetry() -> None:
    """What happens after a reading was taken, or inside its period, is not in the view."""
    smooth = control(Scripted(), 9.0, lambda t: 9_000.0)
    wild = control(Scripted(), 9.0, lambda t: 18_000.0 if t % 2.0 < 1.0 else 0.0)
    late = control(Scripted(), 9.0, lambda t: 9_000.0 if t < 6.0 else 99_000.0)
    assert smooth.views() == wild.views() == late.views()
    plain = (float, int, str, bool, type(None), tuple)
    for view in smooth.views():
        assert all(type(getattr(view, name.name)) in plain for name in fields(PowerView))
        assert all(type(one) is ClassView for one in view.classes)
        assert [one.priority for one in view.classes] == [2, 0]


# ---- actuators --------------------------------------------------------------------------------


def test_nothing_acts_before_its_time() -> None:
    run = control(on_a((4.0, Clock(0.79)), (6.0, Brake())), 60.0)
    assert calls(run) == [(11.0, 0.2)]  # the clock's delay ends at 44 s, under the brake
    assert run.times("clock-commanded") == [4.0, 4.0]
    assert run.times("clock-acted") == [44.0, 44.0]
    assert run.times("brake-commanded") == [6.0]
    assert run.times("brake-on") == [11.0]


def test_commands_follow_one_another_and_none_is_cancelled() -> None:
    script = on_a((4.0, Clock(0.79)), (6.0, Clock(0.9)), (8.0, Clock(0.5)))
    assert calls(control(script, 60.0)) == [(44.0, 0.79), (46.0, 0.9), (48.0, 0.5)]


def test_a_ramp_is_equal_steps_and_the_next_command_waits_for_its_end() -> None:
    ramp = Actuation(clock_delay_s=10.0, clock_steps=5, clock_step_s=3.0)
    run = control(on_a((4.0, Clock(0.5)), (6.0, Clock(1.0))), 60.0, actuation=ramp)
    # 0.9, 0.8, 0.7, 0.6, 0.5 on the levels of the GPU, then 0.6, 0.7, 0.8, 0.9, 1 again.
    assert calls(run) == [(14.0, 0.9), (17.0, 0.79), (20.0, 0.5), (32.0, 0.79), (35.0, 0.9),
                          (38.0, 1.0)]  # fmt: skip
    assert run.times("clock-acted") == [26.0, 26.0, 38.0, 38.0]


def test_a_class_is_commanded_alone() -> None:
    run = control(on_a((4.0, Clock(0.79, 2)), (6.0, Clock(0.93, 0))), 60.0)
    assert run.plant.calls == [(44.0, (2, 3), 0.79), (46.0, (0, 1), 0.93)]


def test_below_two_nodes_the_lowest_clock_in_force_counts() -> None:
    script = Scripted(
        (
            (4.0, Clock(0.9), "row-pdu-a"), (4.0, Clock(0.79), "row-pdu-b"),
            (10.0, Clock(1.0), "row-pdu-b"), (14.0, Clock(1.0), "row-pdu-a"),
        )
    )  # fmt: skip
    fast = replace(AT_ONCE, clock_delay_s=1.0)
    times = [(5.0, 0.9), (5.0, 0.79), (11.0, 0.9), (15.0, 1.0)]
    assert calls(control(script, 60.0, actuation=fast)) == times


def test_a_gpu_takes_the_level_below_and_its_lowest_at_worst() -> None:
    script = on_a((4.0, Clock(0.89)), (6.0, Clock(0.001)))
    assert calls(control(script, 20.0, actuation=AT_ONCE)) == [(4.0, 0.79), (6.0, 0.2)]


def test_a_command_that_changes_nothing_is_none() -> None:
    script = on_a((4.0, Clock(1.0)), (6.0, Clock(0.5)), (8.0, Clock(0.5)), (10.0, Release()))
    run = control(script, 20.0, actuation=AT_ONCE)
    assert run.times("clock-commanded") == [6.0, 6.0]
    assert [row["t_s"] for row in run.decisions] == [6.0, 6.0]


def test_senseless_commands_are_refused_with_the_reason() -> None:
    script = on_a((4.0, Clock(1.2)), (4.0, Clock(float("nan"))), (4.0, Clock(0.5, 7)))
    run = control(script, 6.0)
    assert [row["reason_code"] for row in run.decisions] == ["share", "share", "class"]
    assert run.plant.calls == []
    with pytest.raises(SimulationError, match="yielded 'faster'; a decision is a few of Clock"):
        control(on_a((4.0, "faster")), 6.0)


def test_a_note_is_an_event_and_a_warning_if_it_asks_for_one() -> None:
    run = control(on_a((4.0, Note("mood", "low", warn=True)), (4.0, Note("mood", "fair"))), 6.0)
    assert run.times("mood") == [4.0, 4.0]
    assert run.warnings == ["row-pdu-a at 4 s: low"]


# ---- brakes -----------------------------------------------------------------------------------


def test_under_the_brake_and_after_it_clocks_fall_and_do_not_rise() -> None:
    script = on_a(
        (4.0, Clock(0.9)), (6.0, Brake()), (8.0, Clock(1.0)), (10.0, Clock(0.79)),
        (14.0, Release()), (16.0, Clock(1.0)), (20.0, Clock(1.0)), (22.0, Clock(1.0)),
    )  # fmt: skip
    rules = replace(AT_ONCE, brake_refractory_s=7.0)
    run = control(script, 30.0, actuation=rules)
    refused = [(row["t_s"], row["reason_code"]) for row in run.decisions if not row["accepted"]]
    assert refused == [(8.0, "brake")] * 2 + [(16.0, "refractory")] * 2  # 20 s: the same again
    assert calls(run) == [(4.0, 0.9), (6.0, 0.2), (14.0, 0.79), (22.0, 1.0)]


def test_a_brake_holds_its_time_and_until_what_was_commanded_shows() -> None:
    rules = Actuation(
        clock_delay_s=10.0, brake_delay_s=1.0, brake_hold_s=4.0, brake_refractory_s=0.0
    )
    releases = [(t, Release()) for t in (6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0)]
    script = on_a((4.0, Brake()), (4.0, Clock(0.79)), *releases)
    run = control(script, 30.0, actuation=rules)
    # On from 5 s, held to 9 s; the clocks act at 14 s, the period (14, 16] is read at 18 s.
    assert run.times("release-commanded") == [18.0]
    assert run.times("brake-off") == [19.0]
    brake = run.chain.controllers[0].brake
    assert brake.time_on.window == 14.0
    assert run.chain.controllers[0].counts["brakes"] == 1


def test_a_brake_may_be_pulled_again_while_it_is_released() -> None:
    rules = replace(AT_ONCE, brake_delay_s=3.0)
    run = control(on_a((4.0, Brake()), (10.0, Release()), (12.0, Brake())), 30.0, actuation=rules)
    assert calls(run) == [(7.0, 0.2), (13.0, 1.0), (15.0, 0.2)]


def test_seconds_below_the_highest_clock_are_counted_by_pool() -> None:
    run = control(on_a((4.0, Clock(0.5, 2)), (8.0, Clock(1.0, 2))), 20.0, actuation=AT_ONCE)
    high, low = run.chain._actuators.pools
    assert (high.capped.window, low.capped.window) == (0.0, 2 * 4.0)
    assert low.shares.window == 2 * (16.0 + 4.0 * 0.5)


# ---- caps and admission -----------------------------------------------------------------------


def test_caps_have_an_actuator_of_their_own() -> None:
    slow_clocks = replace(AT_ONCE, clock_delay_s=30.0, cap_delay_s=3.0, admission_delay_s=0.5)
    run = control(
        on_a((4.0, Clock(0.5, 2)), (4.0, Cap(400.0, 2)), (8.0, Cap(None)), (8.0, Cap(500.0, 0))),
        40.0, actuation=slow_clocks,
    )  # fmt: skip
    assert run.plant.caps == [(7.0, (2, 3), 400_000), (11.0, (2, 3), None), (11.0, (0, 1), 500_000)]
    assert run.times("cap-commanded") == [4.0, 8.0, 8.0]
    assert run.times("cap-acted") == [7.0, 11.0, 11.0]
    assert calls(run) == []
    low = {view.time_s: view.classes[0] for view in run.views()}
    assert [low[t].cap_w for t in (4.0, 6.0, 8.0, 10.0)] == [None, 400.0, 400.0, None]
    assert not low[36.0].seen  # the clock acts at 34 s: it shows in the reading of (34, 36]
    assert low[38.0].seen


def test_a_cap_is_rounded_down_to_milliwatts_and_the_lowest_of_two_feeds_counts() -> None:
    run = control(
        Scripted(
            (
                (4.0, Cap(400.0009, 2), "row-pdu-a"),
                (6.0, Cap(350.0, 2), "row-pdu-b"),
                (8.0, Cap(None, 2), "row-pdu-a"),
                (10.0, Cap(None, 2), "row-pdu-b"),
            )
        ),
        20.0,
        actuation=replace(AT_ONCE, cap_delay_s=0.0),
    )
    assert run.plant.caps == [(4.0, (2, 3), 400_000), (6.0, (2, 3), 350_000), (10.0, (2, 3), None)]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (Cap(0.0, 2), "a cap is a number of watts above 0, or none"),
        (Cap(float("nan")), "a cap is a number of watts above 0, or none"),
        (Cap(120.0, 2), "one of its GPUs draws 120 W without work"),
        (Cap(300.0, 5), "no replica of this priority is below row-pdu-a"),
        (Admit(1.5), "a share of replicas is from 0 to 1"),
        (Admit(-0.1), "a share of replicas is from 0 to 1"),
    ],
)
def test_senseless_caps_and_shares_are_refused(command: Cap | Admit, reason: str) -> None:
    run = control(on_a((4.0, command)), 10.0, actuation=AT_ONCE)
    refused = [row for row in run.decisions if not row["accepted"]]
    assert [row["reason"] for row in refused] == [reason]
    assert run.plant.caps == run.plant.holds == []


def test_a_share_of_the_replicas_admits_those_placed_first() -> None:
    at_once = replace(AT_ONCE, admission_delay_s=0.0)
    run = control(
        on_a((4.0, Admit(0.5, 2)), (6.0, Admit(0.0, 2)), (8.0, Admit(0.01, 2)), (10.0, Admit(1.0))),
        20.0, actuation=at_once,
    )  # fmt: skip
    assert run.plant.holds == [
        (4.0, 3, False), (6.0, 2, False), (8.0, 2, True), (10.0, 3, True),
    ]  # fmt: skip
    assert run.times("admission-acted") == [4.0, 6.0, 8.0, 10.0]
    (pdu_a, pdu_b) = run.chain.controllers
    assert (pdu_a.counts["admission"], pdu_b.counts["admission"]) == (4, 0)


@pytest.mark.parametrize(("share", "admit"), [(0.07, 7), (0.071, 8), (0.55, 55), (1e-4, 1)])
def test_a_share_that_is_a_whole_number_of_replicas_admits_just_those(
    share: float, admit: int
) -> None:
    """100 · 0.07 and 100 · 0.55 are above 7 and 55 in floating point."""
    one = ClassState(2, levers(Actuation()))
    one.have(range(1000, 1100))
    one.levers["admission"].in_force = share
    assert [replica for replica in one.replicas if one.admits(replica)] == [
        1000 + n for n in range(admit)
    ]


def test_caps_and_admission_do_not_rise_while_the_brake_is_in_use() -> None:
    slow = replace(AT_ONCE, cap_delay_s=0.0, admission_delay_s=0.0, brake_refractory_s=6.0)
    run = control(
        on_a(
            (4.0, Cap(300.0, 2)), (4.0, Admit(0.5, 2)), (6.0, Brake()),
            (8.0, Cap(None, 2)), (8.0, Admit(1.0, 2)), (8.0, Cap(250.0, 2)),
            (12.0, Release()), (14.0, Admit(1.0, 2)), (20.0, Admit(1.0, 2)), (20.0, Cap(None, 2)),
        ),
        24.0, actuation=slow,
    )  # fmt: skip
    assert [cap for _, _, cap in run.plant.caps] == [300_000, 250_000, None]
    assert [time_s for time_s, _, _ in run.plant.holds] == [4.0, 20.0]
    codes = [row["reason_code"] for row in run.decisions if not row["accepted"]]
    assert codes == ["brake", "brake", "refractory"]
