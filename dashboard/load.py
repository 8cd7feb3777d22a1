"""Reads a run into what the pages show; every failure is one line that says why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import streamlit as st

from dashboard.listing import MANIFEST, Listing
from dashboard.series import Draw, Latency, draw_series, latency_series
from sim.errors import RackplanError, ResultError
from sim.results.metrics import Metric
from sim.results.result import RunResult, open_run
from sim.results.verdict import Verdict, verdict

_LONGEST_REASON = 300
#: What reading damaged or foreign files raises.
_FAILURES = (
    RackplanError,
    pa.ArrowException,
    ArithmeticError,
    AttributeError,
    KeyError,
    OSError,
    TypeError,
    ValueError,
)
_T = TypeVar("_T")


class Unreadable(Exception):
    """A run that cannot be shown; the message is one line."""


@dataclass(frozen=True)
class Expectation:
    """One ``expect:`` line and how it went; ``metric`` is None where it was not measured."""

    text: str
    passed: bool
    metric: Metric | None
    reason: str


@dataclass(frozen=True)
class Missing:
    """A part of a run that cannot be shown, and why."""

    reason: str


@dataclass(frozen=True)
class RunView:
    """All that the pages show of one run, in plain values."""

    name: str
    scenario: str
    seed: int
    engine: str
    outcome: str
    record: str
    simulated_s: float
    warm_up_s: float
    duration_s: float
    measured_s: float
    rackplan: str
    power_stated: bool
    provisioned_w: float | None
    workloads: tuple[str, ...]
    metrics: Mapping[str, Metric]
    verdict: Verdict
    expectations: tuple[Expectation, ...]
    warnings: tuple[str, ...]
    latency: Mapping[str, Latency | Missing]
    draw: Draw | Missing

    @property
    def end_s(self) -> float:
        """End of what charts show: arrivals end there, or the run was stopped before."""
        return min(self.duration_s, self.simulated_s)


def read_run(listing: Listing, name: str) -> RunView:
    """A run of the listing, from the cache while its files are the same.

    Raises:
        Unreadable: it cannot be shown.
    """
    if name not in listing.names:
        raise Unreadable(f"there is no run {name!r} in {listing.root}")
    return _guarded(lambda: _read(str(listing.root), name, _stamp(listing.root / name)))


def _stamp(folder: Path) -> tuple[int, ...]:
    """Changes when the run is written again: a cached view is of exactly these files."""
    stamp: list[int] = []
    for part in (MANIFEST, "metrics.json", "summary"):
        path = folder / part
        if path.exists():
            status = path.stat()
            stamp += [status.st_mtime_ns, status.st_size, status.st_ino]
    return tuple(stamp)


@st.cache_data(max_entries=32, show_spinner=False)
def _read(root: str, name: str, stamp: tuple[int, ...]) -> RunView:
    return _view(open_run(Path(root, name)), name)


#: Metrics that the pages show without asking whether they are there.
_SITE = ("goodput_fraction", "goodput_per_s", "arrival_rate", "peak_draw_w", "headroom_w",
         "over_budget_s", "goodput_per_mw")  # fmt: skip
_WORKLOAD = ("arrivals", "arrival_rate", "goodput_fraction", "ttft_p50", "ttft_p99", "tpot_p50",
             "tpot_p99", "e2e_p50", "e2e_p99")  # fmt: skip


def _check_metrics(result: RunResult, workloads: tuple[str, ...]) -> None:
    if not workloads:
        raise ResultError("the run has no workload, so there is nothing to show")
    needed = [*_SITE, *(f"{workload}.{name}" for workload in workloads for name in _WORKLOAD)]
    lacking = [name for name in needed if name not in result.metrics]
    if lacking:
        raise ResultError(f"its metrics.json lacks {', '.join(lacking)}")


def _view(result: RunResult, name: str) -> RunView:
    manifest = result.manifest
    window, power = manifest["window"], manifest["power"]
    workloads = tuple(str(workload["name"]) for workload in manifest["workloads"])
    _check_metrics(result, workloads)
    end_s = min(float(window["duration_s"]), float(manifest["simulated_s"]))
    return RunView(
        name=name,
        scenario=manifest["scenario"],
        seed=int(manifest["seed"]),
        engine=manifest["engine"],
        outcome=result.outcome,
        record=manifest["record"],
        simulated_s=float(manifest["simulated_s"]),
        warm_up_s=float(window["warm_up_s"]),
        duration_s=float(window["duration_s"]),
        measured_s=float(window["measured_s"]),
        rackplan=str(manifest["versions"].get("rackplan", "unknown")),
        power_stated=bool(power["stated"]),
        provisioned_w=_number(power["provisioned_w"]),
        workloads=workloads,
        metrics=dict(result.metrics),
        verdict=verdict(result),
        expectations=tuple(_expectation(line, result) for line in manifest["expectations"]),
        warnings=tuple(str(warning) for warning in manifest["warnings"]),
        latency={
            workload: _part(partial(latency_series, result, workload, end_s))
            for workload in workloads
        },
        draw=_part(partial(draw_series, result, end_s)),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _expectation(line: Mapping[str, Any], result: RunResult) -> Expectation:
    return Expectation(
        text=str(line["text"]),
        passed=line["passed"] is True,
        metric=result.metrics.get(str(line["metric"])),
        reason=str(line["reason"]),
    )


def _part(read: Callable[[], _T]) -> _T | Missing:
    """What ``read`` returns, or why not: one damaged table does not hide the rest of a run."""
    try:
        return _guarded(read)
    except Unreadable as error:
        return Missing(str(error))


def _guarded(read: Callable[[], _T]) -> _T:
    try:
        return read()
    except RackplanError as error:
        raise Unreadable(_line(str(error))) from error
    except _FAILURES as error:
        raise Unreadable(
            _line(f"its files are not what a run writes ({type(error).__name__}: {error})")
        ) from error


def _line(text: str) -> str:
    """One line of bounded length."""
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST_REASON else flat[: _LONGEST_REASON - 1] + "…"
