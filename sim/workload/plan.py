"""A workload as checked: what ``build_source`` turns into a ``RequestSource``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Objectives:
    """Latency objectives of a workload; None = not stated, so always met."""

    ttft_s: float | None
    tpot_s: float | None
    e2e_s: float | None


@dataclass(frozen=True)
class TraceSpec:
    """A trace to replay and what is done to it before."""

    file: Path
    format: str  # "azure", "mooncake", "csv", "parquet"
    start_s: float  # slice of the trace's own time
    end_s: float | None
    time_scale: float  # 2 = twice as slow
    loop: bool
    spread_s: float  # arrivals of one stamp are spread over this bin; 0 = as recorded
    prefix_block_tokens: int | None = None  # that one prefix id stands for; None = by the format


@dataclass(frozen=True)
class SharedPrefix:
    """Prompts with which the requests of a workload begin, each with one of them."""

    prompts: int
    tokens: int  # of each, before the request's own input
    skew: float  # exponent of Zipf's law; 0 = all alike


@dataclass(frozen=True)
class Synthetic:
    """An arrival process and a table of lengths."""

    lengths: str  # name in data/workloads or "fixed"
    input_tokens: int | None  # for "fixed"
    output_tokens: int | None
    arrivals: Mapping[
        str, Any
    ]  # {"kind": "poisson"} | {"kind": "gamma", "cv": …} | {"kind": "on-off", …}
    profile: tuple[tuple[float, float], ...]  # (from time of day s, multiple of the rate), or ()
    shared_prefix: SharedPrefix | None = None


@dataclass(frozen=True)
class Retry:
    """How a client sends a request again that got no answer."""

    attempts: int  # in all, the first one too
    wait_s: float  # before the second
    backoff: float  # each later wait is so many times the one before it
    most_s: float  # no wait is longer; inf = no limit
    jitter: float  # share of a wait, at most, that a random part takes off it
    outcomes: tuple[str, ...]  # outcomes of an attempt after which another is made

    @property
    def waits_s(self) -> tuple[float, ...]:
        """Before each attempt but the first, without jitter: min(wait · backoff^n, most)."""
        return tuple(
            min(self.wait_s * self.backoff**n, self.most_s) for n in range(self.attempts - 1)
        )


@dataclass(frozen=True)
class UserPath:
    """What lies between the users of a workload and its pool, summed up.

    Attributes:
        kinds: of what a request passes, in order; none: users are at the pool.
        ingress_s: from sending until the pool has the request: ``egress_s`` and the work of each
            step on the way in, so never less than ``egress_s``.
        egress_s: from the pool to the user: the latencies alone.
    """

    kinds: tuple[str, ...] = ()
    ingress_s: float = 0.0
    egress_s: float = 0.0


@dataclass(frozen=True)
class Workload:
    """Requests of one kind, sent to one pool."""

    name: str
    kind: str  # "llm" or "embedding"
    pool: str
    priority: int
    objectives: Objectives
    timeout_s: float  # inf = never; waiting only, before the first admission
    cancel_after_s: float  # inf = never
    cancel_fraction: float  # share of requests whose client would give up
    rate_per_s: float | None  # open: wanted rate; None = the source's own
    clients: int | None  # closed: number of clients
    think_s: float
    trace: TraceSpec | None
    synthetic: Synthetic | None
    retry: Retry | None = None  # None: nothing is sent again
    path: UserPath = UserPath()
