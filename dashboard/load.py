"""Finds the runs under one folder and reads them; every failure is one line that says why.

A run is chosen by its name in the listing of that folder. A name from a URL is only compared with
the listing, never joined to a path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import streamlit as st

from dashboard.series import Draw, Latency, draw_series, latency_series
from sim.errors import RackplanError
from sim.results.metrics import Metric
from sim.results.result import RunResult, open_run
from sim.results.verdict import Verdict, verdict

#: Environment variable with the folder that holds the run folders.
ROOT_VARIABLE = "RACKPLAN_RUNS"
#: Environment variable with the name of the run that is shown first.
RUN_VARIABLE = "RACKPLAN_RUN"

MANIFEST = "manifest.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LONGEST_REASON = 300
#: What reading damaged or foreign files raises.
_FAILURES = (
    RackplanError,
    pa.ArrowException,
    OSError,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)
_T = TypeVar("_T")


class Unreadable(Exception):
    """A run that cannot be shown; the message is one line."""


@dataclass(frozen=True)
class Listing:
    """Names of the runs under a root, newest first, and what was left out and why."""

    root: Path
    names: tuple[str, ...]
    left_out: tuple[str, ...]
    missing: str  # why there is no listing at all; "" otherwise


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


def root_folder() -> Path:
    """The folder that holds the run folders, as the command that started the app said."""
    return Path(os.environ.get(ROOT_VARIABLE, "runs")).resolve()


def list_runs(root: Path) -> Listing:
    """The runs that are real folders directly under ``root``."""
    found: list[tuple[float, str]] = []
    left_out: list[str] = []
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                reason = _left_out(entry, root)
                if reason:
                    left_out.append(f"{entry.name!r}: {reason}")
                elif entry.is_dir(follow_symlinks=False):
                    written = os.stat(os.path.join(entry.path, MANIFEST)).st_mtime
                    found.append((written, entry.name))
    except OSError as error:
        return Listing(root, (), (), f"the folder {root} cannot be read: {error.strerror}")
    found.sort(key=lambda run: (-run[0], run[1]))
    return Listing(root, tuple(name for _, name in found), tuple(sorted(left_out)), "")


def _left_out(entry: os.DirEntry[str], root: Path) -> str:
    """Why an entry of the root is no run; "" for a run, and for a file, which nobody misses."""
    if entry.is_symlink():
        return "it is a link, and links are not followed"
    if not entry.is_dir(follow_symlinks=False):
        return ""
    manifest = Path(entry.path, MANIFEST)
    if not manifest.is_file():
        return f"it has no {MANIFEST}, so it is not the result of a run"
    if not manifest.resolve().is_relative_to(root):
        return "its manifest leads out of the folder"
    if not _NAME.fullmatch(entry.name):
        return "its name has other characters than letters, digits, '.', '_' and '-'"
    return ""


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


def _view(result: RunResult, name: str) -> RunView:
    manifest = result.manifest
    window, power = manifest["window"], manifest["power"]
    workloads = tuple(str(workload["name"]) for workload in manifest["workloads"])
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
            workload: _part(lambda w=workload: latency_series(result, w, end_s))
            for workload in workloads
        },
        draw=_part(lambda: draw_series(result, end_s)),
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
