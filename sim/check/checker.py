"""``check``: a document becomes a ``Scenario``, or an error with all that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim import catalog
from sim.catalog.types import CoolingPlant
from sim.check.calibration import check_calibration, drawn
from sim.check.caps import check_caps
from sim.check.collector import Collector
from sim.check.control import check_control
from sim.check.cooling import check_facility
from sim.check.costs import check_costs
from sim.check.decode import check_decode
from sim.check.events import check_events
from sim.check.expectations import check_expectations
from sim.check.fabric import check_fabric
from sim.check.failed import check_failed
from sim.check.llms import check_llms
from sim.check.neighbours import check_neighbours
from sim.check.parts import Parts
from sim.check.placement import check_placement
from sim.check.policies import check_policies
from sim.check.pools import check_pools
from sim.check.power import check_power
from sim.check.resolved import resolve
from sim.check.routing import check_routing
from sim.check.scaling import check_scaling, with_scaling
from sim.check.scenario import AnyScenario, Calibration, LlmUse, PlannedEvent, Pool, Scenario
from sim.check.site import check_site
from sim.check.storage import check_storage
from sim.check.tenants import check_tenants
from sim.check.weights import check_weights
from sim.check.workloads import check_workloads
from sim.perf import calibration
from sim.perf.own import OwnConstants
from sim.site.fabric.source import Edit, FabricSource
from sim.site.types import PowerTree, Site
from sim.spec import Document
from sim.spec.hourly import HourlySpec
from sim.spec.kinds import PLACEMENT
from sim.spec.written import written
from sim.units import format_si
from sim.workload import fitted_source, synthetic_names
from sim.workload.plan import Workload


def check(document: Document, edit: Edit | None = None) -> AnyScenario:
    """Resolve every name of ``document`` and check that it makes sense.

    ``edit`` changes the network (see ``sim.load_scenario``); a placement has none.

    Raises:
        ScenarioError: every problem found, those of reading included; a part that is broken is
            left out of what follows, so one slip gives one problem.
    """
    found = Collector(document)
    if document.kind == PLACEMENT:
        if edit is not None:
            found.error(("kind",), "a placement has no network that a function could change")
        return check_placement(found)
    return _check_serving(found, edit)


def _check_serving(found: Collector, edit: Edit | None) -> Scenario:
    document = found.document
    _frame(found)
    llms = check_llms(found)
    site = check_site(found)
    storage = check_storage(found, site, function=edit is not None)
    fabric = check_fabric(found, site, edit, storage)
    power = check_power(found, site)
    events = _events(found, site, power, fabric)
    facility = check_facility(found, site, power)
    policies, own = check_policies(found), check_calibration(found)
    control = telemetry, actuation = check_control(found, site, power, policies)
    pools = _pools(found, llms, site, policies, fabric, own)
    leaves = check_tenants(found, site, fabric)
    workloads = tuple(check_workloads(found, pools))
    check_routing(found, pools, workloads, power)
    check_failed(found, site)
    costs = check_costs(found, site)
    network = _has_network(found, fabric)
    expectations, comparisons = check_expectations(found, power, network)
    neighbours = check_neighbours(found, site, network=network)
    _idle(found, llms, fabric, pools, events)
    found.raise_problems()
    spec, ordered = document.spec, tuple(pools.values())
    assert site is not None
    assert power is not None
    assert spec.name is not None
    assert spec.duration is not None
    return Scenario(
        name=spec.name,
        file=document.file,
        duration_s=spec.duration,
        warm_up_s=spec.warm_up,
        drain_s=spec.drain,
        seed=spec.seed,
        record=spec.record.level,
        record_iterations=spec.record.iterations,
        sample_every=spec.record.every,
        site=site,
        power=power,
        events=events,
        pools=ordered,
        workloads=workloads,
        placement=policies["placement"],
        power_policy=policies["power"],
        expectations=expectations,
        price_usd_per_j=_flat_price(spec.price.electricity),
        facility=facility.facility,
        warnings=found.warnings,
        remarks=found.remarks,
        resolved=resolve(
            document, ordered, workloads, policies, expectations, facility, *control, fabric, own
        ),
        sources=_sources(document, site, power, ordered, llms, workloads, facility.row),
        record_power="minutes" if spec.record.level == "summary" else spec.record.power,
        telemetry=telemetry,
        actuation=actuation,
        fabric=fabric,
        paths=policies["paths"],
        storage=storage,
        leaves=leaves,
        neighbours=neighbours,
        calibration=Calibration(own, spec.calibration.sample),
        comparisons=comparisons,
        costs=costs,
        written=written(document),
    )


def _pools(
    found: Collector,
    llms: dict[str, LlmUse],
    site: Site | None,
    policies: dict[str, Any],
    fabric: FabricSource | None,
    own: OwnConstants | None,
) -> dict[str, Pool]:
    pools = drawn(found, check_pools(found, llms, site, policies, own), own)
    pools = check_decode(found, pools)
    pools = check_weights(found, with_scaling(found, pools), fabric)
    check_caps(found, policies.get("power"), pools.values())
    return pools


def _has_network(found: Collector, fabric: FabricSource | None) -> bool:
    """Whether a network is stated, be it that something about it is wrong."""
    document = found.document
    return fabric is not None or document.spec.fabric is not None or ("fabric",) in document.failed


def _events(
    found: Collector, site: Site | None, power: PowerTree | None, fabric: FabricSource | None
) -> tuple[PlannedEvent, ...]:
    parts = None if fabric is None or site is None else Parts(fabric, site)
    spec = found.document.spec
    scaled = check_scaling(found)
    events = check_events(found, power, (spec.duration or 0.0) + spec.drain, parts)
    return tuple(sorted((*scaled, *events), key=lambda event: event.at_s))


def _flat_price(price: HourlySpec | float | None) -> float | None:
    return None if isinstance(price, HourlySpec) else price


def _frame(found: Collector) -> None:
    """What stands beside the sections."""
    _times(found)
    _record(found)


def _times(found: Collector) -> None:
    spec = found.document.spec
    if spec.duration is not None and spec.warm_up >= spec.duration:
        found.error(
            ("warm_up",),
            f"the warm-up of {format_si(spec.warm_up, 's')} leaves nothing of the duration of "
            f"{format_si(spec.duration, 's')} to measure",
        )


def _record(found: Collector) -> None:
    record = found.document.spec.record
    if "every" in record.model_fields_set and record.level != "sampled":
        found.error(
            ("record", "every"),
            f"only 'level: sampled' writes one request in so many, not 'level: {record.level}'",
        )
    asked = "power" in record.model_fields_set and record.power == "changes"
    if asked and record.level == "summary":
        found.error(
            ("record", "power"),
            "'level: summary' writes no changes of draw, only minutes; write 'level: full'",
        )


def _idle(
    found: Collector,
    llms: dict[str, LlmUse],
    fabric: FabricSource | None,
    pools: Mapping[str, Pool],
    events: Sequence[PlannedEvent],
) -> None:
    """Warn of what is stated and has no effect."""
    _unused_llms(found, llms)
    _idle_fabric(found, fabric, pools, events)


def _idle_fabric(
    found: Collector,
    fabric: FabricSource | None,
    pools: Mapping[str, Pool],
    events: Sequence[PlannedEvent],
) -> None:
    stated = fabric is not None or found.document.spec.fabric is not None
    idle = not found.document.spec.neighbours and not any(map(_crosses, pools.values()))
    if stated and idle:
        dead = [event.part for event in events if event.part]
        rest = f", so what happens to {dead[0]} changes nothing" if dead else ""
        found.warn(("fabric",), f"checked and kept, but nothing of this scenario crosses it{rest}")


def _crosses(pool: Pool) -> bool:
    """Whether something of a pool may move between servers."""
    loads = pool.weights is not None and pool.weights.source != "local"
    return loads or pool.decode is not None or pool.spans


def _unused_llms(found: Collector, llms: dict[str, LlmUse]) -> None:
    used = found.document.mentioned("pools", "llm")
    if used is None:
        return
    for i, name in found.document.declared("llms"):
        if name in llms and name not in used:
            found.warn(("llms", i), f"no pool serves {name!r}")


def _sources(
    document: Document,
    site: Site,
    power: PowerTree,
    pools: Sequence[Pool],
    llms: dict[str, LlmUse],
    workloads: Sequence[Workload],
    plant: CoolingPlant | None,
) -> tuple[str, ...]:
    """The ids of the data sources behind every entry of ``data/`` that the scenario uses."""
    entries = {("rack", rack.name) for rack in site.rack_types}
    entries |= {("llm", use.llm.name) for use in llms.values()}
    entries |= {("gear", node.kind) for node in power.nodes if node.kind in ("ups", "pdu")}
    entries |= {("gear", "transformer") for node in power.nodes if node.kind == "msb"}
    entries |= {("breaker", n.breaker.breaker.name) for n in power.nodes if n.breaker}
    entries |= {("ups", n.ups.product.name) for n in power.nodes if n.ups and n.ups.product}
    network = document.spec.fabric
    if network is not None and network.switch is not None and network.switch.name is not None:
        entries.add(("switch", network.switch.name))
    if plant is not None:
        entries.add(("plant", plant.name))
    found = set(calibration.source_ids())
    for pool in pools:
        found.update(pool.measured.source_ids if pool.measured is not None else ())
    for kind, name in entries:
        found.update(catalog.source_ids(kind, name))
    for workload in workloads:
        if workload.synthetic is not None and workload.synthetic.lengths in synthetic_names():
            facts = fitted_source(workload.synthetic.lengths).facts
            found.update(source["id"] for source in facts["sources"])
    return tuple(sorted(found))
