"""The ``expect`` section: metrics that exist, in their dimension, and that the run can measure."""

from __future__ import annotations

from sim.check.collector import Collector, Names
from sim.check.scenario import Expectation
from sim.errors import UnknownName
from sim.results.metrics import MetricDefinition, UnknownMetric, lookup
from sim.results.placement_metrics import PLACEMENT_METRICS
from sim.site.guards import guards_of
from sim.site.types import PowerTree
from sim.spec.expect import BetterSpec, ExpectSpec
from sim.spec.nodes import Path
from sim.spec.quantity import read_quantity
from sim.units import UnitError

#: Metrics that need a section to be stated. Prices of an hour, and so costs, may be negative.
_OF_PRICE = ("energy_cost", "energy_cost_per_mtoken")
_OF_CARBON = ("carbon_g", "carbon_per_mtoken")
_OF_FABRIC = ("busiest_link_use", "link_saturated_s")
_OF_COOLING = (
    "pue", "cooling_energy_j", "facility_energy_j", "facility_peak_w", "water_l",
    "water_per_mtoken",
)  # fmt: skip


def check_expectations(
    found: Collector, power: PowerTree | None, networked: bool
) -> tuple[tuple[Expectation, ...], tuple[BetterSpec, ...]]:
    """The usable expectations in order, and the comparisons among them.

    ``networked``: there is a network, or is to be.
    """
    workloads, pools = found.names("workload"), found.names("pools")
    expectations, comparisons = [], []
    for i, spec in enumerate(found.document.spec.expect):
        if spec is None:
            continue
        path: Path = ("expect", i)
        definition = _definition(spec, path, workloads, pools, power, found)
        if definition is None:
            continue
        _measurable(spec, definition, path, power, found)
        if definition.name in _OF_FABRIC and not networked:
            found.error(
                path, f"{spec.metric} needs a network: write 'fabric: {{kind: rail-optimised}}'"
            )
        if isinstance(spec, BetterSpec):
            comparison = better_of(spec, definition, path, found)
            comparisons += [comparison] if comparison is not None else []
            continue
        threshold = threshold_of(spec, definition, path, found)
        if threshold is not None:
            expectations.append(Expectation(spec.text, spec.metric, spec.operator, threshold))
    return tuple(expectations), tuple(comparisons)


def better_of(
    spec: BetterSpec, definition: MetricDefinition, path: Path, found: Collector
) -> BetterSpec | None:
    """The comparison, if one of two values of its metric can be the better one."""
    if not definition.better:
        found.error(path, f"{spec.metric} has no better direction, so no variant is better in it")
        return None
    if spec.points and definition.dimension != "fraction":
        found.error(path, f"{spec.metric} is no share, so it has no points: write 'by: 10 %'")
        return None
    found.warn(path, "a run has one variant only: pytest judges this line (docs/pytest.md)")
    return spec


def _definition(
    spec: ExpectSpec | BetterSpec,
    path: Path,
    workloads: Names,
    pools: Names,
    power: PowerTree | None,
    found: Collector,
) -> MetricDefinition | None:
    nodes = () if power is None else tuple(node.name for node in power.nodes)
    try:
        return lookup(spec.metric, workloads=workloads.known, pools=pools.known, power_nodes=nodes)
    except UnknownMetric as error:
        if spec.metric in PLACEMENT_METRICS:
            found.error(path, f"{spec.metric!r} is a metric of 'kind: placement'")
        else:
            found.caught(path, error)
    except UnknownName as error:
        # The name may be that of an entity whose own entry is broken.
        known = {"workload": workloads.complete, "pool": pools.complete}
        if known.get(error.kind, power is not None):
            found.caught(path, error)
    return None


def threshold_of(
    spec: ExpectSpec, definition: MetricDefinition, path: Path, found: Collector
) -> float | None:
    """The threshold in SI units, or None (and a problem) where the metric has no such value."""
    try:
        threshold = read_quantity(spec.quantity, definition.dimension)
    except UnitError as error:
        found.error(path, f"{spec.metric}: {error}")
        return None
    if threshold < 0.0 and definition.name not in ("headroom_w", *_OF_PRICE):
        found.error(path, f"{spec.metric}: {spec.quantity} is below 0, which it never is")
        return None
    if definition.dimension == "fraction" and threshold > 1.0:
        shown = spec.quantity
        hint = "" if "%" in shown else f"; write '{shown} %' or a number from 0 to 1"
        found.error(path, f"{spec.metric}: {shown} is {100 * threshold:g} %, above 100 %{hint}")
        return None
    return threshold


def _measurable(
    spec: ExpectSpec | BetterSpec,
    definition: MetricDefinition,
    path: Path,
    power: PowerTree | None,
    found: Collector,
) -> None:
    """Refuse expectations on metrics that this scenario leaves null."""
    name = definition.name
    stated = found.document.spec
    if name in _OF_PRICE and stated.price.electricity is None:
        found.error(
            path, f"{spec.metric} needs a price: write 'price: {{electricity: 80 USD/MWh}}'"
        )
    if name in _OF_COOLING and stated.cooling is None:
        found.error(
            path, f"{spec.metric} needs cooling: write 'cooling: {{weather: {{wet_bulb: 18 C}}}}'"
        )
    if name in _OF_CARBON and stated.carbon is None:
        found.error(path, f"{spec.metric} needs carbon: write 'carbon: 300 gCO2/kWh'")
    if power is None:
        return
    if name == "trips" and not guards_of(power):
        found.error(
            path,
            f"{spec.metric} needs something that can trip: write a breaker, such as "
            "'power: {pdus: {breaker: mccb}}', or a 'product:' or 'battery:' of a UPS",
        )
    if name == "goodput_per_mw" and power.provisioned_w is None:
        found.error(path, f"{spec.metric} needs provisioned power: write 'power: {{utility: …}}'")
    if name not in ("over_budget_s", "headroom_w", "over_limit_s"):
        return
    inside = spec.metric.partition("[")[2].partition("]")[0]
    for node in power.nodes:
        watched = node.kind == "utility" if definition.scope == "site" else node.name == inside
        if watched and node.budget_w is None and node.rating_w is None:
            found.error(
                path, f"{spec.metric} needs a limit, but {node.name} states no budget or rating"
            )
