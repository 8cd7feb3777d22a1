"""The ``workload`` section: who sends requests, how many, how long, and what they expect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from sim.spec.types import (
    Count,
    Identifier,
    LatencySeconds,
    Many,
    Multiple,
    OneOf,
    PositiveNumber,
    PositiveSeconds,
    Priority,
    Quantity,
    Rate,
    Reserved,
    Seconds,
    Share,
    Shorthand,
    Some,
    Spec,
    WaySeconds,
    refuse,
)

TRACE_FORMATS = ("azure", "mooncake", "csv", "parquet")
#: Outcomes that another attempt may better.
RETRIED = ("failed", "queue-full", "shed", "timed-out")
#: What a request may pass on its way to the pool.
WAYS = ("network", "gateway", "container", "wasm")
_DAY_S = 86400.0


class SourceSpec(Spec):
    """Lengths of requests: a named synthetic mix, or the same lengths for every request."""

    name: str | None = Field(default=None, description="a synthetic mix, such as synthetic-chat")
    input_tokens: Count | None = Field(default=None, description="prompt of every request")
    output_tokens: Annotated[int, Field(ge=0, le=10_000_000)] | None = Field(
        default=None, description="output of every request"
    )


class BurstinessSpec(Spec):
    """How irregular arrivals are: Poisson, gamma gaps of a CV, or Poisson that is on and off."""

    kind: Annotated[str, OneOf(("poisson",))] | None = Field(default=None)
    cv: PositiveNumber | None = Field(
        default=None, description="coefficient of variation of the gaps; 1 is Poisson"
    )
    on: PositiveSeconds | None = Field(default=None, description="mean time on")
    off: PositiveSeconds | None = Field(default=None, description="mean time off")


class ProfileSpec(Spec):
    """One step of a daily profile."""

    start: Annotated[float, Quantity("time", least=0.0, most=_DAY_S)] = Field(
        alias="from", description="time of day from which it holds"
    )
    times: Multiple = Field(description="multiple of the rate from then on")


class ProfileFileSpec(Spec):
    """A daily profile in a file."""

    file: str = Field(description="a CSV file with columns from_s and times, one step a row")


@dataclass(frozen=True)
class OrFile:
    """Steps of a daily profile, or a mapping that names a file of them."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: Callable[[Any], CoreSchema]
    ) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._read, handler(Some[ProfileSpec]))

    def _read(self, value: Any, steps: Callable[[Any], Any]) -> Any:
        if not isinstance(value, dict):
            return steps(value)
        if set(value) != {"file"} or not isinstance(value["file"], str):
            raise refuse(
                "expected steps such as [{from: 9 h, times: 2}], or a file of them: {file: day.csv}"
            )
        return ProfileFileSpec(file=value["file"])

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        file = {
            "type": "object",
            "properties": {"file": {"type": "string"}},
            "required": ["file"],
            "additionalProperties": False,
        }
        return {"anyOf": [handler(schema), file]}


class TraceSourceSpec(Spec):
    """A recorded trace and what is done to it before it is replayed."""

    file: str = Field(description="the trace file, relative to the scenario file")
    format: Annotated[str, OneOf(TRACE_FORMATS)] | None = Field(
        default=None, description="default: from the suffix (.jsonl mooncake, .csv, .parquet)"
    )
    start: Seconds = Field(default=0.0, description="begin at this time of the trace")
    end: PositiveSeconds | None = Field(
        default=None, description="stop before this time of the trace"
    )
    time_scale: Annotated[float, Quantity("count", least=1e-6, most=1e6)] = Field(
        default=1.0, description="stretch of its time: 2 is half as fast"
    )
    loop: bool = Field(default=False, description="begin again where it ends before the duration")
    spread: Seconds | None = Field(
        default=None,
        description="spread arrivals of one time stamp over this (default: mooncake 3 s, else 0)",
    )
    prefix_block_tokens: Count | None = Field(
        default=None,
        description="tokens that one prefix id stands for, whole KV blocks of 16 (mooncake: 512)",
    )


class SharedPrefixSpec(Spec):
    """System prompts: every request begins with one of them, before its own input."""

    prompts: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=1, description="how many different ones there are"
    )
    tokens: Count = Field(description="length of each; whole KV blocks of 16 can be shared")
    skew: Annotated[float, Quantity("count", least=0.0, most=10.0)] = Field(
        default=1.0, description="exponent of Zipf's law for their use; 0: all alike"
    )


class SloSpec(Spec):
    """Latency objectives; a request is good if it meets all that are stated."""

    ttft: LatencySeconds | None = Field(default=None, description="time to first token")
    tpot: LatencySeconds | None = Field(
        default=None, description="mean time per later output token"
    )
    e2e: LatencySeconds | None = Field(default=None, description="time from sending to last token")


class CancelSpec(Spec):
    """Clients that give up."""

    after: PositiveSeconds = Field(description="how long after sending")
    fraction: Share = Field(default=1.0, description="share of requests whose client would")


class RetrySpec(Spec):
    """Clients that send a request again that got no answer."""

    attempts: Annotated[int, Field(ge=2, le=100)] = Field(
        description="how often a request is sent at most, the first time included"
    )
    wait: PositiveSeconds = Field(description="before the second attempt")
    backoff: Annotated[float, Quantity("count", least=1.0, most=1000.0)] = Field(
        default=2.0, description="each later wait is so many times the one before it; 1: all alike"
    )
    max_wait: PositiveSeconds | None = Field(default=None, description="no wait is longer")
    jitter: Annotated[float, Quantity("fraction", least=0.0, most=1.0)] = Field(
        default=0.0,
        description="share of a wait, at most, that a random part takes off it; 100 %: full jitter",
    )
    outcomes: Some[Annotated[str, OneOf(RETRIED)]] | None = Field(
        default=None,
        description="outcomes of an attempt after which another is made; default: failed",
    )


class WaySpec(Spec):
    """One thing that a request passes between its user and the pool."""

    kind: Annotated[str, OneOf(WAYS)] = Field(
        description="network, gateway, container or wasm: what it is, for the reader"
    )
    latency: WaySeconds | None = Field(
        default=None, description="one way: on the way in, and again on the way out; default: none"
    )
    per_request: WaySeconds | None = Field(
        default=None, description="work on each request, on the way in only; default: none"
    )
    cold_start: Annotated[None, Reserved()] = Field(default=None)


class WorkloadSpec(Spec):
    """Requests of one kind to one pool: open (``rate`` or ``trace``) or closed (``clients``)."""

    name: Identifier = Field(description="the workload's name")
    pool: str = Field(description="the pool that serves it: a name of 'pools'")
    kind: Annotated[str, OneOf(("llm", "embedding"), ("predictive", "batch"))] = Field(
        default="llm", description="llm generates tokens, embedding none"
    )
    source: Annotated[SourceSpec, Shorthand("name")] | None = Field(
        default=None, description="lengths: a synthetic mix, or {input_tokens, output_tokens}"
    )
    shared_prefix: SharedPrefixSpec | None = Field(
        default=None, description="system prompts before the lengths of the source"
    )
    trace: TraceSourceSpec | None = Field(default=None, description="a trace to replay")
    rate: Rate | None = Field(default=None, description="mean rate of requests, such as 60 /s")
    burstiness: Annotated[BurstinessSpec, Shorthand("kind", ("poisson",))] | None = Field(
        default=None, description="poisson (the default), {cv: 2} or {on: 10 s, off: 20 s}"
    )
    profile: Annotated[tuple[ProfileSpec, ...] | ProfileFileSpec, OrFile()] | None = Field(
        default=None, description="multiples of the rate over the day: steps, or {file: day.csv}"
    )
    clients: Count | None = Field(
        default=None, description="closed loop: clients that wait for their answers"
    )
    think: Seconds | None = Field(default=None, description="pause of a client between requests")
    priority: Annotated[int, Priority()] | None = Field(
        default=None, description="who is served first in the pool; default: the pool's priority"
    )
    slo: SloSpec | None = Field(default=None, description="latency objectives of each request")
    timeout: PositiveSeconds | None = Field(
        default=None, description="longest wait before a request is first admitted"
    )
    cancel: CancelSpec | None = Field(default=None, description="clients that give up")
    retry: RetrySpec | None = Field(
        default=None, description="clients that send again what got no answer; default: none do"
    )
    path: Many[WaySpec] = Field(
        default=(), description="what a request passes before the pool; default: users are at it"
    )
    tenant: Annotated[None, Reserved()] = Field(default=None)
