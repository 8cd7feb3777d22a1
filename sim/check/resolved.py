"""A scenario as a plain tree in its canonical form, with defaults filled in.

Scenarios that mean the same give the same tree however they are written: quantities are SI numbers,
names canonical, defaults stated, policies written out with all their parameters. Places, ``x-…``
keys and the seed (which belongs to the run) are left out.
"""

from __future__ import annotations

import math
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from sim.check.cooling import CheckedFacility
from sim.check.scenario import Actuation, Expectation, Pool, Telemetry
from sim.perf.own import OwnConstants
from sim.policies.base import kind_of
from sim.policies.power.base import watched
from sim.site.fabric.source import FabricSource
from sim.spec import Document
from sim.spec.hourly import HourlySpec
from sim.spec.scenario import VERSION
from sim.workload.plan import TraceSpec, Workload


def resolve(
    document: Document,
    pools: tuple[Pool, ...],
    workloads: tuple[Workload, ...],
    policies: dict[str, Any],
    expectations: tuple[Expectation, ...],
    facility: CheckedFacility,
    telemetry: Telemetry,
    actuation: Actuation,
    fabric: FabricSource | None,
    own: OwnConstants | None,
) -> dict[str, Any]:
    """The canonical tree: dicts, lists, text, numbers, booleans and None only."""
    spec = document.spec
    uses = {pool.llm.name: pool.llm for pool in pools}
    return {
        "rackplan": VERSION,
        "kind": spec.kind,
        "name": spec.name,
        "duration_s": spec.duration,
        "warm_up_s": spec.warm_up,
        "drain_s": spec.drain,
        "record": spec.record.model_dump(),
        "site": None if spec.site is None else spec.site.model_dump(mode="json", exclude_none=True),
        "power": None if spec.power is None else spec.power.model_dump(mode="json"),
        "fabric": _fabric(document, fabric),
        "llms": [
            {
                "name": name,
                "llm": use.llm.name,
                "precision": use.precision,
                "kv_precision": use.kv_precision,
            }
            for name, use in sorted(uses.items())
        ],
        "pools": [_pool(pool) for pool in pools],
        "workload": [_workload(workload, document.folders.root) for workload in workloads],
        "policies": {
            role: plain_policy(policy)
            for role, policy in sorted(policies.items())
            # Where nothing moves it means nothing.
            if role != "paths"
            or spec.policies.paths is not None
            or any(p.decode or p.weights for p in pools)
        },
        "expect": [
            {"metric": line.metric, "operator": line.operator, "threshold": line.threshold}
            for line in expectations
        ],
        "price": {
            "electricity_usd_per_j": _hourly(
                spec.price.electricity, "price.electricity", facility, document
            )
        },
        **_costs(document),
        **_around(document, facility),
        **_control(policies["power"], telemetry, actuation),
        **_events(document),
        **_scaling(document),
        **_storage(document),
        **_neighbours(document),
        **_calibration(document, own),
    }


def _calibration(document: Document, own: OwnConstants | None) -> dict[str, Any]:
    """``calibration``, where it is not the program's own; a file is its content, not its place."""
    tree: dict[str, Any] = {}
    if own is not None:
        tree["own"] = {"gpu": own.gpu, "sha256": own.sha256}
    if document.spec.calibration.sample:
        tree["sample"] = document.spec.calibration.sample
    return {"calibration": tree} if tree else {}


def _fabric(document: Document, fabric: FabricSource | None) -> dict[str, Any] | None:
    """``fabric`` as stated; of a function's graph, what it is."""
    spec, tree = document.spec.fabric, {}
    if spec is not None:
        tree = spec.model_dump(mode="json", include={"kind", "nic", "oversubscription"})
        more = spec.model_dump(mode="json", include={"switch", "cables"}, exclude_none=True)
        tree.update(more)
    if fabric is not None and fabric.file is not None:
        tree = {"file": Path(os.path.relpath(fabric.file, document.folders.root)).as_posix()}
    if fabric is not None and fabric.kind == "function":
        from sim.site.fabric.files import digest

        tree["graph"] = digest(fabric.given)
    return tree or None


def _costs(document: Document) -> dict[str, Any]:
    """``costs``, as far as it is stated."""
    spec = document.spec.costs
    plain = spec.model_dump(mode="json", include=spec.model_fields_set, exclude_none=True)
    return {"costs": plain} if plain else {}


def _storage(document: Document) -> dict[str, Any]:
    """``storage``, where it is stated."""
    spec = document.spec.storage
    return {} if spec is None else {"storage": spec.model_dump(mode="json")}


def _neighbours(document: Document) -> dict[str, Any]:
    """``neighbours``, where there are any."""
    stated = [spec for spec in document.spec.neighbours if spec is not None]
    plain = [spec.model_dump(mode="json", exclude_none=True) for spec in stated]
    return {"neighbours": plain} if plain else {}


def _events(document: Document) -> dict[str, Any]:
    """``events`` in order of time, where there are any."""
    stated = [event for event in document.spec.events if event is not None]
    ordered = sorted(stated, key=lambda event: event.at)
    plain = [event.model_dump(mode="json", exclude_none=True) for event in ordered]
    return {"events": plain} if plain else {}


def _scaling(document: Document) -> dict[str, Any]:
    """``scaling``, where there is any."""
    stated = [spec for spec in document.spec.scaling if spec is not None]
    plain = [spec.model_dump(mode="json", exclude_none=True) for spec in stated]
    return {"scaling": plain} if plain else {}


def _around(document: Document, facility: CheckedFacility) -> dict[str, Any]:
    """``cooling`` and ``carbon``, each only where it is stated."""
    spec = document.spec
    tree: dict[str, Any] = {}
    if spec.cooling is not None and facility.row is not None:
        weather = {
            key: _hourly(
                getattr(spec.cooling.weather, key), f"cooling.weather.{key}", facility, document
            )
            for key in ("wet_bulb", "dry_bulb", "relative_humidity")
        }
        plain = spec.cooling.model_dump(mode="json", exclude={"plant", "weather"})
        tree["cooling"] = {**plain, "plant": asdict(facility.row), "weather": weather}
    if spec.carbon is not None:
        tree["carbon"] = _hourly(spec.carbon, "carbon", facility, document)
    return tree


def _hourly(
    value: HourlySpec | float | None, place: str, checked: CheckedFacility, document: Document
) -> Any:
    """A number in SI, or the file of hours with its place relative to the scenario's folder."""
    file = checked.facility.files.get(place)
    if not isinstance(value, HourlySpec) or file is None:
        return value
    relative = os.path.relpath(file, document.folders.root)
    return {**value.model_dump(mode="json"), "file": Path(relative).as_posix()}


def _control(policy: Any, telemetry: Telemetry, actuation: Actuation) -> dict[str, Any]:
    """How control is timed, where there is any: else it means nothing."""
    if not watched(policy):
        return {}
    return {"telemetry": asdict(telemetry), "actuation": asdict(actuation)}


def plain_policy(policy: Any) -> dict[str, Any]:
    """A policy's kind and all of its parameters."""
    own = {field.name: getattr(policy, field.name) for field in fields(policy)}
    return {"kind": kind_of(policy), **own}


def _pool(pool: Pool) -> dict[str, Any]:
    measured = {} if pool.measured is None else {"measured": asdict(pool.measured)}
    stack = {} if pool.stack is None else {"stack": pool.stack}
    silicon = {} if pool.silicon is None else {"silicon": _silicon(pool)}
    decode = {} if pool.decode is None else {"decode": asdict(pool.decode)}
    racks = {"racks": list(pool.racks)} if pool.racks else {}
    weights = {}
    if pool.weights is not None:
        plain = asdict(pool.weights)
        del plain["stage_bytes"]  # follows from the LLM and the GPU
        weights = {"weights": plain}
    parts = {
        key: getattr(pool, key)
        for key, usual in (
            ("expert_parallel", 1), ("data_parallel_attention", 1), ("expert_routing", "uniform")
        )
        if getattr(pool, key) != usual
    }  # fmt: skip
    whose = {key: getattr(pool, key) for key in ("tenant", "isolation") if getattr(pool, key)}
    return {
        **measured,
        **stack,
        **silicon,
        **decode,
        **racks,
        **weights,
        **parts,
        **whose,
        "name": pool.name,
        "llm": pool.llm.name,
        "replicas": pool.replicas if pool.starts is None else pool.starts,
        "tensor_parallel": pool.tensor_parallel,
        "pipeline_parallel": pool.pipeline_parallel,
        "priority": pool.priority,
        "gpu": pool.gpu,
        "max_queue": pool.max_queue,
        "shed": pool.shed,
        "prefix_cache": pool.prefix_cache,
        "policies": {
            "routing": plain_policy(pool.routing),
            "batching": plain_policy(pool.batching),
        },
    }


def _silicon(pool: Pool) -> dict[str, Any]:
    """Whose step times, as stated, and which those are on each GPU type."""
    kernels = {gpu: m.reduction.estimator for gpu, m in pool.models.items() if m.reduction}
    return {**asdict(pool.silicon), "kernels": kernels} if pool.silicon else {}


def _workload(workload: Workload, root: Path) -> dict[str, Any]:
    tree = {
        key: None if isinstance(value, float) and math.isinf(value) else value
        for key, value in asdict(workload).items()
        if key not in ("trace", "synthetic", "retry", "path")
    }
    if workload.retry is not None:  # what nobody states leaves the tree as it is
        retry = workload.retry
        most_s = None if math.isinf(retry.most_s) else retry.most_s
        tree["retry"] = {**asdict(retry), "most_s": most_s, "outcomes": sorted(retry.outcomes)}
    if workload.path.kinds:
        tree["path"] = {**asdict(workload.path), "kinds": list(workload.path.kinds)}
    tree["trace"] = None if workload.trace is None else _trace(workload.trace, root)
    synthetic = workload.synthetic
    tree["synthetic"] = None
    if synthetic is not None:
        tree["synthetic"] = {
            **asdict(synthetic),
            "arrivals": dict(synthetic.arrivals),
            "profile": [list(step) for step in synthetic.profile],
        }
    return tree


def _trace(trace: TraceSpec, root: Path) -> dict[str, Any]:
    return {**asdict(trace), "file": Path(os.path.relpath(trace.file, root)).as_posix()}
