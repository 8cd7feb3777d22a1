"""Is B better than A, and is the difference real? Paired by seed where both have the seeds.

Under one seed two scenarios get the same requests at the same times (common random numbers), so
the differences seed by seed vary far less than the values do, and their interval is Student's t
over them. A difference is *real* if it stands Holm's correction for the number of metrics that were
looked at: then 5 % is the chance of one false finding among all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sim.errors import ResultError
from sim.results.kind import is_placement
from sim.results.metrics import lookup
from sim.results.placement_metrics import PLACEMENT_METRICS, lookup_placement
from sim.results.result import open_run
from sim.study.changes import Change, changes
from sim.study.difference import Difference, corrected, difference
from sim.study.losses import Loss, facts_of, losses_over, seed_losses
from sim.study.sides import Side, notes_on, pair

#: What is looked at unless metrics are named.
_OF_WORKLOADS = ("goodput_fraction", "ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99", "e2e_p99")
_OF_SITE = ("output_tokens_per_s", "mean_draw_w", "peak_draw_w", "over_budget_s", "trips",
            "energy_per_output_token", "energy_cost_per_mtoken", "goodput_per_mw",
            "pue", "carbon_per_mtoken", "water_per_mtoken")  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """All of it.

    Attributes:
        pairing: PAIRED, UNPAIRED or ONE_SEED.
        seeds: those that were paired.
        looked_at: metrics that were tested, which the correction is for.
        changes: what differs between the scenarios.
        notes: what else the reader must know.
        losses: workload → what B loses against A, if that was asked for.
    """

    a: Side
    b: Side
    pairing: str
    seeds: tuple[int, ...]
    differences: tuple[Difference, ...]
    looked_at: int
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    losses: Mapping[str, Mapping[str, Loss]] = field(default_factory=dict)


def compare(
    a: Side,
    b: Side,
    names: Sequence[str] | None = None,
    *,
    everything: bool = False,
    losses: bool = False,
) -> Comparison:
    """Compare metrics of two sides.

    Args:
        a, b: the sides; differences are B - A.
        names: full metric names; default: the headline metrics of both.
        everything: all metrics that both have.
        losses: also what B's workloads lose against A's, from the tables of the runs.

    Raises:
        ResultError: the sides have no workload in common; or losses are asked for and the sides
            have no seed in common, or a run's folder is gone.
        UnknownName: a metric that neither has.
    """
    common = [name for name in a.workloads if name in b.workloads]
    placed = [side.name for side in (a, b) if is_placement(side.manifest)]
    if len(placed) == 1 or (placed and losses):
        what = "losses are" if losses else "the other side is"
        raise ResultError(f"{placed[0]} is of 'kind: placement', {what} of 'kind: serving'")
    if not common and not placed:
        raise ResultError(
            f"nothing to compare: {a.name} serves {', '.join(a.workloads)} and {b.name} serves "
            f"{', '.join(b.workloads)}; a workload must have the same name in both"
        )
    pairing, seeds, notes = pair(a, b)
    chosen = _names(a, b, names, common, everything)
    found = [difference(name, a, b, pairing, seeds) for name in chosen]
    if not names:
        found = [line for line in found if line.a is not None or line.b is not None]
    judged, looked_at = corrected(found)
    return Comparison(
        a=a,
        b=b,
        pairing=pairing,
        seeds=seeds,
        differences=tuple(judged),
        looked_at=looked_at,
        changes=tuple(changes(a.manifest["resolved"], b.manifest["resolved"])),
        notes=(*notes, *notes_on(a, b)),
        losses=_losses(a, b, common) if losses else {},
    )


def _losses(a: Side, b: Side, workloads: Sequence[str]) -> dict[str, dict[str, Loss]]:
    """What each workload of B loses against A, under the seeds that both have."""
    seeds = sorted(set(a.by_seed) & set(b.by_seed))
    if not seeds:
        raise ResultError("losses are taken seed by seed, and A and B have no seed in common")
    facts = {seed: [facts_of(open_run(side.folders[seed])) for side in (a, b)] for seed in seeds}
    return {
        name: losses_over({s: seed_losses(of_b[name], of_a[name])
                           for s, (of_a, of_b) in facts.items()})
        for name in workloads
    }  # fmt: skip


def _names(
    a: Side, b: Side, names: Sequence[str] | None, common: Sequence[str], everything: bool
) -> list[str]:
    in_a, in_b = (_all_names(side) for side in (a, b))
    if everything:
        return [name for name in in_a if name in in_b]
    if not names:
        chosen = PLACEMENT_METRICS if is_placement(a.manifest) else headline_metrics(common)
        return [name for name in chosen if name in in_a and name in in_b]
    for name in names:
        if name not in in_a and name not in in_b:
            _explain_unknown(name, a, b)
    return list(dict.fromkeys(names))


def headline_metrics(workloads: Sequence[str]) -> list[str]:
    """Full names of what is looked at unless metrics are named."""
    of_workloads = [f"{workload}.{base}" for workload in workloads for base in _OF_WORKLOADS]
    return [*of_workloads, *_OF_SITE]


def _all_names(side: Side) -> dict[str, None]:
    return dict.fromkeys(name for metrics in side.by_seed.values() for name in metrics)


def _explain_unknown(name: str, a: Side, b: Side) -> None:
    """Raise what is wrong with a metric's name.

    Raises:
        UnknownName: no metric or no entity is called so.
        ResultError: it could exist, but the results lack it.
    """
    if is_placement(a.manifest):
        lookup_placement(name)
    lookup(
        name,
        workloads=list(dict.fromkeys((*a.workloads, *b.workloads))),
        pools=[pool["name"] for side in (a, b) for pool in side.manifest["pools"]],
        power_nodes=list(dict.fromkeys((*a.power_nodes, *b.power_nodes))),
    )
    raise ResultError(f"neither {a.name} nor {b.name} has the metric {name!r}")
