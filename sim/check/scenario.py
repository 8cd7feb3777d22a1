"""``Scenario``: a checked scenario, frozen, in SI floats, every name resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.catalog.types import Llm
from sim.perf.step import ReplicaModel
from sim.site.facility import Facility
from sim.site.types import PowerTree, Site
from sim.workload.plan import Workload


@dataclass(frozen=True)
class LlmUse:
    """An entry of ``llms``: an LLM at a precision."""

    name: str  # as pools refer to it
    llm: Llm
    precision: str
    kv_precision: str


@dataclass(frozen=True)
class Pool:
    """Replicas of one LLM. ``models`` maps each GPU type of the site it fits on to its model."""

    name: str
    llm: LlmUse
    tensor_parallel: int
    pipeline_parallel: int
    replicas: int
    priority: int
    gpu: str | None  # restrict placement to this GPU type
    max_queue: int | None  # waiting requests per replica; None = no limit
    shed: str  # "reject" or "oldest"
    models: Mapping[str, ReplicaModel]
    routing: Any  # a routing policy object
    batching: Any  # a batching policy object
    prefix_cache: bool = True  # what is in KV of a prompt's beginning is not prefilled again


@dataclass(frozen=True)
class Expectation:
    """``metric op threshold``, checked for name and dimension; the threshold is in SI units."""

    text: str
    metric: str
    operator: str
    threshold: float


@dataclass(frozen=True)
class PlannedEvent:
    """Something that the scenario lets happen to a node of the electrical tree."""

    at_s: float
    kind: str  # "fail" or "restore"
    node: int


@dataclass(frozen=True)
class Scenario:
    """A whole checked scenario: what ``engine.build`` needs, and what the manifest records."""

    name: str
    file: str  # as the user named it, for messages
    duration_s: float
    warm_up_s: float
    drain_s: float
    seed: int
    record: str  # "full", "sampled", "summary"
    record_iterations: bool
    sample_every: int  # for "sampled": one request in this many
    site: Site
    power: PowerTree
    pools: tuple[Pool, ...]
    workloads: tuple[Workload, ...]
    placement: Any  # a placement policy object
    power_policy: Any
    expectations: tuple[Expectation, ...]
    price_usd_per_j: float | None  # None: none is stated, or it changes by the hour (facility)
    warnings: tuple[str, ...]
    resolved: Mapping[str, Any]  # the plain tree after `extends`, `--set` and defaults; JSON-able
    sources: tuple[str, ...]  # ids of the data sources that its catalog entries rest on
    events: tuple[PlannedEvent, ...] = ()
    #: Plant, weather, hours of price and carbon, as far as they are stated.
    facility: Facility = field(default_factory=Facility)
    record_power: str = "changes"  # "changes" of power nodes' draw, or "minutes" only
