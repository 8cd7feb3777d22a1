"""The ``pools`` section: replicas of an LLM and how each is spread over GPUs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.spec.policies import PoolPoliciesSpec
from sim.spec.types import (
    Count,
    Identifier,
    OneOf,
    Priority,
    Seconds,
    Shorthand,
    Some,
    Spec,
)

#: Levels at which a tenant's replicas may be alone.
ISOLATION = ("node", "rack", "leaf")


class MeasuredSpec(Spec):
    """Measured step times and draws: a table of the catalog, or a file of one's own."""

    name: str | None = Field(default=None, description="a table that 'rackplan catalog' lists")
    file: str | None = Field(
        default=None, description="a YAML file like those, relative to the scenario file"
    )


class SiliconSpec(Spec):
    """Step times from the kernels that aiconfigurator-core holds (the extra 'silicon')."""

    backend: str = Field(description="the serving engine whose kernels: trtllm, sglang or vllm")
    version: str | None = Field(
        default=None, description="of that engine; default: what the package has as current"
    )


class DecodeSpec(Spec):
    """The pool that decodes; KV of prompts moves to it over the network."""

    pool: str = Field(description="its name")
    transfer: Annotated[str, OneOf(("at-once", "by-layer"))] = Field(
        default="at-once",
        description="KV moves once the prefill has ended, or layer by layer during its last part",
    )


class WeightsSpec(Spec):
    """How a replica that starts gets its weights, GPU by GPU."""

    source: Annotated[str, OneOf(("storage", "peers", "local"))] = Field(
        alias="from",
        description="storage nodes, loaded replicas of the same pool, or the server's own disks",
    )
    boot: Seconds = Field(
        default=30.0, description="from power (or being added) to the first byte of weights"
    )
    multicast: bool = Field(
        default=False,
        description="with peers: a replica serves one other at a time, and each that is loaded "
        "serves those that wait",
    )
    start: Annotated[str, OneOf(("loaded", "cold"))] = Field(
        default="loaded", description="cold: at the start nothing is loaded yet"
    )


class PoolSpec(Spec):
    """Replicas of one LLM. One replica takes tensor_parallel × pipeline_parallel GPUs."""

    name: Identifier = Field(description="the pool's name")
    llm: str = Field(description="the LLM it serves: a name of 'llms'")
    replicas: Count = Field(description="how many replicas run")
    tensor_parallel: Count = Field(default=1, description="GPUs that share each layer")
    pipeline_parallel: Count = Field(default=1, description="stages that the layers are split into")
    expert_parallel: Count = Field(
        default=1,
        description="parts of those GPUs that hold whole experts; the GPUs of a part split each",
    )
    data_parallel_attention: Count = Field(
        default=1,
        description="groups of those GPUs that attend to requests of their own, all but the "
        "experts copied",
    )
    expert_routing: Annotated[str, OneOf(("uniform", "power-law"))] = Field(
        default="uniform", description="how tokens choose experts; the hottest GPU decides"
    )
    priority: Annotated[int, Priority()] = Field(
        default=1, description="high, normal or low, or 0 (first) to 7"
    )
    gpu: str | None = Field(default=None, description="place replicas on this GPU type only")
    racks: Some[Identifier] | None = Field(
        default=None, description="place replicas in these racks only, by name"
    )
    measured: Annotated[MeasuredSpec, Shorthand("name")] | None = Field(
        default=None,
        description="measured steps instead of predicted ones: a name, or {file: steps.yaml}",
    )
    stack: str | None = Field(
        default=None,
        description="serving stack whose measured overheads it has, such as vllm-0.12; "
        "default: the pooled ones",
    )
    silicon: Annotated[SiliconSpec, Shorthand("backend")] | None = Field(
        default=None,
        description="step times from aiconfigurator-core instead of the fitted kernels: a backend, "
        "or {backend: trtllm, version: 1.3.0rc20}",
    )
    max_queue: Count | None = Field(
        default=None, description="requests that may wait at one replica; default: no limit"
    )
    shed: Annotated[str, OneOf(("reject", "oldest"))] = Field(
        default="reject",
        description="who goes when a queue is full: the new request, or the oldest",
    )
    prefix_cache: bool = Field(
        default=True,
        description="keep prompts in KV, so that those that begin alike prefill only the rest",
    )
    decode: Annotated[DecodeSpec, Shorthand("pool")] | None = Field(
        default=None,
        description="another pool decodes what this one prefills: its name, or {pool: name, …}",
    )
    weights: Annotated[WeightsSpec, Shorthand("from")] | None = Field(
        default=None,
        description="how a replica that starts gets its weights; default: it serves after "
        "power.restart",
    )
    policies: PoolPoliciesSpec | None = Field(
        default=None, description="policies of this pool instead of the site's"
    )
    tenant: Identifier | None = Field(default=None, description="whose replicas these are")
    isolation: Annotated[str, OneOf(ISOLATION)] | None = Field(
        default=None,
        description="each of its replicas shares no node, rack or leaf with replicas of others",
    )
