"""``kind: placement``: lists that can be read, a policy that ranks nodes, quotas of tenants."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path as FilePath
from typing import Any

from sim.check.collector import Collector
from sim.check.expectations import better_of, threshold_of
from sim.check.files import located_file
from sim.check.policies import make
from sim.check.resolved import plain_policy
from sim.check.scenario import Expectation
from sim.errors import DataError, RackplanError, did_you_mean
from sim.place.arrivals import check_arrival, demand_of
from sim.place.cluster import Cluster
from sim.place.read import read_lists
from sim.place.rules import check_isolation
from sim.place.scenario import PlacementScenario
from sim.policies.base import policies
from sim.policies.scoring import scores
from sim.results.metrics import MetricDefinition, UnknownMetric
from sim.results.placement_metrics import STEPS, lookup_placement
from sim.spec.expect import BetterSpec, ExpectSpec
from sim.spec.kinds import PLACEMENT
from sim.spec.nodes import Path
from sim.spec.placement import AS_LISTED
from sim.spec.scenario import VERSION
from sim.spec.written import written

_SUFFIXES = (".csv", ".json", ".gz")
_POLICY: Path = ("policies", "placement")


def check_placement(found: Collector) -> PlacementScenario:
    """The scenario that a document of ``kind: placement`` states.

    Raises:
        ScenarioError: every problem found.
    """
    spec = found.document.spec
    files = {key: _file(found, key) for key in ("nodes", "pods")}
    cluster = _lists(found, files)
    arrival = None if spec.arrival == AS_LISTED else float(spec.arrival)
    policy = _policy(found)
    if cluster is not None:
        _fits(found, cluster, arrival)
    expectations, comparisons = _expectations(found, cluster, arrival)
    found.raise_problems()
    nodes, pods = files["nodes"], files["pods"]
    assert spec.name is not None
    assert cluster is not None
    assert nodes is not None
    assert pods is not None
    return PlacementScenario(
        name=spec.name,
        file=found.document.file,
        seed=spec.seed,
        nodes_file=nodes,
        pods_file=pods,
        cluster=cluster,
        arrival=arrival,
        quotas=dict(spec.quotas),
        placement=policy,
        expectations=expectations,
        comparisons=comparisons,
        warnings=(*found.warnings, *(_relative(found, n, (nodes, pods)) for n in cluster.notes)),
        remarks=found.remarks,
        resolved=_resolved(found, nodes, pods, arrival, policy, expectations),
        written=written(found.document),
    )


def _file(found: Collector, key: str) -> FilePath | None:
    text = getattr(found.document.spec, key)
    return None if text is None else located_file(found, (key,), text, _SUFFIXES)


def _lists(found: Collector, files: Mapping[str, FilePath | None]) -> Cluster | None:
    """Both lists as a replay takes them; None (and a problem, if it is new) where one is wrong."""
    nodes, pods = files["nodes"], files["pods"]
    if nodes is None or pods is None:
        return None
    try:
        return read_lists(nodes, pods)
    except DataError as error:
        key = "nodes" if error.file == str(nodes) else "pods"
        found.error((key,), _relative(found, str(error), (nodes, pods)))
        return None


def _relative(found: Collector, text: str, files: tuple[FilePath, ...]) -> str:
    """A message with the files as the scenario's folder sees them."""
    for file in files:
        text = text.replace(str(file), _place(found, file))
    return text


def _place(found: Collector, file: FilePath) -> str:
    return FilePath(os.path.relpath(file, found.document.folders.root)).as_posix()


def _policy(found: Collector) -> Any | None:
    """The policy, which must be able to rank nodes without a site."""
    document = found.document
    if ("policies",) in document.failed or _POLICY in document.failed:
        return None
    spec = document.spec.policies.placement
    if spec is None:
        path = _POLICY if "policies" in document.tree else ("policies",)
        found.error(path, "missing: write 'policies: {placement: {kind: fgd}}'")
        return None
    policy = make("placement", spec, _POLICY, found)
    if policy is not None and not scores(type(policy)):
        able = [kind for kind, cls in policies("placement").items() if scores(cls)]
        found.error(
            (*_POLICY, "kind"),
            f"{spec.kind!r} decides by a site's topology and has no score; lists of nodes have "
            f"none (those that score: {', '.join(able)})",
        )
        return None
    return policy


def _fits(found: Collector, cluster: Cluster, arrival: float | None) -> None:
    """What the lists say against arrival, quotas and isolation."""
    files = tuple(FilePath(one.file) for one in (cluster.nodes, cluster.pods))
    try:
        check_isolation(cluster)
    except RackplanError as error:
        found.error(("pods",), _relative(found, str(error), files))
    try:
        check_arrival(cluster.pods, cluster.nodes.gpu_milli, arrival)
    except RackplanError as error:
        path: Path = ("arrival",) if cluster.pods.request.any() else ("pods",)
        found.error(path, _relative(found, str(error), files))
    _tenants(found, cluster)


def _tenants(found: Collector, cluster: Cluster) -> None:
    """Quotas are of tenants that have pods, and each is a number."""
    place = _place(found, FilePath(cluster.pods.file))
    tenants = sorted({*cluster.pods.tenant} - {""})
    written = found.document.root.at(("quotas",))
    value = None if written is None or ("quotas",) in found.document.failed else written.value
    for tenant in value if isinstance(value, Mapping) else ():
        here: Path = ("quotas", tenant)
        if tenant not in tenants:
            hint = did_you_mean(tenant, tenants) or " (no pod has a tenant)" * (not tenants)
            found.error(here, f"{place} has no tenant {tenant!r}{hint}", key=True)
        elif tenant not in found.document.spec.quotas:
            found.error(here, "missing (the most GPUs of this tenant, such as 64)", key=True)


def _expectations(
    found: Collector, cluster: Cluster | None, arrival: float | None
) -> tuple[tuple[Expectation, ...], tuple[BetterSpec, ...]]:
    """The usable expectations in order, and the comparisons among them."""
    expectations, comparisons = [], []
    for i, line in enumerate(found.document.spec.expect):
        if line is None:
            continue
        path: Path = ("expect", i)
        definition = _definition(found, line, path)
        if definition is None or not _reached(found, definition, path, cluster, arrival):
            continue
        if isinstance(line, BetterSpec):
            comparison = better_of(line, definition, path, found)
            comparisons += [comparison] if comparison is not None else []
        elif (threshold := threshold_of(line, definition, path, found)) is not None:
            expectations.append(Expectation(line.text, line.metric, line.operator, threshold))
    return tuple(expectations), tuple(comparisons)


def _definition(
    found: Collector, line: ExpectSpec | BetterSpec, path: Path
) -> MetricDefinition | None:
    try:
        return lookup_placement(line.metric)
    except UnknownMetric as error:
        found.caught(path, error)
        return None


def _reached(
    found: Collector,
    definition: MetricDefinition,
    path: Path,
    cluster: Cluster | None,
    arrival: float | None,
) -> bool:
    """Whether as many pods arrive as a metric is about."""
    share = STEPS.get(definition.name, 0.0)
    if cluster is None:
        return True
    demand = demand_of(cluster.pods, cluster.nodes.gpu_milli, arrival)
    if share <= demand:
        return True
    found.error(
        path,
        f"{definition.name} needs a demand of {100 * share:g} % of the GPUs, and pods arrive until "
        f"{100 * demand:.4g} %; write 'arrival: 130 %'",
    )
    return False


def _resolved(
    found: Collector,
    nodes: FilePath,
    pods: FilePath,
    arrival: float | None,
    policy: Any,
    expectations: tuple[Expectation, ...],
) -> dict[str, Any]:
    """The canonical tree: what means the same gives the same tree, however it is written."""
    spec = found.document.spec
    lines = [asdict(line) for line in expectations]
    return {
        "rackplan": VERSION,
        "kind": PLACEMENT,
        "name": spec.name,
        "nodes": _place(found, nodes),
        "pods": _place(found, pods),
        "arrival": AS_LISTED if arrival is None else arrival,
        "quotas": dict(sorted(spec.quotas.items())),
        "policies": {"placement": plain_policy(policy)},
        "expect": [{k: v for k, v in line.items() if k != "text"} for line in lines],
    }
