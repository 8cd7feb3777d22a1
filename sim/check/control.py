"""The ``telemetry`` and ``actuation`` sections, and whether control can be in time at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sim.check.collector import Collector
from sim.check.deadline import Weakest, weakest_ups
from sim.check.scenario import Actuation, Telemetry
from sim.policies.base import kind_of
from sim.policies.power.base import PowerPolicy, watched
from sim.site.types import PowerTree, Site
from sim.units import format_si

#: How long a UPS carries an overload before it drops, where neither a deadline nor a product is
#: stated: the 10 s of the ASPLOS 2024 text of POLCA (arXiv 2308.12908), as a published review
#: quotes it. The conservative end: products of today carry 125 % for 30 s to 10 min.
TOLERANCE_S = 10.0


def check_control(
    found: Collector, site: Site | None, power: PowerTree | None, policies: Mapping[str, Any]
) -> tuple[Telemetry, Actuation]:
    """Telemetry and actuators; problems and warnings about what they leave possible."""
    spec = found.document.spec
    seen, acts = spec.telemetry, spec.actuation
    telemetry = Telemetry(seen.period, seen.delay, seen.quantum, seen.lost, seen.stale_after)
    clock, brake = acts.clock, acts.brake
    actuation = Actuation(
        clock.delay, clock.steps, clock.step_time,
        brake.delay, brake.clock, brake.hold, brake.refractory,
        acts.cap.delay, acts.admission.delay,
    )  # fmt: skip
    policy = policies.get("power")
    if policy is None or site is None or power is None:
        return telemetry, actuation
    try:
        kinds = watched(policy)
    except ValueError as error:
        found.error(("policies", "power", "watch"), str(error))
        return telemetry, actuation
    if not kinds:
        for section in ("telemetry", "actuation"):
            if section in spec.model_fields_set:
                kind = kind_of(policy)
                found.warn((section,), f"has no effect: power policy {kind!r} watches nothing")
        return telemetry, actuation
    _watches_something(found, power, policy)
    _within_the_run(found, policy)
    if policy.fastest:
        weakest = weakest_ups(site, power, controlled_nodes(power, policy))
        _in_time(found, telemetry, actuation, policy, weakest)
    return telemetry, actuation


def controlled_nodes(tree: PowerTree, policy: PowerPolicy) -> tuple[int, ...]:
    """The nodes of the tree that have a controller: of a watched kind, and with a limit."""
    kinds = watched(policy)
    return tuple(
        index
        for index, node in enumerate(tree.nodes)
        if node.kind in kinds
        and (not policy.needs_limit or node.budget_w is not None or node.rating_w is not None)
    )


def _within_the_run(found: Collector, policy: PowerPolicy) -> None:
    """What is asked of it for a time begins before the run ends, and better ends before, too."""
    lasts_s, spec = policy.lasts_s(), found.document.spec
    if lasts_s is None or spec.duration is None:
        return
    (begins_s, ends_s), horizon_s = lasts_s, spec.duration + spec.drain
    end = f"the end of the run at {format_si(horizon_s, 's')} (duration + drain)"
    if begins_s >= horizon_s:
        found.error(("policies", "power", "at"), f"is not before {end}")
    elif ends_s > horizon_s:
        found.warn(
            ("policies", "power"),
            f"{kind_of(policy)} lasts until {format_si(ends_s, 's')}, beyond {end}: what comes "
            "after it, and whether it was reached at all, is not seen",
        )


def _watches_something(found: Collector, power: PowerTree, policy: PowerPolicy) -> None:
    """Every watched kind has a node with a limit."""
    nodes = controlled_nodes(power, policy)
    have = {power.nodes[node].kind for node in nodes}
    for kind in watched(policy):
        if kind not in have:
            there = any(node.kind == kind for node in power.nodes)
            lack = "states a budget or rating" if there else "is in 'power:'"
            section = {"utility": "utility", "pdu": "pdus"}.get(kind, kind)
            found.error(
                ("policies", "power", "watch"),
                f"power policy {kind_of(policy)!r} watches every {kind}, but none {lack}: write "
                f"'power: {{{section}: …}}', or watch another kind of node",
            )


def control_deadline(
    telemetry: Telemetry, actuation: Actuation, fastest: str, tolerance_s: float
) -> float:
    """Seconds that are left when a surge is acted on, at the worst: negative is too late.

    A surge that begins just after a reading shows in full only in the second one after it: two
    periods, the delay of the reading, then the actuator (``fastest``: "brake", "clock" or "cap").
    """
    acts_s = {
        "brake": actuation.brake_delay_s, "clock": actuation.clock_s, "cap": actuation.cap_delay_s,
    }[fastest]  # fmt: skip
    return tolerance_s - (2.0 * telemetry.period_s + telemetry.delay_s + acts_s)


def _in_time(
    found: Collector,
    telemetry: Telemetry,
    actuation: Actuation,
    policy: PowerPolicy,
    weakest: Weakest | None,
) -> None:
    """Say by how much the fastest actuator is in time: a remark, or a warning where it is not."""
    stated_s = found.document.spec.actuation.deadline
    tolerance_s, whose = TOLERANCE_S, "(assumed) for which an overload is tolerated"
    if stated_s is not None:
        tolerance_s, whose = stated_s, "(stated) for which an overload is tolerated"
    elif weakest is not None:
        tolerance_s, whose = weakest.tolerance_s, f"for which {weakest}"
    took_s = -control_deadline(telemetry, actuation, policy.fastest, 0.0)
    acts_s = took_s - 2.0 * telemetry.period_s - telemetry.delay_s
    text = (
        f"a surge is acted on up to {_s(took_s)} after it begins: 2 × {_s(telemetry.period_s)} "
        f"telemetry period + {_s(telemetry.delay_s)} delay + {_s(acts_s)} until the "
        f"{policy.fastest} acts; that "
    )
    path = ("policies", "power")
    if math.isinf(tolerance_s):
        found.remark(path, f"{text}need not be in time: {weakest}, for ever")
    elif took_s > tolerance_s:
        over = f"is {_s(took_s - tolerance_s)} more than the {_s(tolerance_s)} {whose}"
        found.warn(path, text + over)
    else:
        found.remark(
            path, f"{text}leaves {_s(tolerance_s - took_s)} of the {_s(tolerance_s)} {whose}"
        )


def _s(value: float) -> str:
    return format_si(value, "s")
