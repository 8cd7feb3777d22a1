"""Stranded power: how much of what is provisioned does useful work, and where the rest stays.

``planned`` needs no run: every GPU at its TDP, nothing idle. ``measured`` takes means over the
measurement window of runs. Both start from what cannot be drawn at all (``plan_power``).
"""

from __future__ import annotations

from collections.abc import Sequence

from sim import catalog
from sim.check.deadline import full_servers_mw
from sim.check.scenario import Scenario
from sim.cost.built import Built, built_of
from sim.cost.plan_power import full_draw, strand_free
from sim.cost.run_power import RunPower
from sim.cost.waterfall import SPENT, STRANDED, Cascade, Waterfall
from sim.site.load import milliwatts
from sim.units import format_si

#: Kinds of gear that lose power, from the top: kind → (level, name).
LOSSES = {
    "msb": "losses of transformers",
    "ups": "losses of UPSs",
    "pdu": "losses of PDUs",
    "server": "losses of power supplies",
}
_COOLING = "chillers, fans, pumps and tower, where the electrical tree feeds the plant"
_REST = "CPUs, memory, NICs, drives and fans of the servers: all that is not a GPU"


def planned(scenario: Scenario | Built) -> Waterfall:
    """Where provisioned power stays with every GPU at its TDP."""
    built = built_of(scenario)
    full = full_draw(built)
    drawn_mw = full.site_mw(built.power)
    cascade = Cascade(milliwatts(built.provisioned_w))
    strand_free(cascade, built, full, drawn_mw)
    cascade.take("cooling", SPENT, "cooling", full.cooling_mw, _COOLING)
    for kind, name in LOSSES.items():
        cascade.take(name, SPENT, kind, full.losses_mw(built.power, kind), f"{name} at full draw")
    gpus_mw = sum(
        node.gpus * milliwatts(gpu.tdp_w)
        for node, gpu in zip(built.site.node_types, built.site.gpu_types, strict=True)
    )
    rest_mw = int(full_servers_mw(built.site).sum()) - gpus_mw
    cascade.take("servers without their GPUs", SPENT, "server", rest_mw, _REST)
    cascade.take(
        "GPUs without a replica",
        STRANDED,
        "gpu",
        _unallocated_mw(built),
        "TDP of installed GPUs that no replica takes",
    )
    parts = cascade.end("GPUs of replicas", "gpu", "what replicas may draw at most")
    return Waterfall(cascade.provisioned_mw, parts, False, tuple(_notes(built, drawn_mw)))


def measured(scenario: Scenario | Built, runs: Sequence[RunPower]) -> Waterfall:
    """Where provisioned power stayed, as the mean of ``runs`` (seeds of one scenario).

    Raises:
        ValueError: no run.
    """
    if not runs:
        raise ValueError("needs at least one run")
    built, run = built_of(scenario), RunPower.mean(runs)
    full = full_draw(built)
    full_mw = full.site_mw(built.power)
    most_mw = max(full_mw, milliwatts(run.site_w))
    cascade = Cascade(milliwatts(built.provisioned_w))
    strand_free(cascade, built, full, most_mw)
    _not_drawn(cascade, run)
    _drawn(cascade, run)
    parts = cascade.end(
        "GPUs, within SLO", "gpu", "GPU power that worked on requests which met every objective"
    )
    notes = (*_notes(built, full_mw), *_run_notes(built, run))
    return Waterfall(cascade.provisioned_mw, parts, True, notes)


def _not_drawn(cascade: Cascade, run: RunPower) -> None:
    """What servers could have drawn and did not, by why their GPUs did not."""
    left_mw = max(0, cascade.left_mw - milliwatts(run.site_w))
    reasons = (
        ("GPUs without a replica", run.unallocated_w,
         "TDP of installed GPUs that no replica takes, less what they draw parked"),
        ("replicas idle", run.idle_w,
         "TDP less idle draw of replicas' GPUs, for the time in which no iteration ran"),
        ("clock or cap", run.clocked_w,
         "TDP less draw while iterations ran, for the share of time in which a policy's clock or "
         "cap held them down"),
        ("memory or network", run.bound_w,
         "TDP less draw while iterations ran at full clock: waiting for memory, network or in "
         "small batches"),
    )  # fmt: skip
    for name, watts, meaning in reasons:
        taken = max(0, min(milliwatts(watts), left_mw))
        cascade.take(name, STRANDED, "gpu", taken, meaning)
        left_mw -= taken
    cascade.take(
        "losses and fans not incurred",
        STRANDED,
        "server",
        left_mw,
        "what feeds, fans and cooling would have taken on top, had the GPUs drawn their TDP",
    )


def _drawn(cascade: Cascade, run: RunPower) -> None:
    """What was drawn without working on a request that met its objectives."""
    cascade.take("cooling", SPENT, "cooling", milliwatts(run.cooling_w), _COOLING)
    for kind, name in LOSSES.items():
        cascade.take(name, SPENT, kind, milliwatts(run.losses_w.get(kind, 0.0)), f"mean {name}")
    cascade.take("servers without their GPUs", SPENT, "server", milliwatts(run.rest_w), _REST)
    cascade.take(
        "GPUs parked", SPENT, "gpu", milliwatts(run.parked_w), "draw of GPUs without a replica"
    )
    cascade.take(
        "GPUs idle",
        SPENT,
        "gpu",
        milliwatts(run.idling_w),
        "draw of replicas' GPUs while no iteration ran",
    )
    cascade.take(
        "requests that missed",
        SPENT,
        "gpu",
        milliwatts(run.missed_w),
        "GPU power of iterations, times the share of delivered tokens that were of requests that "
        "missed an objective",
    )


def _unallocated_mw(built: Built) -> int:
    """TDP of GPUs without a replica; of several types, pools take each by its share of what fits.

    Placement decides which GPUs those are, and happens only in a run.
    """
    tdp_mw, count = _by_type(built)
    left = {name: float(number) for name, number in count.items()}
    for types, gpus in sorted(built.replicas, key=lambda pool: len(pool[0]) or len(left)):
        fitting = [name for name in types or left if left.get(name, 0.0) > 0.0]
        room = sum(left[name] for name in fitting)
        for name in fitting:
            left[name] -= min(gpus, room) * left[name] / room
    return round(sum(left[name] * tdp_mw[name] for name in left))


def _by_type(built: Built) -> tuple[dict[str, int], dict[str, int]]:
    count: dict[str, int] = {}
    for node in built.site.node_types:
        count[node.gpu] = count.get(node.gpu, 0) + node.gpus
    return {name: milliwatts(catalog.gpu(name).tdp_w) for name in count}, count


def _notes(built: Built, full_mw: int) -> list[str]:
    notes = []
    if built.power.provisioned_w is None:
        notes.append("no provisioned power is stated: the racks' ratings stand for it")
    over_mw = full_mw - milliwatts(built.provisioned_w)
    if over_mw > 0:
        over = format_si(over_mw / 1e3, "W")
        notes.append(f"oversubscribed: with every GPU at its TDP the site would take {over} more")
    if built.facility.plant is None:
        notes.append("no cooling is stated, so none is in here")
    elif not any(node.kind == "cooling" for node in built.power.nodes):
        notes.append(
            "the cooling plant is no load of the electrical tree (cooling.fed_by), so it takes "
            "none of the provisioned power"
        )
    return notes


def _run_notes(built: Built, run: RunPower) -> list[str]:
    over_w = run.site_w - built.provisioned_w
    if over_w <= 0.0:
        return []
    return [f"the site drew {format_si(over_w, 'W')} more than is provisioned, on average"]
