"""What a result says about itself: where it came from, what was measured, and how."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

from sim.paths import data
from sim.results.expected import calibration_of, pool_errors
from sim.site.fabric.count import count_network
from sim.site.guards import guards_of

#: Version of the layout of a run folder; ``open_run`` reads this one only.
FORMAT = 5

#: How numbers were made; the same sentences for every run of one seed.
DEFINITIONS: Mapping[str, str] = {
    "window": "metrics cover requests that arrived in [warm_up, duration); then the run drains",
    "quantile": "linear interpolation between order statistics (NumPy's 'linear')",
    "interval": "none: one seed",
    "goodput": "requests that met every stated objective, over all that arrived",
}

_LIBRARIES = ("numpy", "simpy", "numba", "pyarrow")
#: Parts of the package that no run imports.
_BESIDE_THE_RUN = ("cli", "study", "calibrate", "validate", "_share")


@cache
def code_digest() -> str:
    """16 hex digits of SHA-256 over the code and data that make a result.

    A version that moves with every change, also between releases.
    """
    package = Path(__file__).resolve().parents[1]
    code = [
        (path.relative_to(package), path)
        for path in package.rglob("*.py")
        if path.relative_to(package).parts[0] not in _BESIDE_THE_RUN
    ]
    tables = [
        (Path("data") / path.relative_to(data()), path)
        for path in data().rglob("*")
        if path.is_file()
    ]
    digest = hashlib.sha256()
    for name, path in sorted(code + tables):
        digest.update(name.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def versions() -> dict[str, str]:
    """Versions of everything that the bytes of a result depend on."""
    return dict(_versions())


@cache
def _versions() -> Mapping[str, str]:
    return {
        "rackplan": metadata.version("rackplan"),
        "code": code_digest(),
        "python": platform.python_version(),
        **{library: metadata.version(library) for library in _LIBRARIES},
    }


def manifest_parts(
    scenario: Any,
    *,
    seed: int,
    engine: str,
    simulated_s: float,
    inputs: Mapping[str, str | None] | None = None,
    warnings: Sequence[str] = (),
    costs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What ``freeze`` needs to know about a run.

    Args:
        scenario: a checked scenario (``sim.check.scenario.Scenario``).
        seed: of this run.
        engine: "reference" or another engine's name.
        simulated_s: simulated time at which the run ended, drain included, or was stopped.
        inputs: file as the scenario names it → SHA-256 of its content.
        warnings: beside those of the scenario.
        costs: of ``sim.cost.rates.cost_rates``; None: not said.
    """
    return {
        "scenario": scenario.name,
        "seed": seed,
        "engine": engine,
        "simulated_s": simulated_s,
        "warm_up_s": scenario.warm_up_s,
        "duration_s": scenario.duration_s,
        "drain_s": scenario.drain_s,
        "record": scenario.record,
        "sample_every": scenario.sample_every,
        "workloads": [_workload(workload) for workload in scenario.workloads],
        "pools": [_pool(pool) for pool in scenario.pools],
        "calibration": calibration_of(scenario),
        "site": _site(scenario),
        "power": {
            "stated": scenario.power.stated,
            "provisioned_w": scenario.power.provisioned_w,
            "guards": len(guards_of(scenario.power)),
        },
        "network": _network(scenario),
        "costs": costs,
        "price_usd_per_j": scenario.price_usd_per_j,
        "facility": scenario.facility.plain(),
        "expectations": scenario.expectations,
        "warnings": [*scenario.warnings, *warnings],
        "sources": list(scenario.sources),
        "inputs": dict(inputs or {}),
        "resolved": scenario.resolved,
        "written": scenario.written,
    }


def _workload(workload: Any) -> dict[str, Any]:
    objectives = workload.objectives
    return {
        "name": workload.name,
        "pool": workload.pool,
        "kind": workload.kind,
        "objectives": {
            name: getattr(objectives, f"{name}_s")
            for name in ("ttft", "tpot", "e2e")
            if getattr(objectives, f"{name}_s") is not None
        },
    }


def _network(scenario: Any) -> dict[str, int] | None:
    """What was bought of the network, for those who ask what it costs."""
    if scenario.fabric is None:
        return None
    return asdict(count_network(scenario.fabric, scenario.site))


def _site(scenario: Any) -> dict[str, int]:
    placed = sum(p.replicas * p.tensor_parallel * p.pipeline_parallel for p in scenario.pools)
    return {"gpus": scenario.site.gpus, "free_gpus": scenario.site.gpus - placed}


def _pool(pool: Any) -> dict[str, Any]:
    return {
        "name": pool.name,
        "llm": pool.llm.name,
        "precision": pool.llm.precision,
        "tensor_parallel": pool.tensor_parallel,
        "gpus_per_replica": pool.tensor_parallel * pool.pipeline_parallel,
        "pipeline_parallel": pool.pipeline_parallel,
        "replicas": pool.replicas,
        "decode": None if pool.decode is None else pool.decode.pool,
        "max_queue": pool.max_queue,
        "max_sequences": pool.batching.max_sequences,
        "max_batch_tokens": pool.batching.max_batch_tokens,
        **pool_errors(pool),
        "drawn": pool.drawn,
    }


def manifest_of(
    parts: Mapping[str, Any],
    *,
    aborted: str | None,
    tables: Mapping[str, int],
    expectations: Sequence[Any] = (),
) -> dict[str, Any]:
    """The content of ``manifest.json``: plain JSON types, no time of day, no absolute place.

    Args:
        parts: of ``manifest_parts``.
        aborted: why the run did not reach its end, or None.
        tables: name → rows.
        expectations: ``ExpectationOutcome`` of each expectation.
    """
    measured_s = min(parts["duration_s"], parts["simulated_s"]) - parts["warm_up_s"]
    content = {
        "format": FORMAT,
        "outcome": "complete" if aborted is None else "partial",
        "reason": aborted,
        "simulated_s": parts["simulated_s"],
        "scenario": parts["scenario"],
        "seed": parts["seed"],
        "seeds": 1,
        "engine": parts["engine"],
        "window": {
            "warm_up_s": parts["warm_up_s"],
            "duration_s": parts["duration_s"],
            "drain_s": parts["drain_s"],
            "measured_s": max(0.0, measured_s),
        },
        "record": parts["record"],
        "sample_every": parts["sample_every"],
        "definitions": DEFINITIONS,
        "workloads": parts["workloads"],
        "pools": parts["pools"],
        "calibration": parts["calibration"],
        "site": parts["site"],
        "power": parts["power"],
        "network": parts["network"],
        "costs": parts["costs"],
        "price_usd_per_j": parts["price_usd_per_j"],
        "facility": parts["facility"],
        "expectations": expectations,
        "warnings": parts["warnings"],
        "tables": dict(tables),
        "versions": versions(),
        "inputs": parts["inputs"],
        "sources": parts["sources"],
        "resolved": parts["resolved"],
        "written": parts["written"],
    }
    plain_content = plain(content)
    assert isinstance(plain_content, dict)
    return plain_content


def plain(value: Any) -> Any:
    """``value`` in JSON types: mappings, lists, text, numbers; infinity becomes the text "inf"."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    if hasattr(value, "item"):  # a NumPy scalar
        return plain(value.item())
    raise TypeError(f"a manifest cannot hold {value!r} ({type(value).__name__})")
