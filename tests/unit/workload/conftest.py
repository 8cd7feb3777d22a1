"""Makers of checked workloads, and of the whole run of requests that a source sends."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.workload import build_source
from sim.workload.plan import Objectives, Synthetic, TraceSpec, Workload


@dataclass(frozen=True)
class Requests:
    """All rows of a source, columns joined over its chunks."""

    arrival_s: NDArray[np.float64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    priority: NDArray[np.int64]
    after_request: NDArray[np.int64]
    think_s: NDArray[np.float64]
    cancel_after_s: NDArray[np.float64]
    prefixes: list[tuple[int, ...]]
    chunk_sizes: list[int]

    def __len__(self) -> int:
        return len(self.arrival_s)


def make_workload(**changes: Any) -> Workload:
    fields: dict[str, Any] = {
        "name": "chat",
        "kind": "llm",
        "pool": "pool",
        "priority": 0,
        "objectives": Objectives(None, None, None),
        "timeout_s": math.inf,
        "cancel_after_s": math.inf,
        "cancel_fraction": 0.0,
        "rate_per_s": None,
        "clients": None,
        "think_s": 0.0,
        "trace": None,
        "synthetic": None,
    }
    return Workload(**{**fields, **changes})


def make_synthetic(lengths: str = "fixed", **changes: Any) -> Synthetic:
    fixed = lengths == "fixed"
    fields: dict[str, Any] = {
        "lengths": lengths,
        "input_tokens": 100 if fixed else None,
        "output_tokens": 10 if fixed else None,
        "arrivals": {"kind": "poisson" if fixed else "source"},
        "profile": (),
    }
    return Synthetic(**{**fields, **changes})


def make_trace(file: Path, format: str = "csv", **changes: Any) -> TraceSpec:
    fields: dict[str, Any] = {
        "start_s": 0.0,
        "end_s": None,
        "time_scale": 1.0,
        "loop": False,
        "spread_s": 3.0 if format == "mooncake" else 0.0,
    }
    return TraceSpec(file=file, format=format, **{**fields, **changes})


def collect(workload: Workload, *, duration_s: float = 3600.0, seed: int = 7) -> Requests:
    chunks = list(build_source(workload, index=0, seed=seed, duration_s=duration_s).chunks())
    prefixes = [
        tuple(ids.tolist())
        for chunk in chunks
        if chunk.prefix_ptr is not None and chunk.prefix_ids is not None
        for ids in np.split(chunk.prefix_ids, chunk.prefix_ptr[1:-1])
    ]

    def join(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(chunk, name) for chunk in chunks])

    names = (
        "arrival_s", "input_tokens", "output_tokens", "priority", "after_request", "think_s",
        "cancel_after_s",
    )  # fmt: skip
    return Requests(
        **{name: join(name) for name in names},
        prefixes=prefixes,
        chunk_sizes=[len(chunk) for chunk in chunks],
    )


@pytest.fixture
def workload() -> Callable[..., Workload]:
    return make_workload


@pytest.fixture
def synthetic() -> Callable[..., Synthetic]:
    return make_synthetic


@pytest.fixture
def trace() -> Callable[..., TraceSpec]:
    return make_trace


@pytest.fixture
def requests() -> Callable[..., Requests]:
    return collect


@pytest.fixture
def csv_trace(tmp_path: Path) -> Callable[[str], Path]:
    """Write a plain CSV trace; its columns are the three required ones unless text has a header."""

    def write(text: str) -> Path:
        if not text.startswith("arrival_s"):
            text = "arrival_s,input_tokens,output_tokens\n" + text
        file = tmp_path / "trace.csv"
        file.write_text(text, encoding="utf-8")
        return file

    return write
